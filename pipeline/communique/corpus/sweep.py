"""Consistency sweeps: places of a gold corpus that are worth a second look. Unlike a defect, a hint may be right."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Set, Tuple

from spacy.language import Language
from spacy.tokens import Doc

from ..errors import Defect
from ..release import Mention, Release
from ..schema import Cue, Schema
from .markup import Parsed, Source

CODES = ("unrelated", "neighbours", "cue", "several-labels")
Cut = Callable[[str], Iterable[Tuple[int, int]]]


def sweep(parsed: Iterable[Parsed], schema: Schema, cut: Cut) -> Iterator[Defect]:
    """Hints of all sweeps, in file order, and last the strings with several labels.

    ``cut`` gives (start, end) of a text's sentences, see ``sentence_cutter``.
    """
    items = list(parsed)
    for item in items:
        one = _Sweep(item.release, item.source, schema, cut)
        yield from sorted([*one.related(), *one.neighbours(), *one.cues()], key=lambda d: (d.line, d.column))
    yield from _several_labels(items)


def sentence_cutter(nlp: Language, config: Mapping[str, Any]) -> Cut:
    """Cuts a text into sentences as the pipeline of a config does."""
    pipe = sentence_pipe(nlp, config)

    def cut(text: str) -> Iterator[Tuple[int, int]]:
        for sentence in pipe(nlp.make_doc(text)).sents:
            yield sentence.start_char, sentence.end_char

    return cut


def sentence_pipe(nlp: Language, config: Mapping[str, Any]) -> Callable[[Doc], Doc]:
    """The component of a config that sets sentence starts, or that component with its defaults."""
    components = config.get("components", {}).values()
    found: Mapping[str, Any] = next((c for c in components if c.get("factory") == "communique_sentences"), {})
    return nlp.create_pipe("communique_sentences", config={k: v for k, v in found.items() if k != "factory"})


class _Sweep:
    def __init__(self, release: Release, source: Source, schema: Schema, cut: Cut) -> None:
        self.release, self.source, self.schema, self.cut = release, source, schema, cut
        self.by_id = {m.id: m for m in release.mentions}

    def hint(self, offset: int, code: str, message: str) -> Defect:
        line, column = self.source.position(offset)
        return Defect(self.source.file, line, column, code, message, "look again")

    def related(self) -> Iterator[Defect]:
        """Clusters of some labels that no relation touches."""
        used = {self.by_id[i].cluster for r in self.release.relations for i in (r.head, r.tail)}
        seen: Set[str] = set()
        for m in self.release.mentions:
            if m.label in self.schema.sweeps.related and m.cluster not in used and str(m.cluster) not in seen:
                seen.add(str(m.cluster))
                yield self.hint(m.start, "unrelated", f"{m.label} {self.release.span_text(m)!r} has no relation")

    def neighbours(self) -> Iterator[Defect]:
        """Mentions beside each other, or with a comma between, without the relation that usually joins them."""
        joined = {(r.head, r.tail, r.type) for r in self.release.relations}
        entities = sorted((m for m in self.release.mentions if m.label not in self.schema.spans), key=lambda m: m.start)
        for left, right in zip(entities, entities[1:]):
            if self.release.text[left.end : right.start].strip() not in ("", ","):
                continue
            for first, second, name in self.schema.sweeps.neighbours:
                ends = (left.id, right.id, name), (right.id, left.id, name)
                if (left.label, right.label) == (first, second) and not joined & set(ends):
                    texts = f"{self.release.span_text(left)!r}, {self.release.span_text(right)!r}"
                    yield self.hint(left.start, "neighbours", f"{texts} without {name}")

    def cues(self) -> Iterator[Defect]:
        """Sentences with a cue, and without any of the labels or relations that it speaks for."""
        for start, end in self.cut(self.release.text):
            for cue in self.schema.sweeps.cues:
                found = re.search(_pattern(cue), self.release.text[start:end], re.IGNORECASE)
                if found and not self.states(start, end, cue):
                    said = " ".join(self.release.text[start:end].split())
                    message = f"{found.group()!r} without {' or '.join(cue.expected)}: {said}"
                    yield self.hint(start + found.start(), "cue", message)

    def states(self, start: int, end: int, cue: Cue) -> bool:
        inside = {m.id for m in self.release.mentions if start <= m.start < end}
        labels = {self.by_id[i].label for i in inside}
        types = {r.type for r in self.release.relations if r.head in inside or r.tail in inside}
        return bool((labels | types) & set(cue.expected))


def _pattern(cue: Cue) -> str:
    return r"\b(?:" + "|".join(map(re.escape, cue.words)) + r")\b"


def _several_labels(items: List[Parsed]) -> Iterator[Defect]:
    counts: Dict[str, Counter[str]] = defaultdict(Counter)
    rarest: Dict[Tuple[str, str], Tuple[Parsed, Mention]] = {}
    for item in items:
        for m in item.release.mentions:
            text = item.release.span_text(m)
            counts[text][m.label] += 1
            rarest.setdefault((text, m.label), (item, m))
    for text, labels in sorted(counts.items()):
        if len(labels) > 1:
            item, m = rarest[text, min(labels, key=lambda label: labels[label])]
            line, column = item.source.position(m.start)
            message = f"{text!r} is " + ", ".join(f"{label} {n} times" for label, n in labels.most_common())
            yield Defect(item.source.file, line, column, "several-labels", message, "look again")
