"""Sentence boundaries for texts full of "U.S.", "Washington D.C.", "No. 3" and initials."""

from __future__ import annotations

from typing import Any, FrozenSet, List

import numpy as np
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc

NO_START = np.int64(-1).astype("uint64")
CLOSING = frozenset("”’\"')]»")


@Language.factory(
    "communique_sentences",
    assigns=["token.is_sent_start", "doc.sents"],
    default_config={"punct_chars": [".", "!", "?"], "titles": [], "starters": []},
)
def make_sentences(
    nlp: Language, name: str, punct_chars: List[str], titles: List[str], starters: List[str]
) -> "Sentences":
    return Sentences(name, punct_chars, titles, starters)


class Sentences(Pipe):
    """Sets sentence starts by rule.

    A line break ends a sentence, and so does one of ``punct_chars`` with the closing quotes and brackets behind it. A
    token with its own full stop ("U.S.") ends one only before a word of ``starters``, and never if it is one of
    ``titles`` ("Mr."). The stop behind a list number ("1.", "a.") that begins a sentence does not end it.
    """

    def __init__(self, name: str, punct_chars: List[str], titles: List[str], starters: List[str]) -> None:
        self.name = name
        self.punct_chars: FrozenSet[str] = frozenset(punct_chars)
        self.titles: FrozenSet[str] = frozenset(titles)
        self.starters: FrozenSet[str] = frozenset(starters)

    def __call__(self, doc: Doc) -> Doc:
        words = [t.text for t in doc]
        marks: Any = np.full((len(words), 1), NO_START, dtype="uint64")
        start = 0
        for i in range(len(words)):
            if i == 0 or self._starts(words, start, i):
                marks[i] = 1
                start = i
        # one call for all: setting them token by token, each asks the whole doc for a parse
        return doc.from_array(["SENT_START"], marks)

    def _starts(self, words: List[str], start: int, i: int) -> bool:
        if words[i].isspace():
            return False
        last = i - 1
        while last > start and words[last].isspace():
            if "\n" in words[last]:
                return True
            last -= 1
        if words[i] in CLOSING and words[i] not in "\"'":
            return False
        while last > start and words[last] in CLOSING:
            last -= 1
        word = words[last]
        if word in self.punct_chars:
            listed = last - start == 1 and len(words[start]) <= 2 and words[start].isalnum()
            return not listed and not words[i][0].islower()
        if len(word) > 1 and word.endswith(".") and word not in self.titles:
            return words[i] in self.starters
        return False
