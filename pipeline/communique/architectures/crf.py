"""A linear-chain conditional random field over token vectors (Lafferty, McCallum and Pereira 2001)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np
from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Linear, Maxout, Model, chain, with_array
from thinc.types import Floats2d

FORBIDDEN = -1e4
Array = Any


@registry.architectures("communique.SpanCRF.v1")
def build_span_crf(
    tok2vec: Model[List[Doc], List[Floats2d]], hidden_width: int, dropout: float, nO: Optional[int] = None
) -> Model[List[Doc], List[Floats2d]]:
    """Token vectors to the emission scores of a CRF: one (tokens, tags) array a doc.

    The reference "crf" is the layer that holds the transition scores ``T`` (tags, tags), ``start`` and ``end`` (tags).
    """
    crf: Model[List[Floats2d], List[Floats2d]] = Model(
        "crf", _passthrough, init=_init_crf, dims={"nO": nO}, params={"T": None, "start": None, "end": None}
    )
    output: Model[Any, Any] = Linear(nO=nO, nI=hidden_width)
    hidden: Model[Any, Any] = Maxout(nO=hidden_width, nP=2, dropout=dropout, normalize=True)
    model: Model[List[Doc], List[Floats2d]] = chain(tok2vec, with_array(chain(hidden, output)), crf)
    model.set_ref("tok2vec", tok2vec)
    model.set_ref("output_layer", output)
    model.set_ref("crf", crf)
    return model


def _passthrough(
    model: Model[Any, Any], X: List[Floats2d], is_train: bool
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Floats2d]]]:
    return X, lambda dX: dX


def _init_crf(model: Model[Any, Any], X: Any = None, Y: Any = None) -> None:
    if model.has_dim("nO") is None:
        return
    tags = model.get_dim("nO")
    model.set_param("T", model.ops.alloc2f(tags, tags))
    model.set_param("start", model.ops.alloc1f(tags))
    model.set_param("end", model.ops.alloc1f(tags))


@dataclass
class TagScheme:
    """BILUO tags of some labels: 0 is O, then B, I, L, U of each label."""

    labels: Tuple[str, ...]

    @property
    def size(self) -> int:
        return 1 + 4 * len(self.labels)

    def encode(self, spans: List[Tuple[int, int, str]], length: int) -> "np.ndarray[Any, Any]":
        """Tags of shape (length,) for spans (start, end, label) that don't overlap."""
        tags = np.zeros(length, dtype="i")
        for start, end, label in spans:
            first = 1 + 4 * self.labels.index(label)
            if end - start == 1:
                tags[start] = first + 3
            else:
                tags[start], tags[end - 1] = first, first + 2
                tags[start + 1 : end - 1] = first + 1
        return tags

    def decode(self, tags: "np.ndarray[Any, Any]") -> List[Tuple[int, int, str]]:
        """Spans of a valid tag sequence."""
        spans = []
        start = 0
        for i, tag in enumerate(tags.tolist()):
            kind = (tag - 1) % 4
            if tag == 0:
                continue
            if kind in (0, 3):
                start = i
            if kind in (2, 3):
                spans.append((start, i + 1, self.labels[(tag - 1) // 4]))
        return spans

    def constraints(self) -> Tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]:
        """Penalties for transitions (tags, tags), first tags and last tags that BILUO forbids."""
        n = self.size
        opens = [t == 0 or (t - 1) % 4 in (0, 3) for t in range(n)]
        closes = [t == 0 or (t - 1) % 4 in (2, 3) for t in range(n)]
        table = np.full((n, n), FORBIDDEN)
        for a in range(n):
            for b in range(n):
                inside = a and b and (a - 1) // 4 == (b - 1) // 4 and (a - 1) % 4 in (0, 1) and (b - 1) % 4 in (1, 2)
                if inside or (closes[a] and opens[b]):
                    table[a, b] = 0.0
        first = np.where(opens, 0.0, FORBIDDEN)
        last = np.where(closes, 0.0, FORBIDDEN)
        return table, first, last


@dataclass
class Lattice:
    """Padded emissions of a batch and the scores between tags, in float64.

    emissions: (steps, batch, tags); mask: (steps, batch), 1 where there is a token. T, start and end hold the
    constraints already.
    """

    emissions: Array
    mask: Array
    T: Array
    start: Array
    end: Array
    lengths: List[int]

    @property
    def last(self) -> List[int]:
        """Step of the last token of each sequence."""
        return [length - 1 for length in self.lengths]

    @classmethod
    def build(cls, xp: Any, emissions: List[Any], T: Array, start: Array, end: Array) -> "Lattice":
        lengths = [len(e) for e in emissions]
        padded = xp.zeros((max(lengths, default=0), len(lengths), T.shape[0]), dtype="float64")
        mask = xp.zeros(padded.shape[:2], dtype="float64")
        for i, scores in enumerate(emissions):
            padded[: len(scores), i] = scores
            mask[: len(scores), i] = 1.0
        return cls(padded, mask, T.astype("float64"), start.astype("float64"), end.astype("float64"), lengths)


@dataclass
class Marginals:
    """Scaled forward and backward variables, both (steps, batch, tags); see Rabiner 1989, section V.A.

    Behind the last token of a sequence, beta and weight are zero. weight is that of each tag over its step's scale.
    """

    alpha: Array
    beta: Array
    weight: Array
    moves: Array
    log_z: Array

    def tags(self) -> Array:
        """P(tag at step), shape (steps, batch, tags)."""
        return self.alpha * self.beta

    def transitions(self) -> Array:
        """Expected number of each transition in the batch, shape (tags, tags)."""
        tags = self.alpha.shape[-1]
        left = self.alpha[:-1].reshape((-1, tags))
        right = (self.weight * self.beta)[1:]
        return (left.T @ right.reshape((-1, tags))) * self.moves

    def span(self, column: int, start: int, tags: List[int]) -> float:
        """Probability that the tags stand at steps start, start + 1, ... of one sequence."""
        p = self.alpha[start, column, tags[0]]
        for step, (a, b) in enumerate(zip(tags, tags[1:]), start + 1):
            p = p * self.moves[a, b] * self.weight[step, column, b]
        return float(min(1.0, p * self.beta[start + len(tags) - 1, column, tags[-1]]))


def marginals(xp: Any, lattice: Lattice) -> Marginals:
    """Forward-backward over a batch.

    The steps are few operations each, since calling them is what costs: behind the last token of a sequence they go on
    and what they find is thrown away.
    """
    top = lattice.emissions.max(axis=2, keepdims=True)
    weight = xp.exp(lattice.emissions - top)
    moves, last = xp.exp(lattice.T), xp.exp(lattice.end)
    alpha, beta = xp.empty_like(weight), xp.zeros_like(weight)
    scale = xp.empty((*weight.shape[:2], 1))
    before = None
    for current, own, total in zip(alpha, weight, scale):
        if before is None:
            current[:] = xp.exp(lattice.start)
        else:
            xp.matmul(before, moves, out=current)
        current *= own
        current.sum(axis=1, keepdims=True, out=total)
        current /= total
        before = current
    final = alpha[lattice.last, xp.arange(len(lattice.lengths))] @ last
    weight *= lattice.mask[:, :, None] / scale
    back, ends = xp.ascontiguousarray(moves.T), _by_step(lattice.last)
    for t in range(len(beta) - 1, -1, -1):
        if t < len(beta) - 1:
            xp.matmul(weight[t + 1] * beta[t + 1], back, out=beta[t])
        if t in ends:
            beta[t, ends[t]] = last / final[ends[t], None]
    log_z = ((xp.log(scale) + top)[:, :, 0] * lattice.mask).sum(axis=0) + xp.log(final)
    return Marginals(alpha, beta, weight, moves, log_z)


def viterbi(xp: Any, lattice: Lattice) -> List[Array]:
    """The best tag sequence of each doc (Viterbi 1967), one int array of shape (tokens,) each.

    Only scores are kept on the way; what came before a tag is looked for on the way back, where it is one tag a step.
    Behind the last token of a sequence the steps go on; the way back begins at that token.
    """
    steps, batch, _ = lattice.emissions.shape
    scores = lattice.emissions.copy()
    scores[0] += lattice.start
    groups = _predecessors(xp, lattice.T)
    for before, current in zip(scores, scores[1:]):
        for tags, others, moves in groups:
            current[:, tags] += (before[:, others] + moves).max(axis=1)
    final = (scores[lattice.last, xp.arange(batch)] + lattice.end).argmax(axis=1)
    out = xp.empty((steps, batch), dtype="int64")
    moves, ends = xp.ascontiguousarray(lattice.T.T), _by_step(lattice.last)
    tag = final.copy()
    for t in range(steps - 1, -1, -1):
        if t < steps - 1:
            tag = (scores[t] + moves[tag]).argmax(axis=1)
        if t in ends:
            tag[ends[t]] = final[ends[t]]
        out[t] = tag
    return [out[: lattice.lengths[i], i] for i in range(batch)]


def _by_step(last: List[int]) -> Dict[int, List[int]]:
    """The sequences that end at a step, for each step at which some do."""
    found: Dict[int, List[int]] = {}
    for column, step in enumerate(last):
        found.setdefault(step, []).append(column)
    return found


def _predecessors(xp: Any, T: Array) -> List[Tuple[Array, Array, Array]]:
    """Tags that as many others may come before: (tags, which others, their transition scores), the last of shape
    (others, tags), and so is which others, or (others, 1) where all tags have the same. Inside of an entity these are
    two, so that most pairs of tags need not be looked at.
    """
    allowed = T > FORBIDDEN / 2
    counts = allowed.sum(axis=0)
    groups = []
    for count in sorted(set(counts.tolist())):
        tags = xp.flatnonzero(counts == count)
        before = xp.stack([xp.flatnonzero(allowed[:, tag]) for tag in tags], axis=1)
        same = bool((before == before[:, :1]).all())
        groups.append((tags, before[:, :1] if same else before, T[before, tags]))
    return groups


def negative_log_likelihood(
    xp: Any, lattice: Lattice, gold: List[Array]
) -> Tuple[float, List[Array], Array, Array, Array]:
    """Loss of the gold tags and its gradients: of the emissions (one array a doc), T, start and end."""
    found = marginals(xp, lattice)
    grad = found.tags()
    d_T = found.transitions()
    d_start, d_end = grad[0].sum(axis=0), xp.zeros_like(lattice.end)
    loss = float(found.log_z.sum())
    for i, tags in enumerate(gold):
        steps = xp.arange(len(tags))
        last = len(tags) - 1
        loss -= float(lattice.emissions[steps, i, tags].sum() + lattice.T[tags[:-1], tags[1:]].sum())
        loss -= float(lattice.start[tags[0]] + lattice.end[tags[-1]])
        d_end += grad[last, i]
        grad[steps, i, tags] -= 1.0
        xp.add.at(d_T, (tags[:-1], tags[1:]), -1.0)
        d_start[tags[0]] -= 1.0
        d_end[tags[-1]] -= 1.0
    return loss, [grad[: lattice.lengths[i], i] for i in range(len(gold))], d_T, d_start, d_end
