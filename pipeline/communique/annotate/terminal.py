"""What a person sees of a run: how far it is, what was refused, and at the end what it was about."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from ..console import clock, tell
from ..errors import Defect
from ..release import Release
from ..workers import Event, Pipeline
from . import view
from .job import Summary, count_words
from .output import confident_line
from .sources import Record
from .streams import Tally


class Terminal:
    """A ``Watch`` that tells a console. A context manager: within, a bar stands on a terminal.

    tally: how much of the inputs was read. viewed: a console for the facts of each release, or None.
    types: of relations, in the order in which a sentence's facts are told. quiet: nothing but
    what was refused is told. line_seconds: how often a line says how far the work is where there is no terminal.
    """

    def __init__(
        self,
        console: Console,
        tally: Tally,
        *,
        viewed: Optional[Console] = None,
        types: Sequence[str] = (),
        min_confidence: float = 0.0,
        quiet: bool = False,
        line_seconds: float,
    ) -> None:
        self.console, self.tally, self.viewed = console, tally, viewed
        self.min_confidence, self.quiet, self.line_seconds = min_confidence, quiet, line_seconds
        self.types = types
        self.releases = self.words = self.refusals = 0
        self._begin = self._told = time.monotonic()
        self._first: Optional[float] = None  # when the model was there, and how much had been read by then
        self._read = 0
        columns = (SpinnerColumn(), BarColumn(bar_width=20), TextColumn("{task.fields[state]}", markup=False))
        hidden = quiet or not console.is_terminal
        self._bar = Progress(*columns, console=console, transient=True, disable=hidden, refresh_per_second=4)
        self._task = self._bar.add_task("", total=tally.total, state="loading the model")

    def __enter__(self) -> "Terminal":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def started(self, pipeline: Pipeline) -> None:
        self.types = list(pipeline.schema["relations"])
        self._first, self._read = time.monotonic(), self.tally.done

    def done(self, release: Release, line: Callable[[], bytes], new: bool) -> None:
        self.releases += new
        self.words += count_words(release) if new else 0
        if self.viewed is not None:
            found = Release.from_dict(json.loads(confident_line(line(), self.min_confidence)))
            view.print_release(self.viewed, found, self.types)
        self._show()

    def refused(self, record: Record, defect: Defect) -> None:
        self.refusals += 1
        tell(self.console, str(defect))
        self._show()

    def happened(self, event: Event) -> None:
        """What happens to the processes: one that dies is replaced, and nothing is lost."""
        if event.kind in ("died", "timeout") and not self.quiet:
            tell(self.console, f"process {event.pid} {_EVENTS[event.kind]}: {event.reason}")

    def _show(self) -> None:
        self._bar.update(self._task, completed=self.tally.done, state=", ".join(self._state()))
        now = time.monotonic()
        if not self.quiet and not self.console.is_terminal and now - self._told >= self.line_seconds:
            self._told = now
            tell(self.console, ", ".join(self._state()))

    def _state(self) -> List[str]:
        seconds = time.monotonic() - (self._first or self._begin)
        state = [f"{self.releases:,} releases"]
        if self.refusals:
            state.append(f"{self.refusals:,} refused")
        if self.releases and seconds > 0:
            state += [f"{self.releases / seconds:,.1f} releases/s", f"{self.words / seconds:,.0f} words/s"]
        left = self._left()
        return state if left is None else [*state, f"about {clock(left)} left"]

    def _left(self) -> Optional[float]:
        """Seconds, by how much of the inputs was read since the first release."""
        if not self.tally.total or self._first is None or not self.releases:
            return None
        done = self.tally.done - self._read
        return (time.monotonic() - self._first) * (self.tally.total - self.tally.done) / done if done > 0 else None


def summary_lines(summary: Summary, output: str, refused: Optional[Path], seconds: float) -> List[str]:
    """What a run was about. refused: the file with what was. seconds: that it took."""
    known = summary.releases - summary.new - summary.changed
    new = (
        f" ({summary.new:,} new, {summary.changed:,} changed, {known:,} as before)" if known or summary.changed else ""
    )
    refusals = sum(summary.refused.values())
    lines = [f"{summary.releases:,} releases{new}, {summary.facts:,} facts, {refusals:,} refused -> {output}"]
    if summary.new_facts:
        lines.append(f"new facts: {_counts(summary.new_facts)}")
    for label, (count, names) in summary.names.items():
        if count:
            lines.append(f"new {label}: {count:,} ({'; '.join(names)}{'; ...' if count > len(names) else ''})")
    if refusals:
        lines.append(f"refused: {_counts(summary.refused)}" + (f", see {refused}" if refused else ""))
    if summary.words:
        speed = summary.words / max(1e-6, seconds - (summary.loading or 0.0))
        lines.append(f"{summary.words:,} words in {clock(seconds)}, {speed:,.0f} words/s once the model was there")
    return lines


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def summary_dict(summary: Summary, output: str, refused: Optional[Path], seconds: float) -> Dict[str, Any]:
    """The same for a program. words_per_second: of what was annotated, from when the model was there to the end."""
    working = seconds - (summary.loading or 0.0)
    return {
        "releases": summary.releases,
        "new": summary.new,
        "changed": summary.changed,
        "facts": summary.facts,
        "new_facts": dict(sorted(summary.new_facts.items())),
        "new_names": {label: count for label, (count, _) in summary.names.items()},
        "refused": sum(summary.refused.values()),
        "refused_by_code": dict(sorted(summary.refused.items())),
        "refused_file": str(refused) if refused else None,
        "words": summary.words,
        "words_per_second": round(summary.words / working, 1) if summary.words and working > 0 else None,
        "seconds": round(seconds, 3),
        "output": output,
    }


_EVENTS = {"died": "died and is replaced", "timeout": "was ended for its time and is replaced"}
