"""Confidence that means something: of mentions scored 0.8, eight in ten are right."""

from __future__ import annotations

import math
from typing import Any, Dict, List, Mapping, Sequence

from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc

from ..bridge import span_key

EPSILON = 1e-6
LARGEST = 40.0
AS_IT_IS = (1.0, 0.0)


def calibrated(probability: float, line: Sequence[float]) -> float:
    """Platt scaling (Platt 1999): ``line`` is the slope and the offset of the log odds."""
    p = min(max(probability, EPSILON), 1.0 - EPSILON)
    odds = line[0] * math.log(p / (1.0 - p)) + line[1]
    return 1.0 / (1.0 + math.exp(-max(-LARGEST, min(LARGEST, odds))))


def check_line(name: str, setting: str, line: Sequence[float]) -> Sequence[float]:
    """The line. Raises ValueError where it has no slope and offset."""
    if len(line) != 2:
        raise ValueError(f"{name}: {setting} needs a slope and an offset, not {list(line)}")
    return line


@Language.factory(
    "communique_confidence",
    requires=["doc._.confidences", "doc._.relations"],
    assigns=["doc._.confidences", "doc._.relations"],
    default_config={"entities": [1.0, 0.0], "spans": [1.0, 0.0], "relations": [1.0, 0.0]},
)
def make_confidence(
    nlp: Language, name: str, entities: List[float], spans: List[float], relations: List[float]
) -> "Confidence":
    return Confidence(name, entities=entities, spans=spans, relations=relations)


class Confidence(Pipe):
    """Turns the scores of mentions and relations into calibrated probabilities.

    Each layer has a line, the slope and offset of its log odds, which ``communique calibrate`` fits on gold releases. A
    relation is right only where its arguments are, so its score is first multiplied with theirs.
    """

    def __init__(
        self, name: str, *, entities: Sequence[float], spans: Sequence[float], relations: Sequence[float]
    ) -> None:
        self.name = name
        self.entities = check_line(name, "entities", entities)
        self.spans = check_line(name, "spans", spans)
        self.relations = check_line(name, "relations", relations)

    def __call__(self, doc: Doc) -> Doc:
        entities = {span_key(e.start, e.end, e.label_) for e in doc.ents}
        found: Mapping[str, float] = doc._.confidences
        scores: Dict[str, float] = {
            key: calibrated(p, self.entities if key in entities else self.spans) for key, p in found.items()
        }
        doc._.confidences = scores
        doc._.relations = [self._relation(r, scores) for r in doc._.relations]
        return doc

    def _relation(self, relation: Dict[str, Any], scores: Mapping[str, float]) -> Dict[str, Any]:
        ends = [scores.get(span_key(*relation[end]), 1.0) for end in ("head", "tail")]
        return {**relation, "score": calibrated(float(relation["score"] or 0.0) * ends[0] * ends[1], self.relations)}
