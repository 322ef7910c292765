"""What ``communique annotate`` does, put together."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Callable, Dict, Iterator, List, Optional, Tuple

from rich.console import Console

from ..choices import Engines, Policy
from ..errors import CommuniqueError
from ..interrupts import Stop, interruptible
from ..settings import load_settings
from .checkpoint import Checkpoint
from .engines import Engine, LocalEngine
from .job import TYPES, Job, Summary
from .models import model_digest, model_path
from .output import Output, confident_line
from .settings import DEFAULTS, Settings
from .sinks import STDOUT, is_stream, sink_format
from .sources import FORMATS, Reading, read_inputs, total_size
from .streams import STDIN, Tally
from .terminal import Terminal, summary_dict, summary_lines


@dataclass(frozen=True)
class Options:
    """What the command line asks for; None leaves it to the settings or to the names of the files."""

    inputs: List[str]
    output: str
    model: Optional[str] = None
    min_confidence: float = 0.0
    max_chars: Optional[int] = None
    read_as: Optional[str] = None
    write_as: Optional[str] = None
    workers: Optional[int] = None
    engine: Engines = Engines.local
    new_model: Policy = Policy.stop
    retry: bool = False
    replace: bool = False


@dataclass(frozen=True)
class Told:
    """What a run was about, for people and for programs."""

    summary: Summary
    output: str
    refused: Optional[Path]
    seconds: float

    def lines(self) -> List[str]:
        return summary_lines(self.summary, self.output, self.refused, self.seconds)

    def as_dict(self) -> Dict[str, Any]:
        return summary_dict(self.summary, self.output, self.refused, self.seconds)


@dataclass(frozen=True)
class Show:
    """Where a run tells what it does. viewed: a console for the facts of each release, or None."""

    console: Console
    viewed: Optional[Console] = None
    quiet: bool = False


def run(options: Options, config: Optional[Path], show: Show) -> Told:
    """Annotate.

    Raises CommuniqueError where it can't be done or goes no further; what was annotated until then is kept.
    """
    begin = time.monotonic()
    settings = load_settings(Settings, DEFAULTS, config, _overrides(options))
    kind = sink_format(options.output, options.write_as)
    if not is_stream(options.output) and Path(options.output).name in ("", ".."):
        raise CommuniqueError(f"{options.output}: it is a folder: name a file in it")
    for name in options.inputs:
        if name != STDIN and not Path(name).exists():
            raise CommuniqueError(f"{name}: no such file or folder")
    with interruptible() as stop:
        task = _Run(options, settings, show, stop)
        if is_stream(options.output):
            summary, refused = task.to_stream(), None
        else:
            output = Output(Path(options.output), kind, options.min_confidence)
            summary = task.to_file(output)
            refused = output.refused if summary.refused else None
    return Told(summary, options.output, refused, time.monotonic() - begin)


@dataclass(frozen=True)
class _Run:
    options: Options
    settings: Settings
    show: Show
    stop: Stop

    def to_stream(self) -> Summary:
        model_path(self.settings.model.name)
        with Checkpoint(None) as checkpoint, _opened(self.options.output) as stream:

            def emit(line: bytes) -> None:
                try:
                    stream.write(confident_line(line, self.options.min_confidence) + b"\n")
                    stream.flush()
                except OSError as err:
                    raise CommuniqueError(f"{self.options.output}: {err.strerror}") from err

            return self._take(checkpoint, (), emit=emit)

    def to_file(self, output: Output) -> Summary:
        digest = model_digest(model_path(self.settings.model.name))
        try:
            output.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise CommuniqueError(f"{output.path.parent}: {err.strerror}") from err
        with Checkpoint(output.progress) as checkpoint:
            checkpoint.use_model(digest, self.settings.model.name)
            self._check_model(checkpoint, output.path)
            output.check(checkpoint, self.options.replace)
            if self.options.retry:
                checkpoint.retry()
            with output.refusals() as refusals:
                summary = self._take(checkpoint, tuple(output.files()), refusals=refusals)
            output.write(checkpoint)
            checkpoint.end_run()
            return summary

    def _check_model(self, checkpoint: Checkpoint, path: Path) -> None:
        others = checkpoint.other_models()
        if others and self.options.new_model is Policy.stop:
            there = ", ".join(f"{count:,} by {name}" for name, count in others)
            mend = "--new-model again annotates them anew, --new-model keep only what is new"
            message = f"releases in it were annotated by another model than {self.settings.model.name} is now: {there}"
            raise CommuniqueError(f"{path}: {message}: {mend}")

    def _take(
        self,
        checkpoint: Checkpoint,
        ignored: Tuple[str, ...],
        *,
        emit: Optional[Callable[[bytes], None]] = None,
        refusals: Optional[IO[bytes]] = None,
    ) -> Summary:
        limits, show = self.settings.limits, self.show
        reading = Reading(limits.chars, limits.line_bytes, _checked_format(self.options.read_as), ignored)
        watched = show.console.is_terminal and not show.quiet
        tally = Tally(total_size(self.options.inputs, reading) if watched else None)
        with Terminal(
            show.console,
            tally,
            viewed=show.viewed,
            types=checkpoint[TYPES] or (),
            min_confidence=self.options.min_confidence,
            quiet=show.quiet,
            line_seconds=self.settings.progress.line_seconds,
        ) as terminal:
            engine = self._engine(terminal)
            policy = self.options.new_model
            args = (checkpoint, engine, self.settings, terminal, self.stop.held)
            job = Job(*args, policy=policy, emit=emit, refusals=refusals)
            return job.run(read_inputs(self.options.inputs, reading, checkpoint, tally))

    def _engine(self, terminal: Terminal) -> Engine:
        if self.options.engine is Engines.ray:
            from .ray_engine import RayEngine

            return RayEngine(self.settings, terminal.happened)
        return LocalEngine(self.settings, terminal.happened)


@contextmanager
def _opened(output: str) -> Iterator[IO[bytes]]:
    if output == STDOUT:
        yield sys.stdout.buffer
    else:
        try:
            with open(output, "wb") as stream:
                yield stream
        except OSError as err:  # closing it tries once more to write what could not be written
            raise CommuniqueError(f"{output}: {err.strerror}") from err


def _overrides(options: Options) -> Dict[str, Dict[str, Any]]:
    return {
        "model": {"name": options.model},
        "workers": {"count": options.workers},
        "limits": {"chars": options.max_chars},
    }


def _checked_format(name: Optional[str]) -> Optional[str]:
    if name is not None and name not in FORMATS:
        raise CommuniqueError(f"--from {name}: write {', '.join(FORMATS)}")
    return name
