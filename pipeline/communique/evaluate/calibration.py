"""How far confidences can be taken for probabilities: reliability and expected calibration error.

Predictions are put into bins of equal width by confidence; a bin's gap is the distance between its mean confidence and
the share of its predictions that are right. The expected calibration error is the mean gap, weighted by the bins' sizes
(Naeini, Cooper and Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian binning"; Guo, Pleiss, Sun
and Weinberger 2017, "On calibration of modern neural networks"). Only what was predicted is counted.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Sequence, Tuple

import numpy as np

from ..release import Release
from ..schema import Schema
from .metrics import Triple, clusters_of, pair_spans, span_of, split_layers, triples

KINDS = ("entities", "pledges", "relations", "facts")
BINS = 10
Pair = Tuple[float, bool]
Pairs = Dict[str, List[Pair]]


def confidence_pairs(gold: Iterable[Release], predicted: Iterable[Release], schema: Schema) -> Pairs:
    """(confidence, correct) of everything predicted, by kind: entities, pledges, relations, facts.

    Releases are matched by id. Correct is an entity that is exact, a pledge by the overlap rule, a relation that is
    strictly right, and a fact of ``release.facts`` where one of its sentences states a gold fact: its mentions taken
    for the gold clusters that they are in. What has no score is left out; a relation predicted twice counts once, with
    its better score. Raises ValueError if two texts differ.
    """
    by_id = {r.id: r for r in predicted}
    out: Pairs = {kind: [] for kind in KINDS}
    for one in gold:
        other = by_id.get(one.id, Release(one.id, one.text))
        if one.text != other.text:
            raise ValueError(f"{one.id}: the predicted release's text differs from the gold one's")
        for kind, found in _release_pairs(one, other, schema).items():
            out[kind] += found
    return out


def _release_pairs(gold: Release, predicted: Release, schema: Schema) -> Pairs:
    entities, spans = split_layers(gold, schema)
    found, found_spans = split_layers(predicted, schema)
    exact = {span_of(m) for m in entities}
    matched = pair_spans(gold.text, spans, found_spans)
    label = {m.id: m.label for m in spans}
    strict = set(triples(gold, schema, {}, True, None))
    best: Dict[Triple, float] = {}
    for triple, relation in zip(triples(predicted, schema, matched, False, None), predicted.relations):
        if relation.score is not None:
            best[triple] = max(best.get(triple, 0.0), relation.score)
    return {
        "entities": [(m.score, span_of(m) in exact) for m in found if m.score is not None],
        "pledges": [(m.score, label.get(matched.get(m.id, -1)) == m.label) for m in found_spans if m.score is not None],
        "relations": [(score, triple in strict) for triple, score in best.items()],
        "facts": _fact_pairs(gold, predicted, schema, matched),
    }


def _fact_pairs(gold: Release, predicted: Release, schema: Schema, matched: Dict[int, int]) -> List[Pair]:
    known = set(triples(gold, schema, {}, True, clusters_of(gold)))
    stated = fact_triples(gold, predicted, schema, matched)
    facts = predicted.facts or []
    return [
        (float(fact["score"]), any(t in known for t in said))
        for fact, said in zip(facts, stated)
        if fact.get("score") is not None
    ]


def fact_triples(gold: Release, predicted: Release, schema: Schema, matched: Dict[int, int]) -> List[List[Triple]]:
    """For each of the predicted facts what its evidence states, between gold clusters. ``matched``: ``pair_spans``.

    The evidence holds offsets only; the predicted relation of the same type between them tells the mentions.
    """
    by_id = {m.id: m for m in predicted.mentions}
    stated: Dict[Any, List[Triple]] = defaultdict(list)
    for triple, r in zip(triples(predicted, schema, matched, False, clusters_of(gold)), predicted.relations):
        head, tail = by_id[r.head], by_id[r.tail]
        stated[r.type, head.start, head.end, tail.start, tail.end].append(triple)
    return [
        [t for e in fact["evidence"] if "head" in e for t in stated[(fact["type"], *e["head"], *e["tail"])]]
        for fact in predicted.facts or []
    ]


@dataclass(frozen=True)
class Bin:
    """Predictions whose confidence is above ``lower`` (the first bin's: at least) and at most ``upper``.

    size: how many; confidence: their mean confidence; accuracy: the share of them that is right; 0 in an empty bin.
    """

    lower: float
    upper: float
    size: int
    confidence: float
    accuracy: float


def reliability(confidences: Sequence[float], correct: Sequence[bool], bins: int = BINS) -> List[Bin]:
    """The bins of a reliability diagram, in order, of equal width from 0 to 1.

    Raises ValueError where the two sequences differ in length, a confidence is outside of 0 to 1, or bins is below 1.
    """
    if len(confidences) != len(correct):
        raise ValueError(f"{len(confidences)} confidences, but {len(correct)} outcomes")
    if bins < 1:
        raise ValueError("there must be one bin at least")
    scores, right = np.asarray(confidences, dtype="float64"), np.asarray(correct, dtype="float64")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("a confidence is outside of 0 to 1")
    edges = np.linspace(0, 1, bins + 1)
    number = np.searchsorted(edges[1:-1], scores, side="left")
    sizes, sums, hits = (np.bincount(number, weights=w, minlength=bins) for w in (None, scores, right))
    divisor = np.maximum(sizes, 1)
    columns = zip(edges[:-1], edges[1:], sizes, sums / divisor, hits / divisor)
    return [Bin(float(lo), float(up), int(n), float(c), float(a)) for lo, up, n, c, a in columns]


def expected_calibration_error(confidences: Sequence[float], correct: Sequence[bool], bins: int = BINS) -> float:
    """Mean distance between confidence and accuracy over equal-width bins, weighted by size: from 0 to 1.

    0 where nothing was predicted. Raises ValueError as ``reliability`` does.
    """
    found = reliability(confidences, correct, bins)
    total = sum(b.size for b in found)
    return sum(b.size * abs(b.confidence - b.accuracy) for b in found) / total if total else 0.0


def calibration_record(pairs: Pairs, bins: int = BINS) -> Dict[str, Dict[str, Any]]:
    """Expected calibration error, predictions and bins by kind, as plain data; no error where nothing was predicted."""
    out: Dict[str, Dict[str, Any]] = {}
    for kind, found in pairs.items():
        ece = expected_calibration_error([c for c, _ in found], [k for _, k in found], bins)
        out[kind] = {"ece": ece if found else None, "predicted": len(found), "bins": bins}
    return out
