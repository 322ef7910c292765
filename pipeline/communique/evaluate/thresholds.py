"""Precision, recall and F1 of what is at least so confident."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Hashable, Iterable, List, Optional, Sequence, Set, Tuple

from ..schema import Schema
from .alignment import Alignment
from .calibration import KINDS, Pair, fact_triples
from .metrics import Triple, clusters_of, prf, span_of, triples

STEPS = 100
Scores = Dict[Any, float]


@dataclass
class Scored:
    """Distinct predictions of one kind as the metrics count them, with confidence, and the number of gold ones."""

    pairs: List[Pair] = field(default_factory=list)
    gold: int = 0

    def add(self, found: Scores, want: Set[Any]) -> None:
        self.pairs += [(score, item in want) for item, score in found.items()]
        self.gold += len(want)


@dataclass(frozen=True)
class Point:
    """Scores of what has a confidence of ``threshold`` and more; precision is None where that is nothing."""

    threshold: float
    p: Optional[float]
    r: float
    f: float


def scored_predictions(alignments: Iterable[Alignment], schema: Schema) -> Dict[str, Scored]:
    """By kind. At the lowest threshold its scores are those of the guide's metrics: of pledges, by the overlap rule.

    What has no confidence is taken for certain. A fact between gold clusters has the best confidence of the predicted
    facts that state it, or of its relations where the pipeline writes no facts.
    """
    out = {kind: Scored() for kind in KINDS}
    for one in alignments:
        out["entities"].add(_best((span_of(m), m.score) for m in one.found), {span_of(m) for m in one.entities})
        spans = (((one.pairs.get(m.id, ("no", m.id)), m.label), m.score) for m in one.found_spans)
        out["pledges"].add(_best(spans), {(m.id, m.label) for m in one.spans})
        for kind, names in (("relations", None), ("facts", clusters_of(one.gold))):
            found = triples(one.predicted, schema, one.pairs, False, names)
            best = _best((t, r.score) for t, r in zip(found, one.predicted.relations))
            if kind == "facts":
                best.update(_stated(one, schema))
            out[kind].add(best, set(triples(one.gold, schema, {}, True, names)))
    return out


def _best(items: Iterable[Tuple[Hashable, Optional[float]]]) -> Scores:
    out: Scores = {}
    for item, score in items:
        out[item] = max(out.get(item, 0.0), 1.0 if score is None else score)
    return out


def _stated(one: Alignment, schema: Schema) -> Scores:
    facts = one.predicted.facts or []
    stated: List[List[Triple]] = fact_triples(one.gold, one.predicted, schema, one.pairs)
    return _best((t, fact.get("score")) for fact, said in zip(facts, stated) for t in said)


def threshold_curve(pairs: Sequence[Pair], gold: int, steps: int = STEPS) -> List[Point]:
    """Scores at thresholds from 0 to 1, all steps of one size."""
    out: List[Point] = []
    for step in range(steps + 1):
        kept = [correct for score, correct in pairs if score >= step / steps]
        score = prf(sum(kept), len(kept), gold)
        out.append(Point(step / steps, score["p"] if kept else None, score["r"], score["f"]))
    return out


def best_point(curve: Iterable[Point]) -> Point:
    """The point of the best F1, the lowest threshold of several."""
    return max(curve, key=lambda point: (point.f, -point.threshold))
