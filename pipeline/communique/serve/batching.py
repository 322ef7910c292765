"""Releases of many requests become batches: full ones under load, and nobody waits while a process is idle."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Callable, Deque, Dict, List, Optional, Sequence, Tuple

from ..workers import Annotated, Result, Task
from .errors import ApiError, unavailable
from .metrics import Metrics
from .settings import Settings

Submit = Callable[[Sequence[Task]], "Future[List[Result]]"]


@dataclass(eq=False)
class Pending:
    """What a request asked for. next: the first of its tasks that is in no batch yet."""

    tasks: List[Task]
    words: List[int]
    results: List[Optional[Result]]
    future: "asyncio.Future[None]"
    next: int = 0
    missing: int = 0

    @property
    def waiting(self) -> int:
        return len(self.tasks) - self.next

    def finished(self) -> List[Result]:
        """The results, once ``future`` is done."""
        return [result for result in self.results if result is not None]


class Batcher:
    """Hands the releases of requests to a pool, in batches. To be used in the event loop only.

    submit: the pool's. slots: how many batches the pool can read at once. All idle: what comes is handed on at once;
    some busy: when a batch is full or has waited for the window. Requests take turns, release by release, so that a
    long one does not keep short ones waiting.
    """

    def __init__(self, submit: Submit, slots: int, settings: Settings, metrics: Metrics) -> None:
        self._submit, self._slots, self._metrics = submit, slots, metrics
        self._batch, self._limits = settings.batch, settings.limits
        self._turns: Deque[Pending] = deque()
        self._unfinished: Dict[Pending, None] = {}
        self._running = 0
        self._timer: Optional[asyncio.TimerHandle] = None
        self._window_over = False
        self.queued = self._queued_words = 0

    @property
    def idle(self) -> bool:
        return not self._unfinished

    def add(self, tasks: List[Task], words: List[int]) -> Pending:
        """Queue the tasks of a request; ``future`` of what is returned says when they are done.

        Raises ApiError 503 where the queue has no room for them.
        """
        if self.queued + len(tasks) > self._limits.queue:
            message = f"{self.queued:,} releases wait already, at most {self._limits.queue:,} may"
            raise unavailable("busy", message, self._limits.retry_seconds)
        pending = Pending(tasks, words, [None] * len(tasks), asyncio.get_running_loop().create_future())
        pending.missing = len(tasks)
        if not tasks:
            pending.future.set_result(None)
            return pending
        self._unfinished[pending] = None
        self._turns.append(pending)
        self._count(len(tasks), sum(words))
        self._pump()
        return pending

    def drop(self, pending: Pending) -> None:
        """Nobody waits for this any more: what is in no batch yet is not read."""
        self._unfinished.pop(pending, None)
        if pending in self._turns:
            self._turns.remove(pending)
            self._count(-pending.waiting, -sum(pending.words[pending.next :]))
        pending.future.cancel()

    def fail(self, error: Exception) -> int:
        """Give up all that is not finished. Returns how many requests that were."""
        found = list(self._unfinished)
        for pending in found:
            if not pending.future.done():
                pending.future.set_exception(error)
            self.drop(pending)
        return len(found)

    def _count(self, releases: int, words: int) -> None:
        self.queued += releases
        self._queued_words += words

    def _pump(self) -> None:
        while self._turns and self._running < self._slots:
            if self._running and not self._window_over and not self._full():
                if self._timer is None:
                    loop = asyncio.get_running_loop()
                    self._timer = loop.call_later(self._batch.window_ms / 1000, self._close_window)
                return
            self._dispatch(self._fill())
        if not self._turns:
            self._open_window()

    def _full(self) -> bool:
        return self.queued >= self._batch.releases or self._queued_words >= self._batch.words

    def _close_window(self) -> None:
        self._window_over = True
        self._pump()

    def _open_window(self) -> None:
        self._window_over = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fill(self) -> List[Tuple[Pending, int]]:
        """The next batch: (request, number of its release), at least one, in turns."""
        batch: List[Tuple[Pending, int]] = []
        total = 0
        while self._turns and len(batch) < self._batch.releases:
            pending = self._turns[0]
            words = pending.words[pending.next]
            if batch and total + words > self._batch.words:
                break
            batch.append((pending, pending.next))
            total += words
            pending.next += 1
            self._turns.popleft()
            if pending.waiting:
                self._turns.append(pending)
        self._count(-len(batch), -total)
        self._open_window()
        self._metrics.batch_releases.observe(len(batch))
        self._metrics.batch_words.observe(total)
        return batch

    def _dispatch(self, batch: List[Tuple[Pending, int]]) -> None:
        loop = asyncio.get_running_loop()
        self._running += 1

        def done(future: "Future[List[Result]]") -> None:  # in the pool's thread
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._finish, batch, future)

        try:
            future = self._submit([pending.tasks[i] for pending, i in batch])
        except Exception as err:
            loop.call_soon(self._failed, batch, err)
        else:
            future.add_done_callback(done)

    def _finish(self, batch: List[Tuple[Pending, int]], future: "Future[Any]") -> None:
        error = future.exception()
        if error is not None:
            self._failed(batch, error)
            return
        self._running -= 1
        for (pending, i), result in zip(batch, future.result()):
            pending.results[i] = result
            pending.missing -= 1
            good = isinstance(result, Annotated)
            self._metrics.releases.labels("ok" if good else result.code).inc()
            self._metrics.words.inc(pending.words[i] if good else 0)
            if not pending.missing:
                self._unfinished.pop(pending, None)
                if not pending.future.done():
                    pending.future.set_result(None)
        self._pump()

    def _failed(self, batch: List[Tuple[Pending, int]], error: BaseException) -> None:
        self._running -= 1
        for pending in {id(p): p for p, _ in batch}.values():
            if not pending.future.done():
                pending.future.set_exception(ApiError(503, "workers", "no process is left that could read it"))
            self.drop(pending)
        self._pump()
