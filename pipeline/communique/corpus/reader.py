"""The training corpus, streamed, so that augmenters change it anew in every epoch."""

from __future__ import annotations

from typing import Optional

from spacy.training import Corpus
from spacy.util import registry

from .augment import Augmenter


@registry.readers("communique.Corpus.v1")
def create_corpus(path: str, augmenter: Optional[Augmenter]) -> Corpus:
    """Examples of a ``.spacy`` file or a folder of them, in another order each time that they are read.

    For ``[training] max_epochs = -1``: otherwise spaCy reads, and so augments, the corpus once for all epochs, and what
    it reads anew it does not shuffle.
    """
    return Corpus(path, augmenter=augmenter, shuffle=True)
