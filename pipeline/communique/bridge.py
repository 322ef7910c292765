"""The one bridge between the record ``Release`` and spaCy's ``Doc``.

What the pipeline finds lives on the Doc in four extensions, all of plain lists, dicts, strings and numbers, so that it
survives ``to_bytes``, ``DocBin(store_user_data=True)``, ``to_json(underscore=[...])``, ``n_process`` and pickling:

* ``doc._.relations``: dicts with type, head and tail as [start token, end token, label], score, evidence [start, end]
* ``doc._.clusters``: dicts with id and mentions, each [start token, end token, label]
* ``doc._.confidences``: {"start:end:LABEL": probability}; ``span._.confidence`` looks a span up
* ``doc._.norms``: {"start:end:LABEL": normal form}; ``span._.norm`` looks a span up
* ``doc._.facts``: dicts, see ``communique.components.facts``
* ``doc._.release``: the record's id, title, date, source and meta
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

from spacy.language import Language
from spacy.tokens import Doc, Span, SpanGroup

from .errors import CommuniqueError
from .release import Mention, Relation, Release
from .schema import Schema

Key = Tuple[int, int, str]


def span_key(start: int, end: int, label: str) -> str:
    return f"{start}:{end}:{label}"


def _look_up(table: str, span: Span) -> Any:
    return getattr(span.doc._, table).get(span_key(span.start, span.end, span.label_))


def _cluster(span: Span) -> Optional[str]:
    wanted = [span.start, span.end, span.label_]
    for cluster in span.doc._.clusters:
        if any(list(m) == wanted for m in cluster["mentions"]):
            return str(cluster["id"])
    return None


def register_extensions() -> None:
    """Set the extensions named above. Done once, on import; a second call changes nothing."""
    defaults: Dict[str, Any] = {
        "relations": [],
        "clusters": [],
        "confidences": {},
        "norms": {},
        "facts": [],
        "release": {},
    }
    for name, default in defaults.items():
        if not Doc.has_extension(name):
            Doc.set_extension(name, default=default)
    getters: Dict[str, Callable[[Span], Any]] = {  # spaCy pickles them, for processes that don't fork
        "confidence": partial(_look_up, "confidences"),
        "norm": partial(_look_up, "norms"),
        "cluster": _cluster,
    }
    for name, getter in getters.items():
        if not Span.has_extension(name):
            Span.set_extension(name, getter=getter)


register_extensions()


def mentions(doc: Doc, key: str) -> List[Key]:
    """(start, end, label) in tokens of all entities and of the spans under ``key``, in text order."""
    spans = [*doc.ents, *doc.spans.get(key, [])]
    return sorted({(s.start, s.end, s.label_) for s in spans}, key=lambda s: (s[0], -s[1], s[2]))


class Characters:
    """The characters of a doc's tokens: many stretches of its text cost less from here than as many spans."""

    def __init__(self, doc: Doc) -> None:
        self.text = doc.text
        rows: List[List[int]] = doc.to_array(["IDX", "LENGTH"]).astype("int64").reshape((-1, 2)).tolist()
        self.starts = [start for start, _ in rows]
        self.ends = [start + length for start, length in rows]

    def edges(self, start: int, end: int) -> Tuple[int, int]:
        """Start and end, in characters, of the tokens from ``start`` to ``end``, of which there is one at least."""
        return self.starts[start], self.ends[end - 1]

    def between(self, start: int, end: int) -> str:
        """Their text, as ``doc[start:end].text`` has it."""
        return self.text[self.starts[start] : self.ends[end - 1]]


def set_values(doc: Doc, table: str, values: Mapping[str, Any]) -> None:
    """Add to one of the per-span tables of a Doc."""
    merged = dict(getattr(doc._, table))
    merged.update(values)
    setattr(doc._, table, merged)


def to_doc(release: Release, make_doc: Callable[[str], Doc], schema: Schema) -> Doc:
    """Gold Doc of a release.

    Raises CommuniqueError where a span is off the token boundaries or entities overlap: nothing is dropped silently.
    """
    doc = make_doc(release.text)
    set_record(doc, release)
    spans: Dict[int, Span] = {}
    for m in release.mentions:
        span = doc.char_span(m.start, m.end, label=m.label)
        if span is None:
            raise CommuniqueError(f"{release.id}: {release.span_text(m)!r} is off token boundaries")
        spans[m.id] = span
    layers: Tuple[List[Span], List[Span]] = ([], [])
    for span in spans.values():
        layers[span.label_ in schema.spans].append(span)
    try:
        doc.set_ents(layers[0])
    except ValueError as err:
        raise CommuniqueError(f"{release.id}: {err}") from err
    doc.spans[schema.span_key] = SpanGroup(doc, name=schema.span_key, spans=layers[1])
    keys: Dict[int, List[Any]] = {i: [s.start, s.end, s.label_] for i, s in spans.items()}
    doc._.relations = [
        {"type": r.type, "head": keys[r.head], "tail": keys[r.tail], "score": r.score, "evidence": None}
        for r in release.relations
    ]
    doc._.clusters = _group(release.mentions, keys)
    scores = {span_key(*keys[m.id]): m.score for m in release.mentions if m.score is not None}
    set_values(doc, "confidences", scores)
    return doc


def set_record(doc: Doc, release: Release) -> None:
    """Note on the Doc whose text it is, so that ``from_doc`` gives the record back."""
    doc._.release = {
        "id": release.id,
        "title": release.title,
        "date": release.date,
        "source": release.source,
        "meta": release.meta,
    }


def _group(items: Iterable[Mention], keys: Mapping[int, List[Any]]) -> List[Dict[str, Any]]:
    groups: Dict[str, List[List[Any]]] = {}
    for m in items:
        if m.cluster is not None:
            groups.setdefault(m.cluster, []).append(keys[m.id])
    return [{"id": name, "mentions": members} for name, members in groups.items()]


def from_doc(doc: Doc, key: str) -> Release:
    """The record of an annotated Doc, ``key`` being the span group of the enclosing spans."""
    found, characters = mentions(doc, key), Characters(doc)
    number = {k: i for i, k in enumerate(found)}
    cluster = {tuple(m): str(c["id"]) for c in doc._.clusters for m in c["mentions"]}
    scores, norms = doc._.confidences, doc._.norms
    record: Dict[str, Any] = {"id": "", "title": None, "date": None, "source": None, "meta": {}, **doc._.release}
    return Release(
        text=characters.text,
        mentions=[
            Mention(
                i,
                k[2],
                *characters.edges(k[0], k[1]),
                cluster.get(k),
                _rounded(scores.get(name := span_key(*k))),
                norms.get(name),
            )
            for i, k in enumerate(found)
        ],
        relations=[
            _relation(characters, i, r, number)
            for i, r in enumerate(doc._.relations)
            if tuple(r["head"]) in number and tuple(r["tail"]) in number
        ],
        facts=_lists(doc._.facts) or None,
        **_lists(record),
    )


def _lists(value: Any) -> Any:
    """Lists where DocBin gave tuples back."""
    if isinstance(value, dict):
        return {k: _lists(v) for k, v in value.items()}
    return [_lists(v) for v in value] if isinstance(value, (list, tuple)) else value


def _relation(characters: Characters, number: int, data: Mapping[str, Any], index: Mapping[Any, int]) -> Relation:
    evidence = data.get("evidence")
    edges = None if evidence is None else characters.edges(*evidence)
    head, tail = index[tuple(data["head"])], index[tuple(data["tail"])]
    return Relation(number, data["type"], head, tail, _rounded(data.get("score")), edges)


def _rounded(score: Optional[float]) -> Optional[float]:
    return None if score is None else round(float(score), 4)


def get_schema(nlp: Language) -> Schema:
    """The label scheme that a pipeline was trained with.

    Raises CommuniqueError where the pipeline has no component that holds one.
    """
    for _, pipe in nlp.pipeline:
        schema = getattr(pipe, "schema", None)
        if isinstance(schema, Schema) and schema.entities:
            return schema
    raise CommuniqueError(f"the pipeline {nlp.meta['name']!r} holds no label scheme: was it trained with Communique?")
