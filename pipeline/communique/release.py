"""The record of one release. Every reader makes it and every writer takes it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Mapping, Optional, Tuple

FIELDS = ("id", "title", "date", "source", "text", "entities", "relations", "facts")


class FieldError(ValueError):
    """Raised for a record with a field that is missing or of the wrong kind; ``field`` is its key."""

    def __init__(self, message: str, field: str) -> None:
        self.field = field
        super().__init__(message)


@dataclass(frozen=True)
class Mention:
    """A labelled span of the text: ``text[start:end]``, offsets in code points."""

    id: int
    label: str
    start: int
    end: int
    cluster: Optional[str] = None
    score: Optional[float] = None
    norm: Optional[str] = None


@dataclass(frozen=True)
class Relation:
    """A typed link between two mentions, by their ids. ``evidence`` is the sentence's (start, end)."""

    id: int
    type: str
    head: int
    tail: int
    score: Optional[float] = None
    evidence: Optional[Tuple[int, int]] = None


@dataclass
class Release:
    """One release: its text (title, newline, body), what is known about it, and what was tagged.

    ``meta`` holds whatever other keys its source had; they go through untouched.
    """

    id: str
    text: str
    title: Optional[str] = None
    date: Optional[str] = None
    source: Optional[str] = None
    mentions: List[Mention] = field(default_factory=list)
    relations: List[Relation] = field(default_factory=list)
    facts: Optional[List[Dict[str, Any]]] = None
    meta: Dict[str, Any] = field(default_factory=dict)

    def canonical(self) -> "Release":
        """The same release with mentions in text order (enclosing first) and ids counted from 0."""
        order = sorted(self.mentions, key=lambda m: (m.start, -m.end, m.label, m.id))
        number = {m.id: i for i, m in enumerate(order)}
        relations = sorted(self.relations, key=lambda r: (number[r.head], number[r.tail], r.type, r.id))
        return replace(
            self,
            mentions=[replace(m, id=i) for i, m in enumerate(order)],
            relations=[replace(r, id=i, head=number[r.head], tail=number[r.tail]) for i, r in enumerate(relations)],
        )

    def confident(self, minimum: float) -> "Release":
        """The same release without mentions, relations and facts whose score is below ``minimum``.

        A relation goes with its mentions. What has no score stays.
        """
        if minimum <= 0:
            return self
        mentions = [m for m in self.mentions if m.score is None or m.score >= minimum]
        kept = {m.id for m in mentions}
        relations = [r for r in self.relations if (r.score is None or r.score >= minimum) and {r.head, r.tail} <= kept]
        facts = self.facts
        if facts is not None:
            facts = [f for f in facts if f.get("score") is None or f["score"] >= minimum]
        return replace(self, mentions=mentions, relations=relations, facts=facts).canonical()

    def span_text(self, mention: Mention) -> str:
        return self.text[mention.start : mention.end]

    def to_dict(self) -> Dict[str, Any]:
        """The exchange format: plain data that JSON holds without loss."""
        out: Dict[str, Any] = {"id": self.id, "text": self.text}
        for key in ("title", "date", "source"):
            if getattr(self, key) is not None:
                out[key] = getattr(self, key)
        out.update(self.meta)
        out["entities"] = [_mention_dict(m) for m in self.mentions]
        out["relations"] = [_relation_dict(r) for r in self.relations]
        if self.facts is not None:
            out["facts"] = self.facts
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Release":
        """Read the exchange format.

        Raises FieldError, a ValueError with a message for the user, where a field is missing or of the wrong kind, and
        ValueError where the whole is no object.
        """
        if not isinstance(data, Mapping):
            raise ValueError(f"a release must be a JSON object, not {_kind(data)}")
        text = data.get("text")
        if not isinstance(text, str):
            message = 'no "text"' if text is None else f'"text" must be a string, not {_kind(text)}'
            raise FieldError(message, "text")
        name = data.get("id")
        if isinstance(name, bool) or not isinstance(name, (str, int)):
            missing = 'no "id": each record needs one of its own'
            raise FieldError(missing if name is None else f'"id" must be a string, not {_kind(name)}', "id")
        strings = {k: _string(data, k) for k in ("title", "date", "source")}
        mentions = [_mention(e, i, len(text)) for i, e in enumerate(_list(data, "entities"))]
        ids = [m.id for m in mentions]
        if len(set(ids)) != len(ids):
            raise FieldError("two entities have the same id", "entities")
        relations = [_relation(r, i, set(ids)) for i, r in enumerate(_list(data, "relations"))]
        return cls(
            id=str(name),
            text=text,
            mentions=mentions,
            relations=relations,
            facts=data.get("facts"),
            meta={k: v for k, v in data.items() if k not in FIELDS},
            **strings,
        )


def _mention_dict(m: Mention) -> Dict[str, Any]:
    out: Dict[str, Any] = {"id": m.id, "label": m.label, "start_offset": m.start, "end_offset": m.end}
    for key in ("cluster", "score", "norm"):
        if getattr(m, key) is not None:
            out[key] = getattr(m, key)
    return out


def _relation_dict(r: Relation) -> Dict[str, Any]:
    out: Dict[str, Any] = {"id": r.id, "from_id": r.head, "to_id": r.tail, "type": r.type}
    if r.score is not None:
        out["score"] = r.score
    if r.evidence is not None:
        out["evidence"] = list(r.evidence)
    return out


def _mention(data: Any, index: int, length: int) -> Mention:
    where = f"entities[{index}]"
    values = [_integer(data, k, where) for k in ("id", "start_offset", "end_offset")]
    if not 0 <= values[1] < values[2] <= length:
        raise FieldError(f"{where}: offsets {values[1]}-{values[2]} are not inside the text (0-{length})", where)
    if not isinstance(data.get("label"), str):
        raise FieldError(f'{where}: no "label"', where)
    cluster = data.get("cluster")
    return Mention(
        values[0],
        data["label"],
        values[1],
        values[2],
        cluster=None if cluster is None else str(cluster),
        score=_score(data, where),
        norm=data.get("norm"),
    )


def _relation(data: Any, index: int, ids: "set[int]") -> Relation:
    where = f"relations[{index}]"
    head, tail = (_integer(data, k, where) for k in ("from_id", "to_id"))
    for value in (head, tail):
        if value not in ids:
            raise FieldError(f"{where}: there is no entity with the id {value}", where)
    if not isinstance(data.get("type"), str):
        raise FieldError(f'{where}: no "type"', where)
    evidence = data.get("evidence")
    if evidence is not None and not (isinstance(evidence, list) and [type(v) for v in evidence] == [int, int]):
        raise FieldError(f'{where}: "evidence" must be a list of two integers', where)
    return Relation(
        index if "id" not in data else _integer(data, "id", where),
        data["type"],
        head,
        tail,
        score=_score(data, where),
        evidence=None if evidence is None else (int(evidence[0]), int(evidence[1])),
    )


def _integer(data: Any, key: str, where: str) -> int:
    if not isinstance(data, Mapping):
        raise FieldError(f"{where} must be an object, not {_kind(data)}", where)
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int):
        raise FieldError(f'{where}: "{key}" must be an integer', where)
    return value


def _score(data: Mapping[str, Any], where: str) -> Optional[float]:
    value = data.get("score")
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise FieldError(f'{where}: "score" must be a number', where)
    return None if value is None else float(value)


def _list(data: Mapping[str, Any], key: str) -> List[Any]:
    value = data.get(key) or []
    if not isinstance(value, list):
        raise FieldError(f'"{key}" must be a list, not {_kind(value)}', key)
    return value


def _string(data: Mapping[str, Any], key: str) -> Optional[str]:
    value = data.get(key)
    if value is not None and not isinstance(value, str):
        raise FieldError(f'"{key}" must be a string, not {_kind(value)}', key)
    return value


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return kinds.get(type(value), "null")
