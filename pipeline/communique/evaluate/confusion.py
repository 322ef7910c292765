"""Confusion between the labels of entities."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Dict, Iterable, List, Tuple

from ..schema import Schema
from .alignment import Alignment
from .metrics import span_of

BOUNDARY, MISSED, SPURIOUS = "boundary", "missed", "spurious"


@dataclass(frozen=True)
class Confusion:
    """Counts of (row, column): gold labels and then BOUNDARY and SPURIOUS, by predicted ones and BOUNDARY and MISSED.

    A label by a label counts spans with the same edges. The column BOUNDARY counts gold entities that something with
    other edges overlaps, the row BOUNDARY predicted ones; so rows add up to what is gold, columns to what is predicted.
    """

    rows: Tuple[str, ...]
    columns: Tuple[str, ...]
    counts: "Counter[Tuple[str, str]]"


def entity_confusion(alignments: Iterable[Alignment], schema: Schema) -> Confusion:
    """Of all releases; labels in the scheme's order, and behind them those that it doesn't know."""
    counts: Counter[Tuple[str, str]] = Counter()
    labels: List[str] = list(schema.entities)
    for one in alignments:
        found = {span_of(m): m for m in one.found}
        left: Dict[Tuple[int, int], List[str]] = {}
        for start, end, label in found:
            left.setdefault((start, end), []).append(label)
        labels += [m.label for m in (*one.entities, *one.found)]
        gold = {span_of(m): m for m in one.entities}
        for span, m in sorted(gold.items(), key=lambda item: item[0] not in found):  # the right ones first
            same = left.get(span[:2])
            if same:
                counts[m.label, same.pop(same.index(m.label) if m.label in same else 0)] += 1
            else:
                counts[m.label, BOUNDARY if one.rivals(m, gold=True) else MISSED] += 1
        for (start, end), others in left.items():
            for label in others:
                row = BOUNDARY if one.rivals(found[start, end, label], gold=False) else SPURIOUS
                counts[row, label] += 1
    known = tuple(dict.fromkeys(labels))
    return Confusion((*known, BOUNDARY, SPURIOUS), (*known, BOUNDARY, MISSED), counts)
