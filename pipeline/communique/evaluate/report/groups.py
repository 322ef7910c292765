"""Scores by what is known of the releases: their source, government, kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence

from ...release import Release
from ...schema import Schema
from ..metrics import score_releases

FIELDS = ("source", "government", "kind")


@dataclass(frozen=True)
class Group:
    """Releases with one value of a field, and their scores by layer."""

    name: str
    releases: int
    scores: Mapping[str, Mapping[str, float]]


def field_groups(
    gold: Sequence[Release],
    predicted: Sequence[Release],
    schema: Schema,
    fields: Sequence[str] = FIELDS,
    least: int = 3,
) -> Dict[str, List[Group]]:
    """{field: its groups, the largest first}, of the fields that tell the releases apart.

    Values with fewer releases than ``least`` are one group, and so are the releases without a value; both come last.
    """
    out: Dict[str, List[Group]] = {}
    for name in fields:
        values = [_value(r, name) for r in gold]
        counts = Counter(v for v in values if v is not None)
        large = [v for v, n in counts.most_common() if n >= least]
        rare = {v for v, n in counts.items() if n < least}
        parts: Dict[str, List[Release]] = {v: [r for r, x in zip(gold, values) if x == v] for v in large}
        parts[f"{len(rare)} others"] = [r for r, x in zip(gold, values) if x in rare]
        parts["not stated"] = [r for r, x in zip(gold, values) if x is None]
        parts = {v: members for v, members in parts.items() if members}
        if counts and len(parts) > 1:
            out[name] = [Group(v, len(m), score_releases(m, predicted, schema)) for v, m in parts.items()]
    return out


def _value(release: Release, name: str) -> Any:
    value = release.source if name == "source" else release.meta.get(name)
    return str(value) if value else None
