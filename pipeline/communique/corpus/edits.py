"""Edits of a release's text that keep every mention, cluster and relation true."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Iterable, List

from ..release import Release


@dataclass(frozen=True, order=True)
class Edit:
    """``text[start:end]`` becomes ``new``. No edit crosses an edge of a mention."""

    start: int
    end: int
    new: str


def apply_edits(release: Release, edits: Iterable[Edit]) -> Release:
    """The release with its text changed and its mentions moved along.

    Raises ValueError where edits overlap, or where one crosses an edge of a mention or changes the title's newline.
    """
    ordered = sorted(e for e in edits if release.text[e.start : e.end] != e.new)
    for a, b in zip(ordered, ordered[1:]):
        if b.start < a.end:
            raise ValueError(f"{release.id}: the edits {a} and {b} overlap")
    parts: List[str] = []
    done = 0
    for e in ordered:
        parts += [release.text[done : e.start], e.new]
        done = e.end
    text = "".join([*parts, release.text[done:]])
    if text.count("\n") != release.text.count("\n"):
        raise ValueError(f"{release.id}: an edit changes the lines")
    starts = [e.start for e in ordered]
    shifts = [0, *accumulate(len(e.new) - (e.end - e.start) for e in ordered)]

    def moved(offset: int) -> int:
        """Where an edge goes: after all edits before it; one that it cuts in two is an error."""
        n = bisect_right(starts, offset - 1)
        if n and ordered[n - 1].end > offset:
            raise ValueError(f"{release.id}: {ordered[n - 1]} crosses the edge of a mention at {offset}")
        return offset + shifts[n]

    mentions = [replace(m, start=moved(m.start), end=moved(m.end)) for m in release.mentions]
    title = None if release.title is None else text.partition("\n")[0]
    return replace(release, text=text, title=title, mentions=mentions)
