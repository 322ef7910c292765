"""The metrics of the annotation guide, on releases. Needs NumPy, and SciPy for the assignment.

Entities: micro precision, recall and F1 over exact (start, end, label). Spans (pledges): exact, and one to one by
token overlap. Relations: strict, and as facts between gold clusters. Identity: the mean F1 of MUC (Vilain et al.
1995), B-cubed (Bagga and Baldwin 1998) and CEAF-e (Luo 2005) over gold mentions.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, Dict, Hashable, Iterable, List, Optional, Sequence, Set, Tuple

import numpy as np

from ..release import Mention, Release
from ..schema import Schema

TOKEN = re.compile(r"\w+|[^\w\s]")
OVERLAP = 0.5
Span = Tuple[int, int, str]
Triple = Tuple[Any, Any, str]
LAYERS = ("entities", "pledges exact", "pledges overlap", "relations strict", "facts")


def layers_of(schema: Schema) -> Tuple[str, ...]:
    """Names of the layers, as ``LAYERS``, the enclosing spans' by the scheme's key."""
    spans = (f"{schema.span_key} exact", f"{schema.span_key} overlap") if schema.spans else ()
    return ("entities", *spans, "relations strict", "facts")


def prf(tp: float, predicted: float, gold: float) -> Dict[str, float]:
    """Precision, recall and F1; 0 where there is nothing to divide by."""
    p, r = tp / predicted if predicted else 0.0, tp / gold if gold else 0.0
    return {"p": p, "r": r, "f": 2 * p * r / (p + r) if p + r else 0.0, "gold": gold, "predicted": predicted}


@dataclass
class Tally:
    """Counts of one or many releases. Add releases, then ask for the result."""

    schema: Schema
    counts: Dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    identity: Dict[str, List[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0] * 4))

    def add(self, gold: Release, predicted: Release) -> None:
        """Count one release. Raises ValueError if the texts differ: offsets would mean nothing."""
        if gold.text != predicted.text:
            raise ValueError(f"{gold.id}: the predicted release's text differs from the gold one's")
        entities, spans = split_layers(gold, self.schema)
        found, found_spans = split_layers(predicted, self.schema)
        self._count("entities", {span_of(m) for m in found}, {span_of(m) for m in entities})
        self._count(f"{self.schema.span_key} exact", {span_of(m) for m in found_spans}, {span_of(m) for m in spans})
        pairs = pair_spans(gold.text, spans, found_spans)
        matched = {(pairs.get(m.id, ("no", m.id)), m.label) for m in found_spans}
        self._count(f"{self.schema.span_key} overlap", matched, {(m.id, m.label) for m in spans})
        cluster = clusters_of(gold)
        for layer, names in (("relations strict", None), ("facts", cluster)):
            want = set(triples(gold, self.schema, {}, True, names))
            got = set(triples(predicted, self.schema, pairs, False, names))
            self._count(layer, got, want)
        guess = clusters_of(predicted)
        for name, values in identity_counts(cluster, guess).items():
            self.identity[name] = [a + b for a, b in zip(self.identity[name], values)]

    def _count(self, layer: str, got: Set[Any], want: Set[Any]) -> None:
        for key, items in (("predicted", got), ("gold", want), ("tp", got & want)):
            for item in items:
                self.counts[layer][key] += 1
                self.counts[f"{layer}:{item[-1]}"][key] += 1

    def result(self) -> Dict[str, Dict[str, float]]:
        """{layer or "layer:LABEL": p, r, f, gold, predicted} and, where the gold has clusters, the identity figures."""
        out = {k: prf(c["tp"], c["predicted"], c["gold"]) for k, c in self.counts.items()}
        if not self.identity["b3"][1]:
            return out
        fs = []
        for name, (rn, rd, pn, pd) in self.identity.items():
            r, p = (rn / rd if rd else 0.0), (pn / pd if pd else 0.0)
            fs.append(2 * p * r / (p + r) if p + r else 0.0)
            out[f"identity {name}"] = {"p": p, "r": r, "f": fs[-1]}
        out["identity"] = {"f": sum(fs) / len(fs) if fs else 0.0}
        return out


def score_releases(
    gold: Iterable[Release], predicted: Iterable[Release], schema: Schema
) -> Dict[str, Dict[str, float]]:
    """All scores of predicted releases, matched to gold ones by id; a missing one counts as predicted empty."""
    by_id = {r.id: r for r in predicted}
    tally = Tally(schema)
    for release in gold:
        tally.add(release, by_id.get(release.id, Release(release.id, release.text)))
    return tally.result()


def split_layers(release: Release, schema: Schema) -> Tuple[List[Mention], List[Mention]]:
    """The release's entities, and its spans that may enclose entities."""
    entities: List[Mention] = []
    spans: List[Mention] = []
    for m in release.mentions:
        (spans if m.label in schema.spans else entities).append(m)
    return entities, spans


def span_of(m: Mention) -> Span:
    """What two mentions share that are the same: offsets and label."""
    return m.start, m.end, m.label


def clusters_of(release: Release) -> Dict[Span, Optional[str]]:
    """{mention: its cluster}, of the mentions that have one."""
    return {span_of(m): m.cluster for m in release.mentions if m.cluster is not None}


def pair_spans(text: str, gold: Sequence[Mention], predicted: Sequence[Mention]) -> Dict[int, int]:
    """Greedy one-to-one pairing of spans by token overlap, best first, at an intersection over union of 0.5.

    Returns {predicted id: gold id}.
    """
    tokens = [(t.start(), t.end()) for t in TOKEN.finditer(text)]

    def inside(m: Mention) -> Set[int]:
        return {start for start, end in tokens if start < m.end and end > m.start}

    scored = []
    for g in gold:
        a = inside(g)
        for p in predicted:
            b = inside(p)
            overlap = len(a & b) / len(a | b) if a | b else 0.0
            if overlap >= OVERLAP:
                scored.append((-overlap, g.id, p.id))
    pairs: Dict[int, int] = {}
    taken: Set[int] = set()
    for _, gold_id, found_id in sorted(scored):
        if found_id not in pairs and gold_id not in taken:
            pairs[found_id] = gold_id
            taken.add(gold_id)
    return pairs


def triples(
    release: Release, schema: Schema, pairs: Dict[int, int], gold: bool, names: Optional[Dict[Span, Optional[str]]]
) -> List[Triple]:
    """One (argument, argument, type) for each relation of a release, in order, alike where the guide counts them alike.

    ``pairs`` are the predicted spans that match gold ones, see ``pair_spans``; ``names`` the gold clusters that stand
    for mentions, or None to compare mentions.
    """
    by_id = {m.id: m for m in release.mentions}

    def argument(mention_id: int) -> Any:
        m = by_id[mention_id]
        if m.label in schema.spans:
            return ("span", m.id if gold else pairs.get(m.id, ("no", m.id)))
        span = span_of(m)
        return span if names is None else names.get(span, span)

    out: List[Triple] = []
    for r in release.relations:
        ends = [argument(r.head), argument(r.tail)]
        if r.type in schema.symmetric:
            ends.sort(key=repr)
        out.append((ends[0], ends[1], r.type))
    return out


def identity_counts(gold: Dict[Span, Any], predicted: Dict[Span, Any]) -> Dict[str, Tuple[float, float, float, float]]:
    """Recall numerator and denominator, precision numerator and denominator of MUC, B-cubed and CEAF-e.

    Gold mentions that the prediction lacks are singletons of their own there; other predicted mentions don't count.
    """
    key = _groups(gold, gold)
    response = _groups(gold, {m: predicted.get(m, ("alone", m)) for m in gold})
    best = _ceaf_e(key, response) if key else 0.0
    return {
        "muc": (*_muc(key, response), *_muc(response, key)),
        "b3": (*_b_cubed(key, response), *_b_cubed(response, key)),
        "ceafe": (best, len(key), best, len(response)),
    }


def _groups(order: Iterable[Span], names: Dict[Span, Hashable]) -> List[Set[Span]]:
    groups: Dict[Hashable, Set[Span]] = defaultdict(set)
    for mention in order:
        groups[names[mention]].add(mention)
    return list(groups.values())


def _where(groups: List[Set[Span]]) -> Dict[Span, int]:
    return {m: i for i, group in enumerate(groups) for m in group}


def _muc(a: List[Set[Span]], b: List[Set[Span]]) -> Tuple[float, float]:
    where = _where(b)
    return sum(len(g) - len({where[m] for m in g}) for g in a), sum(len(g) - 1 for g in a)


def _ceaf_e(key: List[Set[Span]], response: List[Set[Span]]) -> float:
    from scipy.optimize import linear_sum_assignment  # not in the base install, which only annotates

    phi = np.asarray([[2 * len(k & r) / (len(k) + len(r)) for r in response] for k in key])
    return float(phi[linear_sum_assignment(phi, maximize=True)].sum())


def _b_cubed(a: List[Set[Span]], b: List[Set[Span]]) -> Tuple[float, float]:
    where = _where(b)
    # whole numbers within a group: a set's order, which differs from run to run, can't change their sum
    return sum(sum(len(g & b[where[m]]) for m in g) / len(g) for g in a), sum(map(len, a))
