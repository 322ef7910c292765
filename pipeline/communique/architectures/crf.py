"""A linear-chain conditional random field over token vectors (Lafferty, McCallum and Pereira 2001)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, List, Optional, Tuple

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
    """Scaled forward and backward variables, both (steps, batch, tags); see Rabiner 1989, section V.A."""

    alpha: Array
    beta: Array
    weight: Array
    scale: Array
    moves: Array
    log_z: Array

    def tags(self) -> Array:
        """P(tag at step), shape (steps, batch, tags)."""
        return self.alpha * self.beta

    def transitions(self, mask: Array) -> Array:
        """Expected number of each transition in the batch, shape (tags, tags)."""
        tags = self.alpha.shape[-1]
        left = self.alpha[:-1].reshape((-1, tags))
        right = (self.weight * self.beta / self.scale[:, :, None])[1:] * mask[1:, :, None]
        return (left.T @ right.reshape((-1, tags))) * self.moves

    def span(self, column: int, start: int, tags: List[int]) -> float:
        """Probability that the tags stand at steps start, start + 1, ... of one sequence."""
        p = self.alpha[start, column, tags[0]]
        for step, (a, b) in enumerate(zip(tags, tags[1:]), start + 1):
            p = p * self.moves[a, b] * self.weight[step, column, b] / self.scale[step, column]
        return float(min(1.0, p * self.beta[start + len(tags) - 1, column, tags[-1]]))


def marginals(xp: Any, lattice: Lattice) -> Marginals:
    """Forward-backward over a batch."""
    steps, batch, _ = lattice.emissions.shape
    top = lattice.emissions.max(axis=2, keepdims=True)
    weight = xp.exp(lattice.emissions - top)
    moves, last = xp.exp(lattice.T), xp.exp(lattice.end)
    alpha, beta = xp.zeros_like(weight), xp.zeros_like(weight)
    scale = xp.ones((steps, batch))
    current = weight[0] * xp.exp(lattice.start)
    scale[0] = current.sum(axis=1)
    alpha[0] = current / scale[0][:, None]
    for t in range(1, steps):
        current = (alpha[t - 1] @ moves) * weight[t]
        total = current.sum(axis=1)
        alive = lattice.mask[t] > 0
        scale[t] = xp.where(alive, total, 1.0)
        alpha[t] = xp.where(alive[:, None], current / scale[t][:, None], alpha[t - 1])
    final = alpha[-1] @ last
    beta[-1] = last[None, :] / final[:, None]
    for t in range(steps - 2, -1, -1):
        following = (weight[t + 1] * beta[t + 1]) @ moves.T / scale[t + 1][:, None]
        beta[t] = xp.where(lattice.mask[t + 1][:, None] > 0, following, beta[t + 1])
    log_z = ((xp.log(scale) + top[:, :, 0]) * lattice.mask).sum(axis=0) + xp.log(final)
    return Marginals(alpha, beta, weight, scale, moves, log_z)


def viterbi(xp: Any, lattice: Lattice) -> List[Array]:
    """The best tag sequence of each doc (Viterbi 1967), one int array of shape (tokens,) each.

    Only scores are kept on the way; what came before a tag is looked for on the way back, where it is one tag a step.
    """
    steps, batch, _ = lattice.emissions.shape
    scores = xp.empty_like(lattice.emissions)
    scores[0] = lattice.emissions[0] + lattice.start
    groups = _predecessors(xp, lattice.T)
    best = xp.empty_like(scores[0])
    for t in range(1, steps):
        for tags, before, moves in groups:
            best[:, tags] = (scores[t - 1][:, before] + moves).max(axis=1)
        best += lattice.emissions[t]
        scores[t] = xp.where(lattice.mask[t][:, None] > 0, best, scores[t - 1])
    out = xp.zeros((steps, batch), dtype="int64")
    tag = (scores[-1] + lattice.end).argmax(axis=1)
    moves = xp.ascontiguousarray(lattice.T.T)
    for t in range(steps - 1, 0, -1):
        out[t] = tag
        tag = xp.where(lattice.mask[t] > 0, (scores[t - 1] + moves[tag]).argmax(axis=1), tag)
    out[0] = tag
    return [out[: lattice.lengths[i], i] for i in range(batch)]


def _predecessors(xp: Any, T: Array) -> List[Tuple[Array, Array, Array]]:
    """Tags that as many others may come before: (tags, which others, their transition scores), the latter two of shape
    (1 or more, tags). Inside of an entity these are two, so that most pairs of tags need not be looked at.
    """
    allowed = T > FORBIDDEN / 2
    counts = allowed.sum(axis=0)
    groups = []
    for count in sorted(set(counts.tolist())):
        tags = xp.flatnonzero(counts == count)
        before = xp.stack([xp.flatnonzero(allowed[:, tag]) for tag in tags], axis=1)
        groups.append((tags, before, T[before, tags]))
    return groups


def negative_log_likelihood(
    xp: Any, lattice: Lattice, gold: List[Array]
) -> Tuple[float, List[Array], Array, Array, Array]:
    """Loss of the gold tags and its gradients: of the emissions (one array a doc), T, start and end."""
    found = marginals(xp, lattice)
    grad = found.tags() * lattice.mask[:, :, None]
    d_T = found.transitions(lattice.mask)
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
