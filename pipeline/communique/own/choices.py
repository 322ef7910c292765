"""What ``communique init`` lets one choose. The command line imports it on every start: it imports nothing heavy."""

from __future__ import annotations

from enum import StrEnum


class Tokens(StrEnum):
    """The base config's tokenizer, tokens joined by blanks, or every run of letters or digits and every sign alone."""

    base = "base"
    whitespace = "whitespace"
    fine = "fine"


class Records(StrEnum):
    """Whether a record is one sentence or a text of several; auto asks the base's rules for sentences."""

    auto = "auto"
    sentences = "sentences"
    texts = "texts"


class OffBoundaries(StrEnum):
    """What to do with mentions off token boundaries."""

    error = "error"
    widen = "widen"
    drop = "drop"


class Overlaps(StrEnum):
    """What to do with entities that overlap."""

    error = "error"
    longest = "longest"
