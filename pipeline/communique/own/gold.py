"""Foreign gold made to fit a pipeline: mentions on token boundaries, none overlapping another of its layer.

Whatever does not fit is an error that names file, line and mend, or, where the caller asks for it, is mended and noted.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable, Dict, FrozenSet, Iterable, Iterator, List, Set, Tuple, Union

from ..corpus.exchange import read_lines
from ..errors import Defect, DefectError
from ..release import Mention, Relation, Release
from .choices import OffBoundaries, Overlaps

Boundaries = Callable[[str], Tuple[Set[int], Set[int]]]


@dataclass(frozen=True)
class Record:
    """A release and where it stands, the line counted from 1."""

    file: str
    line: int
    release: Release

    def defect(self, code: str, message: str, mend: str = "") -> Defect:
        return Defect(self.file, self.line, 0, code, message, mend)


@dataclass(frozen=True)
class Rules:
    """What a pipeline can hold, and what is done with the rest.

    boundaries: offsets at which a text's tokens start, and at which they end; spans: labels of the enclosing spans,
    which may overlap entities.
    """

    boundaries: Boundaries
    spans: FrozenSet[str] = frozenset()
    off_boundaries: OffBoundaries = OffBoundaries.error
    overlaps: Overlaps = Overlaps.error


@dataclass
class Fitted:
    """Records that fit, what must be mended before they do, and what was mended."""

    records: List[Record] = field(default_factory=list)
    errors: List[Defect] = field(default_factory=list)
    notices: List[Defect] = field(default_factory=list)


def read_records(path: Union[str, Path]) -> List[Record]:
    """Records of an exchange file.

    Raises DefectError with every line that is no record, every id that stands twice, or where there is no record.
    """
    found, defects = read_lines(path)
    records = [Record(str(path), line, release) for line, release in found]
    seen: Dict[str, int] = {}
    for record in records:
        name = record.release.id
        if name in seen:
            message = f"the id {name!r} stands on line {seen[name]} already"
            defects.append(record.defect("duplicate-id", message, "give each record an id of its own"))
        seen.setdefault(name, record.line)
    if not records and not defects:
        defects.append(Defect(str(path), 0, 0, "empty", "the file holds no record", "name another file"))
    if defects:
        raise DefectError(sorted(defects, key=lambda d: d.line))
    return records


def fit_records(records: Iterable[Record], rules: Rules) -> Fitted:
    """The records as a pipeline can hold them."""
    out = Fitted()
    for record in records:
        one = _Fitter(record, rules)
        out.records.append(replace(record, release=one.run()))
        out.errors += one.errors
        out.notices += one.notices
    return out


def count_off_boundaries(records: Iterable[Record], boundaries: Boundaries) -> int:
    """How many mentions are off the boundaries of a tokenizer."""
    number = 0
    for record in records:
        starts, ends = boundaries(record.release.text)
        number += sum(m.start not in starts or m.end not in ends for m in record.release.mentions)
    return number


class _Fitter:
    def __init__(self, record: Record, rules: Rules) -> None:
        self.record, self.rules, self.release = record, rules, record.release
        self.errors: List[Defect] = []
        self.notices: List[Defect] = []
        self.same: Dict[int, int] = {}

    def run(self) -> Release:
        mentions = self.without_twins(self.on_boundaries(self.release.mentions))
        kept = {m.id for m in self.without_overlaps(mentions)}
        return replace(
            self.release,
            mentions=[m for m in mentions if m.id in kept],
            relations=list(self.between(kept)),
        )

    def name(self, m: Mention) -> str:
        return f"{self.release.text[m.start : m.end]!r} ({m.label})"

    def on_boundaries(self, mentions: Iterable[Mention]) -> List[Mention]:
        text, policy = self.release.text, self.rules.off_boundaries
        starts, ends = self.rules.boundaries(text)
        edges = sorted(starts), sorted(ends)
        out: List[Mention] = []
        for m in mentions:
            if m.start in starts and m.end in ends:
                out.append(m)
                continue
            wide = _widened(m, text, *edges)
            message = f"{self.name(m)} is off token boundaries: the tokens are {text[wide.start : wide.end]!r}"
            if policy is OffBoundaries.error:
                mend = "choose another --tokenizer, or --off-boundaries widen or drop"
                self.errors.append(self.record.defect("token", message, mend))
                out.append(m)
            elif policy is OffBoundaries.widen and wide.start < wide.end:
                self.notices.append(self.record.defect("token", f"{message}, which the mention becomes"))
                out.append(wide)
            else:
                self.notices.append(self.record.defect("token", f"{message}; dropped"))
        return out

    def without_twins(self, mentions: Iterable[Mention]) -> List[Mention]:
        """One mention in the place of several with the same offsets and label; it takes over their relations."""
        first: Dict[Tuple[int, int, str], Mention] = {}
        for m in mentions:
            twin = first.setdefault((m.start, m.end, m.label), m)
            if twin is not m:
                self.same[m.id] = twin.id
                self.notices.append(self.record.defect("twice", f"{self.name(m)} stands twice; made one"))
        return list(first.values())

    def without_overlaps(self, mentions: List[Mention]) -> List[Mention]:
        """Of mentions of one layer that overlap, the longest, or the first of equally long ones."""
        kept: List[Mention] = []
        for layer in (False, True):
            taken: List[Mention] = []
            members = [m for m in mentions if (m.label in self.rules.spans) == layer]
            for m in sorted(members, key=lambda m: (m.start - m.end, m.start)):
                other = next((t for t in taken if m.start < t.end and t.start < m.end), None)
                if other is None:
                    taken.append(m)
                else:
                    self.overlap(m, other)
            kept += taken
        return kept

    def overlap(self, m: Mention, longer: Mention) -> None:
        message = f"{self.name(m)} overlaps {self.name(longer)}"
        if self.rules.overlaps is Overlaps.error:
            mend = "--overlaps longest drops the shorter one; --spans LABEL is for labels that enclose others"
            self.errors.append(self.record.defect("overlap", message, mend))
        else:
            self.notices.append(self.record.defect("overlap", f"{message}; dropped"))

    def between(self, kept: Set[int]) -> Iterator[Relation]:
        """The relations whose two mentions were kept."""
        by_id = {m.id: m for m in self.release.mentions}
        for r in self.release.relations:
            head, tail = (self.same.get(end, end) for end in (r.head, r.tail))
            if head in kept and tail in kept:
                yield replace(r, head=head, tail=tail)
            else:
                message = f"{self.name(by_id[r.head])} {r.type} {self.name(by_id[r.tail])} lost an argument; dropped"
                self.notices.append(self.record.defect("relation", message))


def _widened(m: Mention, text: str, starts: List[int], ends: List[int]) -> Mention:
    """The mention without blanks at its edges, out to the next token boundaries; empty if it is nothing but blanks."""
    inner = text[m.start : m.end]
    start, end = m.end - len(inner.lstrip()), m.start + len(inner.rstrip())
    if start >= end:
        return replace(m, end=m.start)
    return replace(
        m,
        start=starts[max(0, bisect_right(starts, start) - 1)],
        end=ends[min(len(ends) - 1, bisect_left(ends, end))],
    )
