"""Annotated releases as rows of four tables, for Parquet and SQLite alike."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

TEXT, INT, REAL, JSON = "text", "int", "real", "json"
Row = Tuple[Any, ...]


class Table(NamedTuple):
    """Columns with their types; ``key`` names a row, ``indexed`` are looked up by."""

    columns: Mapping[str, str]
    key: Tuple[str, ...]
    indexed: Tuple[str, ...] = ()


def _end(side: str) -> Dict[str, str]:
    return {side: TEXT, **{f"{side}_{key}": TEXT for key in ("label", "cluster", "norm")}}


META = "meta"  # all other keys of a release, as one JSON object
TABLES: Dict[str, Table] = {
    "releases": Table({"id": TEXT, "title": TEXT, "date": TEXT, "source": TEXT, "text": TEXT, META: JSON}, ("id",)),
    "mentions": Table(
        {
            "release_id": TEXT,
            "entity_id": INT,
            "label": TEXT,
            "start_offset": INT,
            "end_offset": INT,
            "text": TEXT,
            "cluster": TEXT,
            "norm": TEXT,
            "score": REAL,
        },
        ("release_id", "entity_id"),
        ("label", "text"),
    ),
    "relations": Table(
        {
            "release_id": TEXT,
            "relation_id": INT,
            "type": TEXT,
            "from_id": INT,
            "to_id": INT,
            "score": REAL,
            "evidence_start": INT,
            "evidence_end": INT,
        },
        ("release_id", "relation_id"),
        ("type",),
    ),
    "facts": Table(
        {
            "release_id": TEXT,
            "fact_id": INT,
            "type": TEXT,
            "score": REAL,
            **_end("head"),
            **_end("tail"),
            "sentence": TEXT,
            "start_offset": INT,
            "end_offset": INT,
            "evidence": JSON,
        },
        ("release_id", "fact_id"),
        ("type", "head", "tail"),
    ),
}
KNOWN = ("id", "title", "date", "source", "text", "entities", "relations", "facts")


def rows(record: Mapping[str, Any]) -> Dict[str, List[Row]]:
    """The rows of one annotated release in the exchange format, by table, values in the order of the columns.

    ``sentence`` and the offsets of a fact are those of its first evidence; ``evidence`` has all of it.
    """
    name, text = record["id"], record["text"]
    meta = {key: value for key, value in record.items() if key not in KNOWN}
    release = (name, *(record.get(key) for key in ("title", "date", "source")), text, _json(meta))
    return {
        "releases": [release],
        "mentions": [_mention(name, text, e) for e in record["entities"]],
        "relations": [_relation(name, r) for r in record["relations"]],
        "facts": [_fact(name, i, f) for i, f in enumerate(record.get("facts") or [])],
    }


def _mention(name: str, text: str, e: Mapping[str, Any]) -> Row:
    start, end = e["start_offset"], e["end_offset"]
    rest = (e.get("cluster"), e.get("norm"), e.get("score"))
    return (name, e["id"], e["label"], start, end, text[start:end], *rest)


def _relation(name: str, r: Mapping[str, Any]) -> Row:
    start, end = r.get("evidence") or (None, None)
    return (name, r["id"], r["type"], r["from_id"], r["to_id"], r.get("score"), start, end)


def _fact(name: str, number: int, fact: Mapping[str, Any]) -> Row:
    first: Mapping[str, Optional[Any]] = fact["evidence"][0]
    ends = [fact[side].get(key) for side in ("head", "tail") for key in ("name", "label", "cluster", "norm")]
    where = (first.get("text"), first.get("start"), first.get("end"))
    return (name, number, fact["type"], fact["score"], *ends, *where, _json(fact["evidence"]))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
