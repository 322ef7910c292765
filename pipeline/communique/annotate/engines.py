"""Where the model runs. An engine takes batches of releases and gives their results back in the same order."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from itertools import chain, islice
from typing import Callable, Deque, Generator, Iterable, List, Protocol, Sequence

from ..cores import available_cores
from ..release import Release
from ..workers import Event, ModelLoad, Pipeline, Result, Task, WorkerPool
from .settings import Settings

Batch = Sequence[Release]
Results = Generator[List[Result], None, None]


class Engine(Protocol):
    def annotate(self, batches: Iterable[Batch], started: Callable[[Pipeline], None]) -> Results:
        """The results of each batch, lazily: no more batches are taken than are needed to keep all processes busy.

        started: told which pipeline annotates, before the first result; where there is no batch nothing is loaded.
        Raises WorkerError where the model can't be loaded or no process stays alive.
        """
        ...


class LocalEngine:
    """Processes on this machine.

    No more are started than there are batches at once. on_event: called, from a thread of the pool's, with what
    happens to them.
    """

    def __init__(self, settings: Settings, on_event: Callable[[Event], None]) -> None:
        self.settings = settings
        self.on_event = on_event

    def annotate(self, batches: Iterable[Batch], started: Callable[[Pipeline], None]) -> Results:
        stream = iter(batches)
        most = self.settings.workers.count or max(1, available_cores() // self.settings.workers.threads)
        first = list(islice(stream, most))
        if not first:
            return
        waiting: "Deque[Future[List[Result]]]" = deque()
        with make_pool(self.settings, len(first), self.on_event) as pool:
            assert pool.pipeline is not None
            started(pool.pipeline)
            for batch in chain(first, stream):
                waiting.append(pool.submit([Task(release) for release in batch]))
                if len(waiting) >= pool.size * self.settings.batch.ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()


def make_pool(settings: Settings, workers: int, on_event: Callable[[Event], None], *, gpu: bool = False) -> WorkerPool:
    threads, chars = settings.workers.threads, settings.limits.chars
    load = ModelLoad(settings.model.name, threads=threads, max_chars=chars, gpu=gpu)
    return WorkerPool(
        load,
        workers,
        release_seconds=settings.limits.release_seconds,
        start_seconds=settings.workers.start_seconds,
        on_event=on_event,
    )
