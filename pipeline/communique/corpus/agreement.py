"""Agreement between two independent annotations of the same releases, by the metrics of the annotation guide."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Dict, Iterable, Iterator, List, Tuple

from ..errors import CommuniqueError
from ..evaluate.metrics import pair_spans, score_releases
from ..release import Mention, Relation, Release
from ..schema import Schema

Pair = Tuple[Release, Release]


@dataclass(frozen=True)
class Difference:
    """Something that one annotation has and the other has not. ``side`` is "first" or "second"."""

    release: str
    side: str
    offset: int
    what: str


def match_releases(first: Iterable[Release], second: Iterable[Release]) -> List[Pair]:
    """The releases that both annotations hold, by id.

    Raises CommuniqueError where there is none, where an id stands twice, or where the texts of one differ.
    """
    sides = [list(first), list(second)]
    for side in sides:
        twice = [name for name, n in Counter(r.id for r in side).items() if n > 1]
        if twice:
            raise CommuniqueError(f"{twice[0]}: this id stands twice in one annotation: remove one")
    by_id = {r.id: r for r in sides[1]}
    pairs = [(r, by_id[r.id]) for r in sides[0] if r.id in by_id]
    if not pairs:
        raise CommuniqueError("the two annotations have no release in common: their ids must be the same")
    for a, b in pairs:
        if a.text != b.text:
            at = next((i for i, (x, y) in enumerate(zip(a.text, b.text)) if x != y), min(len(a.text), len(b.text)))
            raise CommuniqueError(f"{a.id}: the texts differ from character {at}: {a.text[at : at + 30]!r}")
    return pairs


def agreement(pairs: List[Pair], schema: Schema) -> Dict[str, Dict[str, float]]:
    """The guide's scores with the first annotation as gold.

    F1 over spans and relations is the same either way. Identity is computed over the first one's mentions.
    """
    return score_releases([a for a, _ in pairs], [b for _, b in pairs], schema)


def differences(pairs: List[Pair], schema: Schema) -> Iterator[Difference]:
    """Mentions, relations and identities that only one annotation has, in text order; spans are matched by overlap."""
    for a, b in pairs:
        found = [*_one_sided(a, b, schema, "first"), *_one_sided(b, a, schema, "second")]
        yield from sorted(found, key=lambda d: (d.offset, d.what, d.side))


def _one_sided(mine: Release, other: Release, schema: Schema, side: str) -> Iterator[Difference]:
    matched = _matches(mine, other, schema)
    theirs = {(r.head, r.tail, r.type) for r in other.relations}
    by_id = {m.id: m for m in mine.mentions}
    for m in mine.mentions:
        if m.id not in matched:
            yield Difference(mine.id, side, m.start, f"{m.label} {mine.span_text(m)!r}")
    for r in mine.relations:
        ends = matched.get(r.head), matched.get(r.tail)
        if None in ends:  # follows from a mention that is listed already
            continue
        swapped = r.type in schema.symmetric and (ends[1], ends[0], r.type) in theirs
        if (*ends, r.type) not in theirs and not swapped:
            yield Difference(mine.id, side, _where(r, by_id), _text(r, by_id, mine))
    theirs_of = {m.id: m.cluster for m in other.mentions}
    last: Dict[str, Mention] = {}
    for m in sorted((m for m in mine.mentions if m.cluster and m.id in matched), key=lambda m: m.start):
        before = last.get(str(m.cluster))
        if before is not None and theirs_of[matched[before.id]] != theirs_of[matched[m.id]]:
            what = f"{mine.span_text(before)!r} is {mine.span_text(m)!r}"
            yield Difference(mine.id, side, m.start, what)
        last[str(m.cluster)] = m


def _matches(mine: Release, other: Release, schema: Schema) -> Dict[int, int]:
    """{id of a mention: id of the other annotation's mention that it is}."""
    exact = {(m.start, m.end, m.label): m.id for m in other.mentions if m.label not in schema.spans}
    out = {m.id: exact[key] for m in mine.mentions if (key := (m.start, m.end, m.label)) in exact}
    spans = [[m for m in r.mentions if m.label in schema.spans] for r in (other, mine)]
    return {**out, **pair_spans(mine.text, spans[0], spans[1])}


def _where(relation: Relation, by_id: Dict[int, Mention]) -> int:
    return max(by_id[relation.head].start, by_id[relation.tail].start)


def _text(relation: Relation, by_id: Dict[int, Mention], release: Release) -> str:
    head, tail = by_id[relation.head], by_id[relation.tail]
    return f"{release.span_text(head)!r} {relation.type} {release.span_text(tail)!r}"
