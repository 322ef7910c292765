"""Releases as rows that Doccano imports, and what it holds as releases again.

A row's one key of meta, ``communique``, holds what Doccano has no place for: the release's id, the hashes of its text
and of the annotations that were sent, the piece that they came in, and in ``record`` the rest of the release with the
identity of its mentions. That is packed: the page shows meta to annotators, and a string is what no database reorders.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Tuple

from ..release import Mention, Relation, Release
from .offsets import OffsetError, Utf16
from .server import Example, Span

KEY = "communique"
PROVENANCE = "doccano"  # key of a pulled release's meta: who confirmed it, when and where
Link = Tuple[Span, Span, str]


@dataclass(frozen=True)
class Annotations:
    """What Doccano can hold of a release: spans with offsets in UTF-16 units, and relations between them."""

    spans: FrozenSet[Span] = frozenset()
    relations: FrozenSet[Link] = frozenset()

    def digest(self) -> str:
        content = json.dumps([sorted(self.spans), sorted(self.relations)])
        return _hash(content.encode("ascii"))

    def within(self, other: "Annotations") -> bool:
        return self.spans <= other.spans and self.relations <= other.relations


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def text_hash(text: str) -> str:
    return _hash(text.encode("utf8", errors="surrogatepass"))


def annotations_of(release: Release) -> Annotations:
    """What of a release goes to Doccano."""
    place = Utf16(release.text)
    spans = {m.id: (place.units(m.start), place.units(m.end), m.label) for m in release.mentions}
    relations = frozenset((spans[r.head], spans[r.tail], r.type) for r in release.relations)
    return Annotations(frozenset(spans.values()), relations)


def held_annotations(data: Mapping[str, Any]) -> Annotations:
    """What Doccano holds for one annotator. A span that was labelled twice is one."""
    spans = {e["id"]: (e["start_offset"], e["end_offset"], e["label"]) for e in data.get("entities", ())}
    relations = {
        (spans[r["from_id"]], spans[r["to_id"]], r["type"])
        for r in data.get("relations", ())
        if r["from_id"] in spans and r["to_id"] in spans
    }
    return Annotations(frozenset(spans.values()), frozenset(relations))


def record_of(release: Release) -> Dict[str, Any]:
    """What Doccano has no place for, but for what a pull noted."""
    clusters: Dict[str, List[Any]] = defaultdict(list)
    for m in release.canonical().mentions:
        if m.cluster is not None:
            clusters[m.cluster].append([m.start, m.end, m.label])
    meta = {key: value for key, value in release.meta.items() if key != PROVENANCE}
    return {"title": release.title, "date": release.date, "source": release.source, "meta": meta, "clusters": clusters}


def pack(record: Mapping[str, Any]) -> str:
    return base64.b64encode(zlib.compress(json.dumps(record).encode("ascii"))).decode("ascii")


def unpack(packed: str) -> Dict[str, Any]:
    """The record again. Raises ValueError where somebody has changed it."""
    try:
        record = json.loads(zlib.decompress(base64.b64decode(packed, validate=True)))
    except zlib.error as err:
        raise ValueError(f"the record is damaged: {err}") from err
    if not isinstance(record, dict) or set(record) != {"title", "date", "source", "meta", "clusters"}:
        raise ValueError("the record is damaged")
    return record


def same_record(release: Release, packed: str) -> bool:
    """Whether a record says of a release what the release says itself. What it says of mentions that the release no
    longer has does not matter."""
    there = {(m.start, m.end, m.label) for m in release.mentions}
    said = unpack(packed)
    clusters = {name: [s for s in spans if tuple(s) in there] for name, spans in said["clusters"].items()}
    said["clusters"] = {name: spans for name, spans in clusters.items() if spans}
    return bool(said == json.loads(json.dumps(record_of(release))))


def to_row(release: Release, piece: str, first: bool) -> Dict[str, Any]:
    """A row to import. ``first``: of its piece, whose seal it will bear."""
    place = Utf16(release.text)
    held = annotations_of(release)
    about = {
        "id": release.id,
        "text": text_hash(release.text),
        "sent": held.digest(),
        "spans": len(held.spans),
        "piece": piece,
        "first": first,
        "sealed": False,
        "record": pack(record_of(release)),
    }
    entities = [
        {"id": m.id, "label": m.label, "start_offset": place.units(m.start), "end_offset": place.units(m.end)}
        for m in release.mentions
    ]
    relations = [{"id": r.id, "from_id": r.head, "to_id": r.tail, "type": r.type} for r in release.relations]
    return {"text": release.text, KEY: about, "entities": entities, "relations": relations}


def about(example: Example) -> Optional[Mapping[str, Any]]:
    """What a row said of itself, or None for an example that push did not send."""
    found = example.meta.get(KEY)
    fields = {
        "id": str,
        "text": str,
        "sent": str,
        "spans": int,
        "piece": str,
        "first": bool,
        "sealed": bool,
        "record": str,
    }
    if not isinstance(found, dict) or not all(isinstance(found.get(key), kind) for key, kind in fields.items()):
        return None
    try:
        unpack(found["record"])
    except ValueError:
        return None
    return found


def to_release(example: Example, annotator: str, provenance: Mapping[str, Any]) -> Tuple[Release, List[str]]:
    """The release that an example holds, and all that keeps some of it from being read: then it is not whole.

    Mentions have the identity that they had when they were sent; new ones have none.
    """
    known = about(example)
    if known is None:
        raise ValueError(f"example {example.id} was not sent by push")
    record = unpack(known["record"])
    cluster_of = {tuple(span): name for name, spans in record["clusters"].items() for span in spans}
    problems: List[str] = []
    if text_hash(example.text) != known["text"]:
        problems.append("the text is not the one that was sent")
    place = Utf16(example.text)
    held = held_annotations(example.annotations.get(annotator, {}))
    mentions: Dict[Span, Mention] = {}
    for span in sorted(held.spans):
        try:
            start, end = place.points(span[0]), place.points(span[1])
            if start >= end:
                raise OffsetError(f"the span {start}-{end} is empty")
        except OffsetError as err:
            problems.append(f"{span[2]}: {err}")
            continue
        mentions[span] = Mention(len(mentions), span[2], start, end, cluster_of.get((start, end, span[2])))
    relations = [
        Relation(i, type_, mentions[head].id, mentions[tail].id)
        for i, (head, tail, type_) in enumerate(sorted(held.relations))
        if head in mentions and tail in mentions
    ]
    release = Release(
        id=known["id"],
        text=example.text,
        title=record["title"],
        date=record["date"],
        source=record["source"],
        mentions=list(mentions.values()),
        relations=relations,
        meta={**record["meta"], PROVENANCE: dict(provenance)},
    )
    return release.canonical(), problems


def plain(release: Release) -> Release:
    """A release without what only this pipeline derives, scores, normal forms and facts, and without what a pull noted:
    two that are alike then are the same gold."""
    mentions = [Mention(m.id, m.label, m.start, m.end, m.cluster) for m in release.mentions]
    relations = [Relation(r.id, r.type, r.head, r.tail) for r in release.relations]
    meta = {key: value for key, value in release.meta.items() if key != PROVENANCE}
    bare = Release(
        release.id, release.text, release.title, release.date, release.source, mentions, relations, None, meta
    )
    return bare.canonical()
