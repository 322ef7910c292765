"""The errors that a pipeline expects in its own annotation of a text: what an annotator would have to mend.

With calibrated confidences this is the expected number of errors, one minus the confidence of each thing that is found
and the probability of each that is not: least confidence (Lewis and Gale 1994), summed over all decisions of a
structured output as Settles and Craven (2008) sum token entropies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Sequence, Set, Tuple

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc

from ..bridge import Key, get_schema, span_key
from ..components.relations import RelationExtractor
from ..components.spans import SpanTagger
from ..schema import Schema

ENTITIES, SPANS, RELATIONS = LAYERS = ("entities", "spans", "relations")


@dataclass(frozen=True)
class Doubt:
    """Something that may be wrong. chance: probability that it is. found: the pipeline has it; else it may lack it."""

    layer: str
    label: str
    text: str
    chance: float
    found: bool


def doubts(nlp: Language, docs: Sequence[Doc], least: float) -> List[List[Doubt]]:
    """The doubts about docs that the pipeline has annotated, of each doc the gravest first.

    What is found counts with its calibrated confidence. What is not found counts with the probability that the model
    itself gives it, since the calibration is fitted on what is found; below ``least`` it doesn't count.
    """
    schema = get_schema(nlp)
    out: List[List[Doubt]] = [[*_found(doc, schema)] for doc in docs]
    for _, pipe in nlp.pipeline:
        if isinstance(pipe, SpanTagger):
            for mine, doc, table in zip(out, docs, pipe.beginnings(docs)):
                mine += _missed_mentions(doc, pipe, table, least)
        elif isinstance(pipe, RelationExtractor):
            for mine, doc, pairs in zip(out, docs, pipe.candidates(docs, least)):
                mine += _missed_relations(doc, pairs, least)
    return [sorted(mine, key=lambda d: (-round(d.chance, 6), d.layer, d.label, d.text)) for mine in out]


def _found(doc: Doc, schema: Schema) -> Iterator[Doubt]:
    for layer, spans in ((ENTITIES, doc.ents), (SPANS, doc.spans.get(schema.span_key, []))):
        for span in spans:
            chance = 1.0 - doc._.confidences.get(span_key(span.start, span.end, span.label_), 1.0)
            yield Doubt(layer, span.label_, span.text, chance, True)
    for r in doc._.relations:
        yield Doubt(RELATIONS, r["type"], _pair(doc, tuple(r["head"]), tuple(r["tail"])), 1.0 - (r["score"] or 0), True)


def _missed_mentions(doc: Doc, pipe: SpanTagger, table: "np.ndarray[Any, Any]", least: float) -> Iterator[Doubt]:
    layer, spans = (ENTITIES, doc.ents) if pipe.spans_key is None else (SPANS, doc.spans.get(pipe.spans_key, []))
    there = {(span.start, span.label_) for span in spans}
    for token, label in np.argwhere(table >= least).tolist():
        if (token, pipe.labels[label]) not in there:
            yield Doubt(layer, pipe.labels[label], doc[token].text, float(table[token, label]), False)


def _missed_relations(doc: Doc, pairs: Sequence[Tuple[Key, Key, str, float]], least: float) -> Iterator[Doubt]:
    there: Set[Tuple[Key, Key, str]] = {(tuple(r["head"]), tuple(r["tail"]), r["type"]) for r in doc._.relations}
    scores: Dict[str, float] = doc._.confidences
    for head, tail, label, p in pairs:
        chance = p * scores.get(span_key(*head), 1.0) * scores.get(span_key(*tail), 1.0)
        if (head, tail, label) not in there and chance >= least:
            yield Doubt(RELATIONS, label, _pair(doc, head, tail), chance, False)


def _pair(doc: Doc, head: Key, tail: Key) -> str:
    return f"{doc[head[0] : head[1]].text} – {doc[tail[0] : tail[1]].text}"
