"""A label scheme read off gold releases."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any, Collection, Dict, Iterable, List, Set

from thinc.api import Config

from ..errors import CommuniqueError
from ..release import Release
from ..schema import Schema

# What a section of a config may be called.
SECTION = re.compile(r"[^.$*\[\]\n]+")


def infer_schema(releases: Iterable[Release], *, spans: Collection[str], symmetric: Collection[str]) -> Schema:
    """All labels and relation types of the releases, each type with the labels that its heads and tails were seen with.

    spans: labels of spans that may enclose entities; symmetric: relation types without a direction. Labels with
    clusters are the scheme's identity labels. Raises CommuniqueError where the gold has no entities or no relations, or
    hasn't got one of ``spans`` or ``symmetric``.
    """
    labels: Set[str] = set()
    clusters: List[Set[str]] = []
    types: Dict[str, Dict[str, Set[str]]] = defaultdict(lambda: {"heads": set(), "tails": set()})
    for release in releases:
        by_id = {m.id: m for m in release.mentions}
        labels.update(m.label for m in release.mentions)
        clusters += _labels_of_clusters(release)
        for r in release.relations:
            types[r.type]["heads"].add(by_id[r.head].label)
            types[r.type]["tails"].add(by_id[r.tail].label)
    _known("--spans", spans, labels)
    _known("--symmetric", symmetric, types)
    if not labels - set(spans):
        raise CommuniqueError("the gold has no entities")
    if not types:
        raise CommuniqueError("the gold has no relations")
    relations: Dict[str, Any] = {}
    for name, ends in sorted(types.items()):
        if name in symmetric:
            ends["heads"] = ends["tails"] = ends["heads"] | ends["tails"]
        relations[name] = {k: sorted(v) for k, v in ends.items()} | {"symmetric": name in symmetric}
    entities = {
        "labels": sorted(labels - set(spans)),
        "identity": sorted(set().union(*clusters)),
        "compatible": sorted({(a, b) for members in clusters for a in members for b in members if a < b}),
    }
    return Schema.from_dict({"entities": entities, "spans": {"labels": sorted(spans)}, "relations": relations})


def _labels_of_clusters(release: Release) -> List[Set[str]]:
    clusters: Dict[str, Set[str]] = defaultdict(set)
    for m in release.mentions:
        if m.cluster is not None:
            clusters[m.cluster].add(m.label)
    return list(clusters.values())


def _known(option: str, names: Collection[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise CommuniqueError(f"{option} {name}: the gold has none; known: {', '.join(sorted(known)) or 'none'}")


def schema_config(schema: Schema) -> Config:
    """The scheme as a config, to be saved and edited."""
    data = schema.to_dict()
    del data["checks"]
    relations: Dict[str, Any] = {}
    for number, (name, spec) in enumerate(data["relations"].items(), 1):
        fits = SECTION.fullmatch(name) is not None
        relations[name if fits else f"type-{number}"] = spec if fits else {"name": name, **spec}
    data["relations"] = relations
    return Config({"schema": data})


def unseen(schema: Schema, releases: Iterable[Release]) -> Dict[str, int]:
    """What the releases have and the scheme has not, so that it is never predicted: {what: how often}."""
    found: Dict[str, int] = defaultdict(int)
    for release in releases:
        by_id = {m.id: m for m in release.mentions}
        for m in release.mentions:
            if m.label not in schema.labels:
                found[f"the label {m.label}"] += 1
        for r in release.relations:
            spec, ends = schema.relation(r.type), (by_id[r.head].label, by_id[r.tail].label)
            if spec is None:
                found[f"the relation type {r.type}"] += 1
            elif not spec.allows(*ends):
                found[f"the signature {ends[0]} {r.type} {ends[1]}"] += 1
    return dict(found)


def describe(schema: Schema) -> List[str]:
    """The scheme in lines for people to read."""
    lines = [f"entities: {', '.join(schema.entities)}"]
    if schema.spans:
        lines.append(f"enclosing spans: {', '.join(schema.spans)}")
    for r in schema.relations:
        arrow = "<->" if r.symmetric else "->"
        lines.append(f"{r.name}: {'|'.join(r.heads)} {arrow} {'|'.join(r.tails)}")
    return lines
