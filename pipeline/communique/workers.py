"""A pool of processes that each hold the model: batches of releases in, annotated releases out.

A process that dies or runs over its time is replaced and costs no release but the one that is at fault, which is found
and gets a defect. What this module imports is kept small: a program that only hands out work has no need of the model's
libraries.
"""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import connection
from queue import Empty, SimpleQueue
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Deque,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Union,
)

from .cores import available_cores
from .errors import CommuniqueError, Defect
from .release import Release

if TYPE_CHECKING:
    from spacy.language import Language

PRELOAD = "communique.preload"
STARTS = 3  # a process that could not start so often in a row won't start
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds between two starts that fail


class WorkerError(CommuniqueError):
    """Raised where no process can be started, or the pool is closed."""


class Task(NamedTuple):
    """A release to annotate. What is less certain than ``min_confidence`` is left out."""

    release: Release
    min_confidence: float = 0.0


@dataclass(frozen=True)
class Annotated:
    """An annotated release. line: its JSON in UTF-8, as a line of the exchange format has it, without the newline."""

    id: str
    line: bytes

    def release(self) -> Release:
        return Release.from_dict(json.loads(self.line))


Result = Union[Annotated, Defect]


@dataclass(frozen=True)
class Pipeline:
    """What the processes have loaded: the name of the pipeline's folder, its meta, its label scheme as
    ``Schema.to_dict`` gives it."""

    folder: str
    meta: Dict[str, Any]
    schema: Dict[str, Any]


@dataclass(frozen=True)
class Event:
    """Something that happened to a process. kind: ready, died, timeout or failed (to start), or broken: the pool has
    given up."""

    kind: str
    pid: Optional[int]
    reason: str = ""


@dataclass(frozen=True)
class ModelLoad:
    """Loads a pipeline in a process of the pool. See ``load_model``. gpu: whether to use one if there is one."""

    name: str
    threads: Optional[int] = None
    max_chars: Optional[int] = None
    gpu: bool = False

    def __call__(self) -> "Language":
        from thinc.api import prefer_gpu

        from .annotate.run import load_model

        if self.gpu:
            prefer_gpu()

        nlp = load_model(self.name, threads=self.threads)
        if self.max_chars is not None:
            nlp.max_length = self.max_chars
        return nlp


def share_cores(workers: Optional[int]) -> "tuple[int, int]":
    """(processes, threads of each): as many processes as cores where ``workers`` is None, and the cores shared out."""
    cores = available_cores()
    count = workers or cores
    return count, max(1, cores // count)


@dataclass(eq=False)
class _Order:
    """What one call of ``submit`` asked for, and what is there of it so far."""

    tasks: Sequence[Task]
    results: List[Optional[Result]]
    missing: int
    future: "Future[List[Result]]" = field(default_factory=Future)


@dataclass(eq=False)
class _Job:
    """Part of an order that one process reads at once. deaths: of processes that read it."""

    order: _Order
    places: List[int]
    deaths: int = 0

    def tasks(self) -> List[Task]:
        return [self.order.tasks[i] for i in self.places]

    def singly(self, deaths: int) -> "List[_Job]":
        return [_Job(self.order, [i], deaths) for i in self.places]

    def finish(self, results: Iterable[Result]) -> None:
        for i, result in zip(self.places, results):
            self.order.results[i] = result
        self.order.missing -= len(self.places)
        if not self.order.missing:
            self.order.future.set_result([r for r in self.order.results if r is not None])

    def refuse(self, code: str, message: str) -> None:
        release = self.order.tasks[self.places[0]].release
        self.finish([Defect(release.id, 0, 0, code, f"{release.id}: {message}", "please report it with the release")])


class _Talk:
    """Speaks with one process, in a thread of its own: one that does not listen, or stops amid a word, keeps nobody
    else waiting. wake: called from that thread whenever there is something to be heard."""

    def __init__(self, pipe: Any, wake: Callable[[], None]) -> None:
        self._pipe, self._wake = pipe, wake
        self._asked: "SimpleQueue[Optional[List[Task]]]" = SimpleQueue()
        self._said: "SimpleQueue[Any]" = SimpleQueue()
        threading.Thread(target=self._run, name="worker-pipe", daemon=True).start()

    def ask(self, tasks: List[Task]) -> None:
        self._asked.put(tasks)

    def end(self) -> None:
        """Nothing more will be asked. To be called when the process is gone, too: an idle thread would not notice."""
        self._asked.put(None)

    def heard(self) -> Iterator[Any]:
        """What the process has said since it was last asked for; None last, when it can say no more."""
        with suppress(Empty):
            while True:
                yield self._said.get_nowait()

    def _run(self) -> None:
        try:
            with suppress(EOFError, OSError, pickle.UnpicklingError):
                self._say(self._pipe.recv())
                while (tasks := self._asked.get()) is not None:
                    self._pipe.send(tasks)
                    self._say(self._pipe.recv())
        finally:
            self._pipe.close()
            self._say(None)

    def _say(self, message: Any) -> None:
        self._said.put(message)
        self._wake()


@dataclass
class _Worker:
    """A place in the pool, and the process that has it. gone: whether it has ended, though what it said last may not be
    heard yet. due: when the next start may be tried, or when the process must be done with what it does; both in
    seconds of ``time.monotonic``."""

    process: Any = None
    talk: Optional[_Talk] = None
    ready: bool = False
    gone: bool = False
    job: Optional[_Job] = None
    due: Optional[float] = 0.0
    failures: int = 0


class WorkerPool:
    """Annotates batches in processes of their own. A context manager; ``close`` leaves no process behind.

    load: a picklable function without arguments that gives the pipeline. release_seconds: the longest time for one
    release, and for one batch: of a batch that takes longer each release is read again by itself. start_seconds: the
    longest time for loading. on_event: called with every ``Event``, in the pool's own thread.
    """

    def __init__(
        self,
        load: Callable[[], "Language"],
        workers: int,
        *,
        release_seconds: float,
        start_seconds: float,
        on_event: Optional[Callable[[Event], None]] = None,
    ) -> None:
        self.pipeline: Optional[Pipeline] = None
        self._load = pickle.dumps(load)
        self._release_seconds, self._start_seconds = release_seconds, start_seconds
        self._on_event = on_event
        self._context = _context()
        self._workers = [_Worker() for _ in range(workers)]
        self._jobs: Deque[_Job] = deque()
        self._lock = threading.Lock()
        self._error: Optional[WorkerError] = None
        self._closing = self._ended = False
        self._started: "Future[None]" = Future()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._thread = threading.Thread(target=self._run, name="workers", daemon=True)

    def __enter__(self) -> "WorkerPool":
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def size(self) -> int:
        return len(self._workers)

    @property
    def alive(self) -> int:
        """How many processes have the model loaded."""
        return sum(worker.ready for worker in self._workers)

    @property
    def pids(self) -> List[int]:
        """Of the processes that have the model loaded."""
        return [worker.process.pid for worker in self._workers if worker.ready]

    def start(self) -> Pipeline:
        """Start the processes and wait until all have loaded the model.

        Raises WorkerError with the reason where one can't.
        """
        atexit.register(self.close)
        self._thread.start()
        try:
            self._started.result()
        except BaseException:
            self.close()
            raise
        assert self.pipeline is not None
        return self.pipeline

    def submit(self, tasks: Sequence[Task]) -> "Future[List[Result]]":
        """Results in the order of the tasks: a release on which the model fails, that takes too long or that ends the
        process gets a Defect with the code ``model``, ``timeout`` or ``crashed``.

        A future that is cancelled before its batch is begun costs nothing. Raises WorkerError where the pool is closed
        or has given up; so does the future.
        """
        order = _Order(list(tasks), [None] * len(tasks), len(tasks))
        with self._lock:
            if self._error is not None:
                raise self._error
            if tasks:
                self._jobs.append(_Job(order, list(range(len(tasks)))))
        if tasks:
            self._wake()
        else:
            order.future.set_result([])
        return order.future

    def close(self) -> None:
        """End all processes; what was not finished raises WorkerError. Can be called again."""
        atexit.unregister(self.close)
        with self._lock:
            if self._error is None:
                self._error = WorkerError("the pool of processes is closed")
            self._closing = True
        self._wake()
        if self._thread.ident is None:
            self._end()
        else:
            self._thread.join()

    # what follows runs in the pool's thread

    def _run(self) -> None:
        try:
            while not self._closing:
                self._start_due()
                self._hand_out()
                self._wait()
                self._stop_overdue()
        except Exception as err:  # without this thread no future would ever be done
            self._give_up(f"{type(err).__name__}: {err}")
        finally:
            self._end()

    def _wake(self) -> None:
        with self._lock, suppress(BlockingIOError):  # a pipe that is full wakes as well
            if not self._ended:
                os.write(self._wake_write, b"x")

    def _start_due(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            if worker.process is None and worker.due is not None and worker.due <= now:
                self._start_one(worker)

    def _start_one(self, worker: _Worker) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(theirs, self._load), name="communique", daemon=True)
        try:
            process.start()
            worker.process = process
            worker.talk = _Talk(ours, self._wake)
        except Exception as err:
            ours.close()
            self._failed_start(worker, f"no process can be started: {' '.join(str(err).split())}")
        else:
            worker.due = time.monotonic() + self._start_seconds
        finally:
            theirs.close()

    def _hand_out(self) -> None:
        for worker in self._workers:
            if worker.talk is None or not worker.ready or worker.gone or worker.job is not None:
                continue
            if job := self._next_job(self._can_spare(worker)):
                worker.job, worker.due = job, time.monotonic() + self._release_seconds
                worker.talk.ask(job.tasks())

    def _can_spare(self, worker: _Worker) -> bool:
        """Whether others could still be served if this process were ended by what it reads."""
        others = [w for w in self._workers if w is not worker and w.failures < STARTS]
        return not others or any(w.ready and not (w.job and w.job.deaths) for w in others)

    def _next_job(self, suspects: bool) -> Optional[_Job]:
        """The next batch; one that has ended a process before only where ``suspects`` may be read."""
        with self._lock:
            while job := next((job for job in self._jobs if suspects or not job.deaths), None):
                self._jobs.remove(job)
                if job.order.future.running() or job.order.future.set_running_or_notify_cancel():
                    return job
        return None

    def _wait(self) -> None:
        alive = {w.process.sentinel: w for w in self._workers if w.process is not None and not w.gone}
        dues = [worker.due for worker in self._workers if worker.due is not None]
        timeout = max(0.0, min(dues) - time.monotonic()) if dues else None
        found = connection.wait([self._wake_read, *alive], timeout)
        if self._wake_read in found:
            os.read(self._wake_read, 4096)
        for sentinel, worker in alive.items():
            if sentinel in found and worker.talk is not None:
                worker.gone = True
                worker.talk.end()
        for worker in self._workers:
            self._listen(worker)

    def _listen(self, worker: _Worker) -> None:
        """Hear all that a process has said; if it died, what it said before counts."""
        talk = worker.talk
        for message in talk.heard() if talk is not None else ():
            self._hear(worker, message)
            if worker.talk is not talk:  # its place is free, or has another
                break

    def _hear(self, worker: _Worker, message: Any) -> None:
        if message is None:
            self._lost(worker)
        elif isinstance(message, Pipeline):
            worker.ready, worker.due, worker.failures = True, None, 0
            self.pipeline = message
            self._tell("ready", worker.process.pid)
            if not self._started.done() and self.alive == self.size:
                self._started.set_result(None)
        elif isinstance(message, str):
            self._failed_start(worker, message)
        elif worker.job is not None:
            job, worker.job, worker.due = worker.job, None, None
            job.finish(message)

    def _lost(self, worker: _Worker) -> None:
        """A process is gone, nobody knows why: it may have been killed, or what it read has ended it."""
        ready, job, pid = worker.ready, worker.job, worker.process.pid
        code = self._remove(worker)
        if not ready:
            self._failed_start(worker, f"the process ended with exit code {code} while it loaded the model")
            return
        self._tell("died", pid, f"exit code {code}")
        if job is None:
            return
        job.deaths += 1
        if job.deaths < 2:
            self._again([job])
        elif len(job.places) > 1:
            self._again(job.singly(deaths=1))
        else:
            job.refuse("crashed", f"two processes that read it ended, the last with exit code {code}")

    def _stop_overdue(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            if worker.process is None or worker.due is None or worker.due > now:
                continue
            ready, job, pid = worker.ready, worker.job, worker.process.pid
            self._remove(worker)
            if not ready:
                self._failed_start(worker, f"loading the model took more than {self._start_seconds:g} seconds")
            elif job is not None:
                self._tell("timeout", pid, f"{len(job.places)} releases took more than {self._release_seconds:g} s")
                if len(job.places) > 1:
                    self._again(job.singly(deaths=0))
                else:
                    job.refuse("timeout", f"it took more than {self._release_seconds:g} seconds")

    def _again(self, jobs: List[_Job]) -> None:
        with self._lock:
            self._jobs.extendleft(reversed(jobs))

    def _failed_start(self, worker: _Worker, reason: str) -> None:
        pid = worker.process.pid if worker.process is not None else None
        self._remove(worker)
        self._tell("failed", pid, reason)
        worker.failures += 1
        worker.due = time.monotonic() + min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (worker.failures - 1))
        if not self._started.done():
            self._give_up(reason)
            self._started.set_exception(WorkerError(reason))
        elif all(w.failures >= STARTS for w in self._workers):
            self._give_up(reason)
            self._tell("broken", None, reason)

    def _give_up(self, reason: str) -> None:
        with self._lock:
            self._error = self._error or WorkerError(reason)
            self._closing = True

    def _remove(self, worker: _Worker) -> Optional[int]:
        """End the process of a place, which may then be filled again. Returns the exit code."""
        if worker.process is None:
            return None
        if worker.talk is not None:
            worker.talk.end()
        worker.process.kill()
        worker.process.join()
        code: Optional[int] = worker.process.exitcode
        worker.process.close()
        worker.process = worker.talk = worker.job = None
        worker.ready, worker.gone, worker.due = False, False, 0.0
        return code

    def _end(self) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended = True
        error = self._error or WorkerError("the pool of processes is closed")
        with self._lock:
            jobs = [*self._jobs, *(w.job for w in self._workers if w.job is not None)]
            self._jobs.clear()
        for worker in self._workers:
            self._remove(worker)
        for future in {id(job.order): job.order.future for job in jobs}.values():
            if not future.cancelled():
                future.set_exception(error)
        if not self._started.done():
            self._started.set_exception(error)
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _tell(self, kind: str, pid: Optional[int], reason: str = "") -> None:
        if self._on_event is not None:
            self._on_event(Event(kind, pid, reason))


def _context() -> Any:
    """Processes are forked from one that has imported all that they need and does nothing else: that takes a tenth of
    the time of a new start, and less memory. Where there is no fork they are started anew."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOAD])
    return context


def _work(pipe: Any, load: bytes) -> None:
    """A process of the pool: load the model, then annotate what comes through the pipe until it is closed."""
    # a signal to the whole group is for the parent, which ends its processes when it has no more need of them
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        nlp, pipeline = _load(load)
    except Exception as err:
        pipe.send(str(err) if isinstance(err, CommuniqueError) else f"{type(err).__name__}: {err}")
        return
    pipe.send(pipeline)
    with suppress(EOFError, OSError):
        while True:
            pipe.send(_annotate(nlp, pipe.recv()))


def _load(load: bytes) -> "tuple[Language, Pipeline]":
    import_module(PRELOAD)
    nlp = pickle.loads(load)()
    from .bridge import get_schema

    return nlp, Pipeline(nlp.path.name if nlp.path else "", dict(nlp.meta), get_schema(nlp).to_dict())


def _annotate(nlp: "Language", tasks: List[Task]) -> List[Result]:
    from .annotate.run import annotate
    from .annotate.sinks import dump

    results: List[Result] = []
    # what the vocabulary learns from these texts is forgotten again: the process lives long
    with nlp.memory_zone():
        for task, item in zip(tasks, annotate(nlp, [t.release for t in tasks], batch_size=len(tasks))):
            if isinstance(item, Release):
                line = dump(item.confident(task.min_confidence)).rstrip("\n")
                results.append(Annotated(item.id, line.encode("utf8")))
            else:
                results.append(item)
    return results


def _end_with_parent() -> None:
    """A parent that is killed can't end its processes: they notice it themselves, whatever they are at."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
