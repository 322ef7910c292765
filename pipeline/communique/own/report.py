"""What ``communique init`` says."""

from __future__ import annotations

from collections import Counter
from typing import Iterable, Iterator, List

from ..errors import Defect
from .scheme import describe
from .start import Started


def shortened(defects: Iterable[Defect], show: int) -> Iterator[str]:
    """The first defects of each code, and how many there are of each; whole files' all."""
    counts: Counter[str] = Counter()
    for defect in defects:
        counts[defect.code] += defect.line > 0
        if counts[defect.code] <= show:
            yield str(defect)
    for code, number in (+counts).items():
        yield f"{code}: {number}{'' if number <= show else f', the first {show} named above'}"


def summary(started: Started) -> List[str]:
    """What was read off the gold, what the config has of it, and what to do next."""
    lines = [
        f"{name}: " + ", ".join(f"{number:,} {what}" for what, number in counts.items())
        for name, counts in started.counts.items()
    ]
    lines += describe(started.schema)
    lines += [f"left out {name}: {why}" for name, why in started.left_out.items()]
    length = started.length
    lines.append(
        f"training: {length.steps:,} steps of up to {length.batch:,} words, evaluated every {length.eval_frequency}"
    )
    files = started.files
    lines.append(f"-> {files.schema}, {started.config}, {files.train}, {files.dev}")
    return lines
