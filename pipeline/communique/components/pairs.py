"""Candidate pairs of mentions, for a whole batch at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, List, Sequence, Tuple

import numpy as np
from spacy.tokens import Doc
from spacy.util import registry

from ..bridge import Key
from ..schema import Schema

Ints = "np.ndarray[Any, np.dtype[np.int64]]"


@dataclass
class PairBatch:
    """Mentions and candidate pairs of a batch of docs, as flat arrays.

    Token offsets count over the concatenated docs.

    mentions: (mentions, 2) start and end token; labels: (mentions,) index of the label; sentences: (mentions, 2) start
    and end token of the mention's sentence; heads, tails: (pairs,) index of the mention; features: (pairs, columns),
    see ``FEATURES``; allowed: (pairs, relation types), False where the signature forbids the type; offsets: (docs + 1,)
    where each doc's mentions begin.
    """

    mentions: Any
    labels: Any
    sentences: Any
    heads: Any
    tails: Any
    features: Any
    allowed: Any
    offsets: Any

    def __len__(self) -> int:
        return len(self.heads)


# Column: number of values. Distances are put into buckets of growing width.
BUCKETS = np.asarray([0, 1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 45])
FEATURES = {
    "token_distance": len(BUCKETS) + 2,
    "sentence_distance": 8,
    "order": 2,
    "mentions_between": 8,
    "head_rivals": 5,
    "tail_rivals": 5,
    "head_again": 3,
    "first_line": 4,
}
PairSuggester = Callable[[Sequence[Doc], Sequence[Sequence[Key]], Schema], PairBatch]


@registry.misc("communique.PairSuggester.v1")
def build_pair_suggester(max_sentences: int, max_between: int) -> PairSuggester:
    """Suggests every pair that a signature allows at most ``max_sentences`` sentences apart, with fewer than
    ``max_between`` mentions between the two, so that the number of pairs grows with the text and not its square.

    A pair whose types are all symmetric is suggested once, the mention that comes first as its head.
    """
    return partial(_suggest, max_sentences, max_between)  # which pickles, for processes that don't fork


def _suggest(
    max_sentences: int, max_between: int, docs: Sequence[Doc], mentions: Sequence[Sequence[Key]], schema: Schema
) -> PairBatch:
    signature = schema.signature()
    symmetric = np.asarray([r.symmetric for r in schema.relations], dtype=bool)
    index = {label: i for i, label in enumerate(schema.labels)}
    parts, first_token, first_mention = [], 0, 0
    for doc, keys in zip(docs, mentions):
        known = [k for k in keys if k[2] in index]
        part = _doc_pairs(doc, known, index, signature, symmetric, max_sentences, max_between)
        part.mentions += first_token
        part.sentences += first_token
        part.heads += first_mention
        part.tails += first_mention
        parts.append(part)
        first_token += len(doc)
        first_mention += len(known)
    counts = [len(p.labels) for p in parts]
    names = ("mentions", "labels", "sentences", "heads", "tails", "features", "allowed")
    arrays = {n: np.concatenate([getattr(p, n) for p in parts]) for n in names}
    return PairBatch(**arrays, offsets=np.cumsum([0, *counts]))


def _doc_pairs(
    doc: Doc, keys: List[Key], index: Any, signature: Any, symmetric: Any, max_sentences: int, max_between: int
) -> PairBatch:
    n = len(keys)
    spans = np.asarray([k[:2] for k in keys], dtype="int64").reshape((n, 2))
    labels = np.asarray([index[k[2]] for k in keys], dtype="int64")
    number, bounds = _sentences(doc, spans)
    first, second = _neighbours(n, max_between + 1)
    near = np.abs(number[first] - number[second]) <= max_sentences
    first, second = first[near], second[near]
    forward = signature[labels[first], labels[second]]
    backward = signature[labels[second], labels[first]] & ~symmetric
    heads, tails = np.concatenate([first, second]), np.concatenate([second, first])
    allowed = np.concatenate([forward, backward])
    kept = allowed.any(axis=1)
    heads, tails, allowed = heads[kept], tails[kept], allowed[kept]
    features = _features(doc, spans, labels, number, bounds, keys, heads, tails)
    return PairBatch(spans, labels, bounds, heads, tails, features, allowed, np.asarray([0, n]))


def _neighbours(n: int, reach: int) -> Tuple[Any, Any]:
    """All (i, j) with i < j <= i + reach below n."""
    steps = np.arange(1, reach + 1)
    first = np.repeat(np.arange(n), reach)
    second = first + np.tile(steps, n)
    inside = second < n
    return first[inside], second[inside]


def _sentences(doc: Doc, spans: Any) -> Tuple[Any, Any]:
    """Number of each span's sentence, and its (start, end) token."""
    if not doc.has_annotation("SENT_START"):
        return np.zeros(len(spans), dtype="int64"), np.tile(np.asarray([0, len(doc)]), (len(spans), 1))
    starts = np.asarray([s.start for s in doc.sents], dtype="int64")
    ends = np.asarray([*starts[1:], len(doc)], dtype="int64")
    number = np.searchsorted(starts, spans[:, 0], side="right") - 1
    return number, np.stack([starts[number], ends[number]], axis=1).reshape((-1, 2))


def _features(
    doc: Doc, spans: Any, labels: Any, number: Any, bounds: Any, keys: List[Key], heads: Any, tails: Any
) -> Any:
    first, second = np.minimum(heads, tails), np.maximum(heads, tails)
    gap = spans[second, 0] - spans[first, 1]
    distance = np.where(gap < 0, 0, 1 + np.searchsorted(BUCKETS, gap, side="right"))
    apart = np.clip(number[tails] - number[heads], -3, 4) + 3
    forward = (heads < tails).astype("int64")
    between = np.minimum(np.maximum(second - first - 1, 0), 7)
    names = np.unique([doc[s:e].text.lower() for s, e, _ in keys], return_inverse=True)[1] if keys else labels
    line = (bounds[:, 0] == 0).astype("int64")
    columns = [
        distance,
        apart,
        forward,
        between,
        _count_between(labels, labels[heads], first, second, 4),
        _count_between(labels, labels[tails], first, second, 4),
        _count_between(names, names[heads], first, second, 2),
        line[heads] * 2 + line[tails],
    ]
    return np.stack(columns, axis=1).astype("int64").reshape((len(heads), len(FEATURES)))


def _count_between(values: Any, wanted: Any, first: Any, second: Any, most: int) -> Any:
    """How many mentions strictly between two carry the wanted value, at most ``most``."""
    if not len(values) or not len(wanted):
        return np.zeros(len(wanted), dtype="int64")
    onehot = values[:, None] == np.arange(values.max() + 1)[None, :]
    total = np.concatenate([np.zeros((1, onehot.shape[1]), dtype="int64"), np.cumsum(onehot, axis=0)])
    return np.minimum(total[second, wanted] - total[first + 1, wanted], most)
