"""The stretches of a doc that an encoder reads at once."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Iterable, List

import numpy as np
from spacy.tokens import Doc, Span

SpanGetter = Callable[[Iterable[Doc]], List[List[Span]]]


def create_sentence_windows(size: int) -> SpanGetter:
    """``sentence_windows`` for spacy-transformers, which finds it among the registered span getters."""
    return partial(_all_windows, size=size)


def _all_windows(docs: Iterable[Doc], size: int) -> List[List[Span]]:
    return [sentence_windows(doc, size) for doc in docs]


def sentence_windows(doc: Doc, size: int) -> List[Span]:
    """As few windows as hold a doc, of at most ``size`` tokens each, about equally long, so that none has little to go
    by. They are cut where a sentence begins; where none does within reach, between any two tokens. No token is read
    twice.
    """
    starts = np.flatnonzero(doc.to_array(["SENT_START"]) == 1)
    windows, begin = [], 0
    while begin < len(doc):
        parts = -(-(len(doc) - begin) // size)
        aim = begin - (begin - len(doc)) // parts
        end = _cut(starts, len(doc) - (parts - 1) * size, aim, begin + size) if parts > 1 else len(doc)
        windows.append(doc[begin:end])
        begin = end
    return windows


def _cut(starts: Any, lowest: int, aim: int, highest: int) -> int:
    """Where to end a window: at the sentence start next to ``aim`` that neither this window nor the rest is too long
    for.
    """
    near = starts[(starts >= lowest) & (starts <= highest)]
    return int(near[np.abs(near - aim).argmin()]) if len(near) else aim
