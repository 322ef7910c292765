"""Scores typed relations between pairs of mentions.

The first layer of a perceptron over [head; tail; contexts; features] is a sum of projections, so each mention and each
token is projected once and pairs only gather and add. The words before, between and behind two mentions are pooled by
attention; prefix sums of the weighted values give any pair's context in constant time.
"""

from __future__ import annotations

from typing import Any, Callable, List, Optional, Tuple, cast

import numpy as np
from spacy.tokens import Doc
from spacy.util import registry
from thinc.api import Dropout, LayerNorm, Linear, Maxout, Model, chain
from thinc.initializers import normal_init
from thinc.types import Floats2d

from ..components.pairs import FEATURES, PairBatch

InT = Tuple[List[Doc], PairBatch]
ZONES = ("before", "between", "behind")
SHARPNESS = 4.0
OFFSETS = np.cumsum([0, *FEATURES.values()])


@registry.architectures("communique.RelationModel.v1")
def build_relation_model(
    tok2vec: Model[List[Doc], List[Floats2d]],
    hidden_width: int,
    dropout: float,
    nO: Optional[int] = None,
) -> Model[InT, Floats2d]:
    """(docs, pairs) to logits of shape (pairs, relation types); several types a pair may hold.

    The number of mention labels is the dim "labels" of the reference "pairs".
    """
    output: Model[Floats2d, Floats2d] = Linear(nO=nO, nI=hidden_width)
    pairs = build_pair_layer(tok2vec, hidden_width, dropout)
    hidden: Model[Any, Any] = Maxout(nO=hidden_width, nI=hidden_width, nP=3, dropout=dropout, normalize=True)
    model: Model[InT, Floats2d] = chain(pairs, hidden, output)
    model.set_ref("tok2vec", tok2vec)
    model.set_ref("pairs", pairs)
    model.set_ref("output_layer", output)
    return model


def build_pair_layer(tok2vec: Model[List[Doc], List[Floats2d]], width: int, dropout: float) -> Model[InT, Floats2d]:
    """(docs, pairs) to pair vectors of shape (pairs, width)."""
    head: Model[Any, Any] = Linear(nO=width)
    tail: Model[Any, Any] = Linear(nO=width)
    values: List[Model[Any, Any]] = [Linear(nO=width) for _ in ZONES]
    attention: Model[Any, Any] = Linear(nO=len(ZONES))
    final: Model[Any, Any] = chain(LayerNorm(nI=width), Dropout(dropout))
    return Model(
        "pair_vectors",
        _forward,
        init=_init,
        layers=[tok2vec, head, tail, attention, final, *values],
        dims={"nO": width, "labels": None},
        params={"features": None, "signature": None},
    )


def _init(model: Model[InT, Floats2d], X: Optional[InT] = None, Y: Any = None) -> None:
    tok2vec, head, tail, attention, final, *values = model.layers
    tok2vec.initialize(X=None if X is None else X[0])
    width = tok2vec.get_dim("nO")
    for layer, size in [(head, 3 * width), (tail, 3 * width), (attention, width), *((v, width) for v in values)]:
        layer.set_dim("nI", size, force=True)
        layer.initialize()
    final.initialize()
    out, labels = model.get_dim("nO"), model.get_dim("labels")
    model.set_param("features", normal_init(model.ops, (int(OFFSETS[-1]), out), mean=0.0))
    model.set_param("signature", normal_init(model.ops, (labels * labels, out), mean=0.0))


def _forward(model: Model[InT, Floats2d], X: InT, is_train: bool) -> Tuple[Floats2d, Callable[[Floats2d], List[Doc]]]:
    docs, pairs = X
    tok2vec, head, tail, attention, final, *values = model.layers
    ops = model.ops
    vectors, bp_tok2vec = tok2vec(docs, is_train)
    lengths = [len(v) for v in vectors]
    tokens = ops.xp.concatenate(vectors) if vectors else ops.alloc2f(0, tok2vec.get_dim("nO"))

    mentions, bp_mentions = _mention_vectors(ops, tokens, pairs)
    head_out, bp_head = head(mentions, is_train)
    tail_out, bp_tail = tail(mentions, is_train)
    scores, bp_attention = attention(tokens, is_train)
    rows = pairs.features + OFFSETS[:-1]
    labels = pairs.labels[pairs.heads] * model.get_dim("labels") + pairs.labels[pairs.tails]
    features, signature = model.get_param("features"), model.get_param("signature")
    total = head_out[pairs.heads] + tail_out[pairs.tails] + signature[labels]
    total += ops.gather_add(cast(Floats2d, features), rows.astype("uint32"))
    callbacks = []
    for zone, (layer, (starts, ends, which)) in enumerate(zip(values, _zones(pairs))):
        value, bp_value = layer(tokens, is_train)
        pooled, bp_pool = _attend(ops.xp, value, scores[:, zone], starts, ends)
        total += ops.asarray2f(pooled)[which]
        callbacks.append((bp_value, bp_pool, which, len(starts)))
    Y, bp_final = final(ops.asarray2f(total), is_train)

    def backprop(dY: Floats2d) -> List[Doc]:
        d_total = bp_final(dY)
        d_heads, d_tails = (ops.alloc2f(*head_out.shape) for _ in range(2))
        ops.scatter_add(d_heads, pairs.heads, d_total)
        ops.scatter_add(d_tails, pairs.tails, d_total)
        d_tokens = bp_mentions(bp_head(d_heads) + bp_tail(d_tails))
        d_scores = ops.alloc2f(*scores.shape)
        for zone, (bp_value, bp_pool, which, size) in enumerate(callbacks):
            d_pooled = ops.alloc2f(size, d_total.shape[1])
            ops.scatter_add(d_pooled, which, d_total)
            d_value, d_scores[:, zone] = bp_pool(d_pooled)
            d_tokens += bp_value(ops.asarray2f(d_value))
        d_tokens += bp_attention(d_scores)
        model.inc_grad("features", _sum_rows(ops, features, rows, d_total))
        model.inc_grad("signature", _sum_rows(ops, signature, labels[:, None], d_total))
        d_docs: List[Doc] = bp_tok2vec(ops.unflatten(d_tokens, ops.asarray1i(lengths)))
        return d_docs

    return Y, backprop


def _sum_rows(ops: Any, table: Any, rows: Any, d_total: Any) -> Any:
    """Gradient of a table whose rows were gathered into pairs: a product with the counts, which are few columns."""
    counts = ops.alloc2f(rows.shape[0], table.shape[0])
    index = ops.xp.arange(rows.shape[0])
    for column in range(rows.shape[1]):
        counts[index, rows[:, column]] += 1
    return counts.T @ d_total


def _mention_vectors(ops: Any, tokens: Any, pairs: PairBatch) -> Tuple[Any, Callable[[Any], Any]]:
    """First token, last token and mean of each mention: (mentions, 3 * width)."""
    starts, ends = pairs.mentions[:, 0], pairs.mentions[:, 1]
    width, sizes = tokens.shape[1], ops.asarray1i((ends - starts).tolist())
    inside = _ranges(starts, ends)
    mean = ops.reduce_mean(ops.as_contig(tokens[inside]), sizes)
    Y = ops.xp.concatenate([tokens[starts], tokens[ends - 1], mean], axis=1)

    def backprop(dY: Any) -> Any:
        d_tokens = ops.alloc2f(*tokens.shape)
        ops.scatter_add(d_tokens, starts, ops.as_contig(dY[:, :width]))
        ops.scatter_add(d_tokens, ends - 1, ops.as_contig(dY[:, width : 2 * width]))
        ops.scatter_add(d_tokens, inside, ops.backprop_reduce_mean(ops.as_contig(dY[:, 2 * width :]), sizes))
        return d_tokens

    return Y, backprop


def _ranges(starts: Any, ends: Any) -> Any:
    """The numbers from each start to its end, one after the other."""
    sizes = ends - starts
    before = np.cumsum(sizes) - sizes
    return np.arange(sizes.sum()) + np.repeat(starts - before, sizes)


def _zones(pairs: PairBatch) -> List[Tuple[Any, Any, Any]]:
    """The tokens before, between and behind each pair, within the sentences of the two: (starts, ends) of the different
    intervals, and which of them is each pair's. Many pairs share one.
    """
    heads_first = pairs.mentions[pairs.heads, 0] <= pairs.mentions[pairs.tails, 0]
    first = np.where(heads_first, pairs.heads, pairs.tails)
    second = np.where(heads_first, pairs.tails, pairs.heads)
    reach = np.maximum(pairs.mentions[first, 1], pairs.mentions[second, 1])
    bounds = [
        (pairs.sentences[first, 0], pairs.mentions[first, 0]),
        (pairs.mentions[first, 1], pairs.mentions[second, 0]),
        (reach, pairs.sentences[second, 1]),
    ]
    return [_different(start, np.maximum(start, end)) for start, end in bounds]


def _different(starts: Any, ends: Any) -> Tuple[Any, Any, Any]:
    """The different intervals, and which of them each one is."""
    span = int(ends.max(initial=0)) + 1
    kinds, which = np.unique(starts * span + ends, return_inverse=True)
    return kinds // span, kinds % span, which.reshape(-1)


def _attend(xp: Any, values: Any, scores: Any, starts: Any, ends: Any) -> Tuple[Any, Callable[[Any], Any]]:
    """Mean of the values in [start, end), weighted by exp of the bounded scores; zero for an empty interval."""
    bounded = xp.tanh(scores / SHARPNESS)
    weight = xp.exp(SHARPNESS * bounded).astype("float64")[:, None]
    weighted = xp.concatenate([xp.zeros((1, values.shape[1])), xp.cumsum(weight * values, axis=0)])
    mass = xp.concatenate([xp.zeros((1, 1)), xp.cumsum(weight, axis=0)])
    full = (ends > starts)[:, None]
    total = xp.where(full, mass[ends] - mass[starts], 1.0)
    pooled = xp.where(full, (weighted[ends] - weighted[starts]) / total, 0.0)

    def backprop(d_pooled: Any) -> Tuple[Any, Any]:
        d_sum = xp.where(full, d_pooled / total, 0.0)
        d_mass = -(d_sum * pooled).sum(axis=1, keepdims=True)
        edges = xp.zeros((len(values) + 1, values.shape[1] + 1))
        both = xp.concatenate([d_sum, d_mass], axis=1)
        xp.add.at(edges, starts, both)
        xp.add.at(edges, ends, -both)
        spread = xp.cumsum(edges, axis=0)[:-1]
        d_values = weight * spread[:, :-1]
        d_weight = (spread[:, :-1] * values).sum(axis=1) + spread[:, -1]
        return d_values, d_weight * weight[:, 0] * (1 - bounded**2)

    return pooled, backprop
