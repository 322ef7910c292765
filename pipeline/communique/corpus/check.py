"""The corpus checker: every defect of a gold release, with file, line, column and mend."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from datetime import date
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Tuple

from ..errors import Defect
from ..release import Mention, Relation, Release
from ..schema import Schema
from ..tokenizer import boundaries
from .markup import Parsed, Source

Tokenize = Callable[[str], Any]


class Checker:
    """Checks parsed releases against a label scheme and a tokenizer."""

    def __init__(self, schema: Schema, tokenize: Tokenize) -> None:
        self.schema = schema
        self.tokenize = tokenize

    def corpus(self, parsed: Iterable[Parsed]) -> Iterator[Defect]:
        """Defects of all releases, in file order, with those that only show between releases."""
        seen: Dict[str, str] = {}
        for item in parsed:
            name, file = item.release.id, item.source.file
            if name in seen:
                yield Defect(file, 1, 1, "duplicate-id", f"{name} is also the id of {seen[name]}", "rename one")
            seen.setdefault(name, file)
            yield from self.release(item)

    def release(self, parsed: Parsed) -> List[Defect]:
        """Defects of one release, ordered by line and column."""
        one = _Check(self.schema, self.tokenize, parsed.release, parsed.source)
        return sorted(one.run(), key=lambda d: (d.line, d.column, d.code))


class _Check:
    def __init__(self, schema: Schema, tokenize: Tokenize, release: Release, source: Source) -> None:
        self.schema, self.tokenize, self.release, self.source = schema, tokenize, release, source
        self.by_id = {m.id: m for m in release.mentions}
        self.entities = sorted((m for m in release.mentions if m.label not in schema.spans), key=lambda m: m.start)

    def run(self) -> Iterator[Defect]:
        yield from self.header()
        yield from self.labels()
        yield from self.edges()
        yield from self.overlaps()
        yield from self.clusters()
        yield from self.signatures()
        yield from self.adjacency()
        yield from self.requirements()
        yield from self.untagged()

    def at(self, mention: Mention, code: str, message: str, mend: str = "") -> Defect:
        line, column = self.source.mentions.get(mention.id, (0, 0))
        return Defect(self.source.file, line, column, code, message, mend)

    def at_relation(self, relation: Relation, code: str, message: str, mend: str = "") -> Defect:
        line, column = self.source.relations.get(relation.id, (0, 0))
        return Defect(self.source.file, line, column, code, message, mend)

    def text(self, mention: Mention) -> str:
        return self.release.span_text(mention)

    def name(self, mention: Mention) -> str:
        handle = self.source.handles.get(mention.id)
        return f"{self.text(mention)!r} ({handle})" if handle else repr(self.text(mention))

    def header(self) -> Iterator[Defect]:
        release, file = self.release, self.source.file
        if release.date is not None:
            try:
                date.fromisoformat(release.date)
            except ValueError:
                yield Defect(file, 1, 1, "date", f"{release.date!r} is no date", "write YYYY-MM-DD")
        title, newline, body = release.text.partition("\n")
        if not title.strip() or not newline or not body.strip():
            mend = "the first line is the title, the body follows"
            yield Defect(file, self.source.position(0)[0], 1, "title", "no title or no body", mend)

    def labels(self) -> Iterator[Defect]:
        known = ", ".join(self.schema.labels)
        for m in self.release.mentions:
            if m.label not in self.schema.labels:
                yield self.at(m, "label", f"unknown label {m.label}", f"known: {known}")
        for r in self.release.relations:
            if self.schema.relation(r.type) is None:
                known = ", ".join(self.schema.relation_names)
                yield self.at_relation(r, "type", f"unknown relation type {r.type}", f"known: {known}")

    def edges(self) -> Iterator[Defect]:
        checks = self.schema.checks
        starts, ends = boundaries(self.tokenize, self.release.text)
        for m in self.release.mentions:
            text = self.text(m)
            if text != text.strip():
                yield self.at(m, "space", f"{text!r} begins or ends with white space", "move the bracket")
                continue
            words = text.split()
            if words[0].lower() in checks.determiners and len(words) > 1 and m.label not in self.schema.spans:
                yield self.at(m, "determiner", f"{text!r} begins with a determiner", f"begin after {words[0]!r}")
            ending = next((e for e in checks.endings if text.endswith(e) and text != e), None)
            if ending and ending not in checks.quotes:
                yield self.at(m, "ending", f"{text!r} ends with {ending!r}", f"end before {ending!r}")
            if text[0] in checks.quotes and text[-1] in checks.quotes:
                yield self.at(m, "quotes", f"{text!r} stands in quotes", "leave the quotes out")
            yield from self.stop(m, text)
            yield from self.brackets(m, text)
            if m.start not in starts or m.end not in ends:
                mend = "move the bracket, or extend the tokenizer's rules in the config"
                yield self.at(m, "token", f"{text!r} is off token boundaries", mend)

    def stop(self, m: Mention, text: str) -> Iterator[Defect]:
        last = text.split()[-1]
        single = re.search(r"(?:^|[.\s])[A-Za-z]\.$", text)
        if text.endswith((".", "!", "?")) and not single and last not in self.schema.checks.abbreviations:
            mend = "end before it, or add the abbreviation to [schema.checks]"
            yield self.at(m, "stop", f"{text!r} ends with {text[-1]!r}", mend)

    def brackets(self, m: Mention, text: str) -> Iterator[Defect]:
        if m.label in self.schema.spans:  # a clause may hold list marks such as "a)"
            return
        for left, right in zip("([", ")]"):
            if text.count(left) != text.count(right):
                yield self.at(m, "brackets", f"{text!r} has an unpaired {left} or {right}", "move the bracket")
        if text[0] in "([" and text[-1] in ")]":
            yield self.at(m, "brackets", f"{text!r} stands in brackets", "leave the brackets out")

    def overlaps(self) -> Iterator[Defect]:
        for layer in (self.entities, [m for m in self.release.mentions if m.label in self.schema.spans]):
            ordered = sorted(layer, key=lambda m: (m.start, m.end))
            for a, b in zip(ordered, ordered[1:]):
                if b.start < a.end:
                    yield self.at(b, "overlap", f"{self.name(b)} overlaps {self.name(a)}", "keep the longest name")

    def clusters(self) -> Iterator[Defect]:
        groups: Dict[str, List[Mention]] = defaultdict(list)
        for m in self.release.mentions:
            if m.label in self.schema.identity and m.cluster is None:
                yield self.at(m, "cluster", f"{self.name(m)} has no cluster", "write '(LABEL cluster.name)'")
            elif m.label not in self.schema.identity and m.cluster is not None:
                mend = "write a handle without a dot"
                yield self.at(m, "cluster", f"a {m.label} belongs to no cluster", mend)
            if m.cluster is not None:
                groups[m.cluster].append(m)
        for name, mentions in groups.items():
            first = mentions[0]
            for m in mentions[1:]:
                if not self.schema.may_share_cluster(m.label, first.label):
                    message = f"{self.name(m)} is {m.label}, but {self.name(first)} in cluster {name} is {first.label}"
                    yield self.at(m, "cluster-labels", message, "mend the label or the cluster")
                    break

    def signatures(self) -> Iterator[Defect]:
        seen: Counter[Tuple[int, int, str]] = Counter()
        for r in self.release.relations:
            spec, head, tail = self.schema.relation(r.type), self.by_id[r.head], self.by_id[r.tail]
            if head.id == tail.id:
                yield self.at_relation(r, "self", f"{self.name(head)} is related to itself", "remove it")
            elif spec and not spec.allows(head.label, tail.label):
                mend = f"{'|'.join(spec.heads)} -> {'|'.join(spec.tails)}"
                yield self.at_relation(r, "signature", f"{head.label} {r.type} {tail.label} is not allowed", mend)
            if spec and spec.symmetric and head.start > tail.start:
                message = f"{r.type} is symmetric: its head is the mention that comes first"
                yield self.at_relation(r, "order", message, "swap head and tail")
            seen[r.head, r.tail, r.type] += 1
            if seen[r.head, r.tail, r.type] == 2:
                yield self.at_relation(r, "twice", "this relation stands twice", "remove one")
        for a, b in self.schema.checks.exclusive:
            for r in self.release.relations:
                if r.type == b and seen[r.head, r.tail, a]:
                    yield self.at_relation(r, "exclusive", f"{a} between the two is there already", f"remove {b}")

    def adjacency(self) -> Iterator[Defect]:
        present = {(r.head, r.tail, r.type) for r in self.release.relations}
        for left, right in zip(self.entities, self.entities[1:]):
            if self.release.text[left.end : right.start] != " ":
                continue
            for first, second, name in self.schema.checks.adjacent:
                spec = self.schema.relation(name)
                if (left.label, right.label) != (first, second) or spec is None:
                    continue
                head, tail = (left, right) if left.label in spec.heads else (right, left)
                if (head.id, tail.id, name) not in present:
                    message = f"{self.name(left)} and {self.name(right)} stand side by side without {name}"
                    yield self.at(left, "adjacent", message, f"add 'head {name} tail'")

    def requirements(self) -> Iterator[Defect]:
        for label, name in self.schema.checks.required:
            tails = {r.tail for r in self.release.relations if r.type == name}
            for m in self.release.mentions:
                if m.label == label and m.id not in tails:
                    yield self.at(m, "required", f"{self.name(m)} has no {name}", f"add 'head {name} tail'")

    def untagged(self) -> Iterator[Defect]:
        """Names tagged in one place of the release and bare in another."""
        text = self.release.text
        taken = [(m.start, m.end) for m in self.entities]
        names: Dict[str, Mention] = {}
        for m in self.entities:
            if m.label in self.schema.identity and self.text(m)[:1].isupper() and len(self.text(m)) > 1:
                names.setdefault(self.text(m), m)
        for name, mention in names.items():
            for match in re.finditer(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text):
                if not any(start < match.end() and match.start() < end for start, end in taken):
                    line, column = self.source.position(match.start())
                    message = f"{name!r} is not tagged here, but is {mention.label} elsewhere in this release"
                    yield Defect(self.source.file, line, column, "untagged", message, "tag it, or mend the other")


def shared_strings(parsed: Iterable[Parsed], minimum: int = 2) -> Dict[str, Dict[str, int]]:
    """Strings tagged with more than one label in the corpus: {string: {label: count}}."""
    counts: Dict[str, Counter[str]] = defaultdict(Counter)
    for item in parsed:
        for m in item.release.mentions:
            counts[item.release.span_text(m)][m.label] += 1
    return {s: dict(c) for s, c in sorted(counts.items()) if len(c) > 1 and sum(c.values()) >= minimum}


def summary(defects: Iterable[Defect]) -> Dict[str, int]:
    """Defects counted by code."""
    return dict(Counter(d.code for d in defects))


def off_boundaries(releases: Iterable[Release], tokenize: Tokenize) -> List[Tuple[str, Optional[str]]]:
    """(release id, span text) of every span off the token boundaries."""
    out: List[Tuple[str, Optional[str]]] = []
    for release in releases:
        starts, ends = boundaries(tokenize, release.text)
        out += [
            (release.id, release.span_text(m)) for m in release.mentions if m.start not in starts or m.end not in ends
        ]
    return out
