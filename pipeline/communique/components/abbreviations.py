"""Labels abbreviations as the names they stand for: "Hanbit Steel Works (HSW)" makes every "HSW" what the name is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional

from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc, Span, Token

from ..bridge import set_values, span_key


@Language.factory(
    "communique_abbreviations",
    requires=["doc.ents"],
    assigns=["doc.ents"],
    default_config={
        "max_letters": 10,
        "lead_ins": ["hereinafter", "henceforth", "or", "the"],
        "quotes": ["“", '"', "‘", "'"],
    },
)
def make_abbreviations(
    nlp: Language, name: str, max_letters: int, lead_ins: List[str], quotes: List[str]
) -> "Abbreviations":
    return Abbreviations(name, max_letters=max_letters, lead_ins=lead_ins, quotes=quotes)


@dataclass(frozen=True)
class Definition:
    """An abbreviation in brackets, by its token, and the token span of the long form before it."""

    short: int
    start: int
    end: int


class Abbreviations(Pipe):
    """Gives every occurrence of an abbreviation the label of its long form, or none where that is no entity.

    A definition is ``long form (ABBR)``; the long form is the shortest run of words before the bracket in which the
    abbreviation's letters stand in order, the first of them at a word's beginning (Schwartz and Hearst 2003, "A simple
    algorithm for identifying abbreviation definitions in biomedical text"). An abbreviation is one token, of
    ``max_letters`` at most, with two capitals or more. Between the bracket and it may stand some of ``lead_ins`` and
    ``quotes``. Occurrences inside longer entities stay as they are. A new entity's confidence is the long form's.
    """

    def __init__(self, name: str, *, max_letters: int, lead_ins: List[str], quotes: List[str]) -> None:
        self.name = name
        self.max_letters = max_letters
        self.skipped = frozenset([*lead_ins, *quotes])

    def __call__(self, doc: Doc) -> Doc:
        labels: Dict[str, Optional[Span]] = {}
        ends = {ent.end: ent for ent in doc.ents}
        for definition in self.definitions(doc):
            name = ends.get(definition.end)
            if name is None or name.start <= definition.start:  # a part of the long form says nothing
                labels.setdefault(doc[definition.short].text, name)
        if labels:
            self._relabel(doc, labels)
        return doc

    def definitions(self, doc: Doc) -> List[Definition]:
        """Definitions in text order."""
        found = []
        for token in doc:
            if token.text != "(":
                continue
            short = self._short_form(doc, token.i + 1)
            start = None if short is None else _start_of_long_form(doc, short.text, token)
            if short is not None and start is not None:
                found.append(Definition(short.i, start, token.i))
        return found

    def _short_form(self, doc: Doc, i: int) -> Optional[Token]:
        while i < len(doc) and doc[i].lower_ in self.skipped:
            i += 1
        if i < len(doc) and self.is_abbreviation(doc[i].text):
            return doc[i]
        return None

    def is_abbreviation(self, text: str) -> bool:
        """Two capitals or more in one word that isn't too long."""
        return text.isalnum() and len(text) <= self.max_letters and sum(map(str.isupper, text)) > 1

    def _relabel(self, doc: Doc, labels: Dict[str, Optional[Span]]) -> None:
        inside = {i for ent in doc.ents if len(ent) > 1 for i in range(ent.start, ent.end)}
        defined = {t.i: labels[t.text] for t in doc if t.text in labels and t.i not in inside}
        kept = [ent for ent in doc.ents if len(ent) > 1 or ent.start not in defined]
        confidence = dict(doc._.confidences)
        added = [(Span(doc, i, i + 1, label=name.label_), name) for i, name in defined.items() if name is not None]
        values = {}
        for span, name in added:
            found = confidence.get(span_key(span.start, span.end, span.label_))
            other = confidence.get(span_key(name.start, name.end, name.label_))
            if found is None and other is not None:
                values[span_key(span.start, span.end, span.label_)] = other
        doc.set_ents([*kept, *(span for span, _ in added)])
        set_values(doc, "confidences", values)


def _start_of_long_form(doc: Doc, short: str, bracket: Token) -> Optional[int]:
    """First token of the long form of ``short``, or None. At most min(|A| + 5, 2 |A|) words are looked at."""
    first = max(0, bracket.i - min(len(short) + 5, 2 * len(short)))
    text = doc[first : bracket.i].text.lower()
    letters = [c for c in short.lower() if c.isalnum()]
    position = len(text)
    for number in range(len(letters) - 1, -1, -1):
        position -= 1
        while position >= 0 and (
            text[position] != letters[number] or (number == 0 and position > 0 and text[position - 1].isalnum())
        ):
            position -= 1
        if position < 0:
            return None
    offset = doc[first].idx + position if first < bracket.i else 0
    return next((t.i for t in doc[first : bracket.i] if t.idx <= offset < t.idx + len(t)), None)
