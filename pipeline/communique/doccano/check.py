"""What a release must be to go to Doccano, and to come back into the corpus: gold that the label scheme can hold."""

from __future__ import annotations

from collections import Counter
from typing import Any, Iterator, List, Optional, Tuple

from spacy.tokens import Doc

from ..annotate.records import refusal
from ..errors import Defect
from ..release import Mention, Release
from ..schema import Schema

SHOWN = 60  # characters of a mention in a message
Problem = Tuple[str, str, str]  # code, message, mend


class Checker:
    """Holds the label scheme and the tokenizer that releases are checked by."""

    def __init__(self, schema: Schema, tokenizer: Any, max_chars: int) -> None:
        self.schema = schema
        self.tokenizer = tokenizer
        self.max_chars = max_chars

    def defects(self, release: Release, place: str) -> List[Defect]:
        """All that is wrong with a release; ``place`` is where it is from."""
        found = refusal(release, self.max_chars)
        if found is not None:
            return [Defect(place, 0, 0, found.code, found.message, found.mend)]
        problems = [*self._labels(release), *self._spans(release), *self._relations(release)]
        return [Defect(place, 0, 0, code, message, mend) for code, message, mend in problems]

    def _labels(self, release: Release) -> Iterator[Problem]:
        for m in release.mentions:
            if m.label not in self.schema.labels:
                known = ", ".join(self.schema.labels)
                yield "label", f"{_shown(release, m)} has the unknown label {m.label}", f"use one of {known}"
        twice = Counter((m.start, m.end, m.label) for m in release.mentions)
        for m in release.mentions:
            if twice.pop((m.start, m.end, m.label), 0) > 1:
                yield "twice", f"{_shown(release, m)} is a {m.label} twice", "keep one"

    def _spans(self, release: Release) -> Iterator[Problem]:
        doc: Doc = self.tokenizer(release.text)
        last: Optional[Mention] = None
        for m in sorted(release.mentions, key=lambda m: (m.start, m.end)):
            if doc.char_span(m.start, m.end) is None:
                wider = doc.char_span(m.start, m.end, alignment_mode="expand")
                mend = f"did you mean {wider.text.strip()!r}?" if wider is not None else "label whole words"
                yield "boundary", f"{m.label} {_shown(release, m)} does not begin and end where words do", mend
            if m.label in self.schema.spans:
                continue
            if last is not None and m.start < last.end:
                message = f"{last.label} {_shown(release, last)} and {m.label} {_shown(release, m)} overlap"
                yield "overlap", message, "keep one, or shorten one"
            last = m if last is None or m.end > last.end else last

    def _relations(self, release: Release) -> Iterator[Problem]:
        by_id = {m.id: m for m in release.mentions}
        twice = Counter((r.head, r.type, r.tail) for r in release.relations)
        for r in release.relations:
            head, tail = by_id[r.head], by_id[r.tail]
            said = f"{_shown(release, head)} {r.type} {_shown(release, tail)}"
            if twice.pop((r.head, r.type, r.tail), 0) > 1:
                yield "twice", f"{said} is there twice", "keep one"
            known = self.schema.relation(r.type)
            if known is None:
                yield "type", f"{said}: unknown relation type", f"use one of {', '.join(self.schema.relation_names)}"
            elif not known.allows(head.label, tail.label):
                heads, tails = ", ".join(known.heads), ", ".join(known.tails)
                mend = f"{r.type} joins {heads} to {tails}"
                yield "signature", f"{said}: from {head.label} to {tail.label}", mend


def _shown(release: Release, mention: Mention) -> str:
    text = " ".join(release.span_text(mention).split())
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")
