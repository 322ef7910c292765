"""A run over any number of releases: what is new is annotated, what is known is kept, what can't be used is refused.

Memory stays flat: records are read as they are needed, and what is done lies on the disk.
"""

from __future__ import annotations

import base64
import json
import time
from collections import Counter, deque
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import IO, Any, Callable, ContextManager, Deque, Dict, Iterable, Iterator, List, Optional, Protocol, Tuple
from typing import Counter as Counts

from ..choices import Policy
from ..errors import Defect
from ..release import Release
from ..workers import Annotated, Pipeline, Result
from .checkpoint import Checkpoint, Known
from .engines import Batch, Engine
from .settings import Settings
from .sources import Record

TYPES = "types"  # of the relations, in the order of the scheme
READ_ON = 10  # times the releases of a batch: so many records are read before what is done is looked after again


class Watch(Protocol):
    """Is told of everything as it happens, in the order of the inputs."""

    def started(self, pipeline: Pipeline) -> None: ...

    def done(self, release: Release, line: Callable[[], bytes], new: bool) -> None: ...

    def refused(self, record: Record, defect: Defect) -> None: ...


@dataclass
class Summary:
    """What a run was about. releases: of the inputs, that are in the output, ``new`` and ``changed`` ones among them.
    names: for each label, how many names no earlier run had met, and some of them. loading: seconds until the model
    was there; None where it was not needed."""

    releases: int = 0
    words: int = 0
    facts: int = 0
    new: int = 0
    changed: int = 0
    new_facts: Counts[str] = field(default_factory=Counter)
    refused: Counts[str] = field(default_factory=Counter)
    names: Dict[str, Tuple[int, List[str]]] = field(default_factory=dict)
    loading: Optional[float] = None


@dataclass
class _Entry:
    record: Record
    known: Optional[Known] = None

    @property
    def todo(self) -> bool:
        return self.known is None and isinstance(self.record.item, Release)


class Job:
    """Takes records through an engine into a checkpoint, or, where there is an ``emit``, straight to it.

    emit: a function that takes each annotated release's JSON at once. refusals: a stream for what was refused.
    hold: a context in which no signal strikes.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        engine: Engine,
        settings: Settings,
        watch: Watch,
        hold: Callable[[str], ContextManager[None]],
        *,
        policy: Policy = Policy.stop,
        emit: Optional[Callable[[bytes], None]] = None,
        refusals: Optional[IO[bytes]] = None,
    ) -> None:
        self.checkpoint, self.engine, self.settings = checkpoint, engine, settings
        self.watch, self.hold = watch, hold
        self.policy, self.emit, self.refusals = policy, emit, refusals
        self.summary = Summary()
        self._waiting: Deque[_Entry] = deque()
        self._begun = self._committed = time.monotonic()

    def run(self, records: Iterable[Record]) -> Summary:
        """Take all records. Raises WorkerError, CheckpointError; what was done until then is kept."""
        if self.policy is Policy.again:
            records = chain(records, self._stale())
        with closing(self.engine.annotate(self._batches(records), self._started)) as stream:
            for results in stream:
                with self.hold(self._note()):
                    self._take(results)
        with self.hold(self._note()):
            self._take([])
            self.checkpoint.commit()
        return self._summed_up()

    def _started(self, pipeline: Pipeline) -> None:
        self.summary.loading = time.monotonic() - self._begun
        self.checkpoint[TYPES] = list(pipeline.schema["relations"])
        self.watch.started(pipeline)

    def _note(self) -> str:
        if self.emit is not None:
            return "the output ends here"
        return "what was annotated is kept: the same command goes on"

    def _batches(self, records: Iterable[Record]) -> Iterator[Batch]:
        """Batches of what is to be annotated; now and then an empty one, so that what is done does not pile up."""
        size = self.settings.batch
        batch: List[Release] = []
        words = read = 0
        for record in records:
            entry = self._enter(record)
            if not entry.todo and not self._waiting:
                self._finish(entry, None)
                continue
            self._waiting.append(entry)
            read += 1
            if entry.todo and isinstance(record.item, Release):
                batch.append(record.item)
                words += count_words(record.item)
            if words >= size.words or len(batch) >= size.releases or read >= READ_ON * size.releases:
                yield batch
                batch, words, read = [], 0, 0
        if batch:
            yield batch

    def _enter(self, record: Record) -> _Entry:
        if not isinstance(record.item, Release) or self.emit is not None:
            return _Entry(record)
        known = self.checkpoint.known(record.item)
        if known is not None and known.model != self.checkpoint.model and self.policy is not Policy.keep:
            known = None
        return _Entry(record, known)

    def _take(self, results: List[Result]) -> None:
        """Look after the records that were waiting, up to the next one whose result is not there."""
        there = iter(results)
        left = len(results)
        while self._waiting and (left or not self._waiting[0].todo):
            entry = self._waiting.popleft()
            if entry.todo:
                self._finish(entry, next(there))
                left -= 1
            else:
                self._finish(entry, None)
        if time.monotonic() - self._committed >= self.settings.progress.commit_seconds:
            self.checkpoint.commit()
            self._committed = time.monotonic()

    def _finish(self, entry: _Entry, result: Optional[Result]) -> None:
        record, release, known = entry.record, entry.record.item, entry.known
        if isinstance(release, Defect):
            self._refuse(record, release)
        elif isinstance(result, Annotated):
            self._keep(release, result.line)
        elif result is not None:
            if self.emit is None:
                self.checkpoint.fail(release, result)
            self._refuse(record, replace(result, file=record.file, line=record.line))
        elif known is not None and known.failure is not None:
            mend = "mend it, or try again with --retry"
            self._refuse(record, Defect(record.file, record.line, 0, *known.failure, mend))
        elif known is not None:
            self.summary.releases += 1
            self.summary.facts += known.facts
            self.watch.done(release, lambda: self.checkpoint.line(release.id), False)

    def _keep(self, release: Release, line: bytes) -> None:
        data = json.loads(line)
        facts = Counter(fact["type"] for fact in data.get("facts") or [])
        self.summary.releases += 1
        self.summary.words += count_words(release)
        self.summary.facts += sum(facts.values())
        if self.emit is not None:
            self.emit(line)
            self.summary.new += 1
            self.summary.new_facts += facts
        else:
            changed = self.checkpoint.keep(release, line, sum(facts.values()))
            self.checkpoint.count("releases", {"changed" if changed else "new": 1})
            self.checkpoint.count("facts", facts)
            for label, name in _names(data, self.settings.summary.labels):
                self.checkpoint.meet(label, name)
        self.watch.done(release, lambda: line, True)

    def _refuse(self, record: Record, defect: Defect) -> None:
        self.summary.refused[defect.code] += 1
        if self.refusals is not None:
            self.refusals.write(
                json.dumps({**defect.to_dict(), **_raw(record.raw)}, ensure_ascii=False).encode() + b"\n"
            )
        self.watch.refused(record, defect)

    def _stale(self) -> Iterator[Record]:
        """What other models have annotated and is in no input any more: its text is in the checkpoint."""
        for line in self.checkpoint.stale():
            data = {k: v for k, v in json.loads(line).items() if k not in ("entities", "relations", "facts")}
            yield Record(str(self.checkpoint.path), 0, Release.from_dict(data), line)

    def _summed_up(self) -> Summary:
        summary, checkpoint = self.summary, self.checkpoint
        if self.emit is None:
            counts = checkpoint.counted("releases")
            summary.new, summary.changed = counts["new"], counts["changed"]
            summary.new_facts = checkpoint.counted("facts")
            for label in self.settings.summary.labels:
                summary.names[label] = checkpoint.new_names(label, self.settings.summary.names)
        return summary


def count_words(release: Release) -> int:
    """What lies between blanks."""
    return len(release.text.split())


def _names(data: Dict[str, Any], labels: List[str]) -> Iterator[Tuple[str, str]]:
    """(label, name) of the things of a release: the longest of the mentions of each."""
    best: Dict[Tuple[str, Any], str] = {}
    for e in data["entities"]:
        if e["label"] in labels:
            name = " ".join(data["text"][e["start_offset"] : e["end_offset"]].split())
            key = (e["label"], e.get("cluster") or name)
            best[key] = max(best.get(key, ""), name, key=len)
    for (label, _), name in best.items():
        yield label, name


def _raw(raw: bytes) -> Dict[str, str]:
    """A record as JSON can hold it: as it is where it is text, in base64 where it is not."""
    try:
        return {"raw": raw.decode("utf8")}
    except UnicodeDecodeError:
        return {"raw_base64": base64.b64encode(raw).decode()}
