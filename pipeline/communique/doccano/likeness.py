"""How like one another texts are: the cosine of their words, weighted by tf-idf (Spärck Jones 1972)."""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, Sequence

import numpy as np

from ..corpus.duplicates import WORD
from ..errors import CommuniqueError


def word_vectors(texts: Sequence[str]) -> Any:
    """A sparse array of shape (texts, words), each row of length one; a text without words has a row of zeros.

    Raises CommuniqueError where SciPy is not installed.
    """
    try:
        from scipy.sparse import csr_array
    except ImportError as err:
        raise CommuniqueError("to compare texts needs SciPy: pip install 'communique[train]'") from err
    counts = [Counter(w.group().lower() for w in WORD.finditer(text)) for text in texts]
    spread = Counter(word for words in counts for word in words)
    column: Dict[str, int] = {word: i for i, word in enumerate(sorted(spread))}
    data, rows, columns = [], [], []
    for row, words in enumerate(counts):
        weights = {w: (1 + np.log(n)) * np.log((1 + len(texts)) / spread[w]) for w, n in sorted(words.items())}
        norm = np.sqrt(sum(x * x for x in weights.values()))
        for word, weight in weights.items():
            data.append(weight / norm)
            rows.append(row)
            columns.append(column[word])
    return csr_array((data, (rows, columns)), shape=(len(texts), max(1, len(column))))
