"""What stands behind the routes: the pool, the queue before it, and whether it takes requests."""

from __future__ import annotations

import asyncio
import json
import logging
from enum import Enum
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Sequence

from .. import __version__
from ..errors import CommuniqueError
from ..release import Release
from ..workers import Annotated, Event, ModelLoad, Pipeline, Result, Task, WorkerPool, share_cores
from .batching import Batcher, Pending
from .errors import unavailable
from .intake import count_words
from .logs import log
from .metrics import Metrics
from .settings import Limits, Settings

NAMELESS = "pipeline"  # spaCy's own name for them
NewPool = Callable[[Callable[[Event], None]], WorkerPool]


class State(Enum):
    """What the service tells those who ask whether it is ready."""

    starting = "the model is being loaded"
    ready = "ready"
    stopping = "the service is shutting down"
    failed = "the service has failed"


class Service:
    """Loads the model in a pool of processes and annotates releases with it.

    new_pool: makes the pool, given what is to be told of its events; one of the settings' model where it is None.
    ``on_failure`` is called in the event loop when the model can't be loaded or no process is left.
    """

    def __init__(self, settings: Settings, new_pool: Optional[NewPool] = None) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.state = State.starting
        self.failure: Optional[str] = None
        self.unfinished = 0
        self.on_failure: Callable[[], None] = lambda: None
        self.pool = (new_pool or partial(_new_pool, settings))(self._happened)
        self.batcher = Batcher(self.pool.submit, self.pool.size, settings, self.metrics)
        self.metrics.watch(lambda: self.batcher.queued, lambda: self.pool.alive)
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._loading: Optional["asyncio.Task[None]"] = None

    @property
    def ready(self) -> bool:
        return self.state is State.ready and self.pool.alive > 0

    async def start(self) -> None:
        """Begin to load the model; the routes say when it is there."""
        self._loop = asyncio.get_running_loop()
        self._loading = asyncio.create_task(self._load())

    async def stop(self) -> None:
        self.drain()
        await asyncio.to_thread(self.pool.close)
        if self._loading is not None:
            await self._loading

    def drain(self) -> None:
        """Take no more requests; those that were taken are finished."""
        if self.state is not State.failed:
            self.state = State.stopping

    def abandon(self) -> None:
        """Answer what is not finished yet with 503."""
        error = unavailable("stopping", "the service was shut down before it was read", self._retry)
        self.unfinished += self.batcher.fail(error)

    def pipeline(self) -> Pipeline:
        """What the processes have loaded. Raises ApiError 503 where they have not."""
        if self.pool.pipeline is None or self.state is not State.ready:
            raise unavailable(self.state.name, self.state.value, self._retry)
        return self.pool.pipeline

    def take(self, releases: List[Release], min_confidence: float) -> Pending:
        """Queue the releases of a request. Raises ApiError 503 where there is no room or no pipeline."""
        self.pipeline()
        return self.batcher.add([Task(release, min_confidence) for release in releases], count_words(releases))

    def leave(self, pending: Pending) -> None:
        self.batcher.drop(pending)

    def answer(self, tasks: Sequence[Task], results: Sequence[Result]) -> bytes:
        """The body of an answer: the processes have written most of it."""
        pipeline = self.pool.pipeline
        model = json.dumps(model_of(pipeline)).encode() if pipeline is not None else b"null"
        lines = [r.line if isinstance(r, Annotated) else _failed(t, r) for t, r in zip(tasks, results)]
        return b'{"releases": [' + b", ".join(lines) + b'], "model": ' + model + b"}"

    @property
    def _retry(self) -> int:
        return self.settings.limits.retry_seconds

    async def _load(self) -> None:
        try:
            await asyncio.to_thread(self.pool.start)
        except CommuniqueError as err:
            if self.state is State.starting:
                self._fail(str(err))
        else:
            if self.state is State.starting:
                self.state = State.ready

    def _fail(self, reason: str) -> None:
        self.state, self.failure = State.failed, reason
        self.on_failure()

    def _happened(self, event: Event) -> None:  # in the pool's thread
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._note, event)

    def _note(self, event: Event) -> None:
        level = logging.INFO if event.kind == "ready" else logging.WARNING
        log(f"worker {event.kind}", level=level, pid=event.pid, reason=event.reason)
        if event.kind in ("died", "timeout"):
            self.metrics.restarts.inc()
        if event.kind == "broken":
            self._fail(event.reason)


def _new_pool(settings: Settings, on_event: Callable[[Event], None]) -> WorkerPool:
    count, threads = share_cores(settings.workers.count)
    return WorkerPool(
        ModelLoad(settings.model.name, threads, settings.limits.chars),
        count,
        release_seconds=settings.limits.release_seconds,
        start_seconds=settings.workers.start_seconds,
        on_event=on_event,
    )


def model_of(pipeline: Pipeline) -> Dict[str, Any]:
    """What an answer says of the model. A pipeline that nobody gave a name goes by its folder's."""
    known = {key: pipeline.meta[key] for key in ("name", "version", "lang", "spacy_version")}
    if known["name"] == NAMELESS:
        known["name"] = pipeline.folder
    return {**known, "communique_version": __version__}


def labels_of(pipeline: Pipeline, limits: Limits) -> Dict[str, Any]:
    """The label scheme and the limits of a request, as /labels has them."""
    schema = pipeline.schema
    return {
        "entities": schema["entities"]["labels"],
        "spans": schema["spans"],
        "relations": [{"type": name, **signature} for name, signature in schema["relations"].items()],
        "limits": limits.model_dump(include={"releases", "chars", "body_bytes"}),
        "model": model_of(pipeline),
    }


def _failed(task: Task, defect: Any) -> bytes:
    """The entry of a release that could not be annotated."""
    message = defect.message.removeprefix(f"{task.release.id}: ")
    return json.dumps({"id": task.release.id, "error": {"code": defect.code, "message": message}}).encode()
