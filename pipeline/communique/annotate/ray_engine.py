"""Annotates on a cluster, by Ray Data. Needs the extra ``[ray]``.

The driver reads the inputs and keeps the progress; batches stream through actors that hold the model, in order. An
actor that dies is started again by Ray and its batch is read again; a release that ends the model's process costs
nobody but itself, as on one machine: each actor has a process of a ``WorkerPool`` behind it.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import queue
import threading
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Union

from ..cores import available_cores
from ..errors import ConfigError
from ..workers import Event, Pipeline, Result, Task, WorkerError
from .engines import Batch, Results, make_pool
from .settings import Settings

EXTRA = "pip install 'communique[ray]'"
DATA = "data"  # the one column of all blocks: a batch or its results, pickled


class RayEngine:
    """Actors of a Ray cluster, one for each of ``[workers] count``; null is one for each core of the cluster.

    Raises ConfigError where Ray is not installed.
    """

    def __init__(self, settings: Settings, on_event: Callable[[Event], None]) -> None:
        _ray()
        self.settings = settings
        self.on_event = on_event

    def annotate(self, batches: Iterable[Batch], started: Callable[[Pipeline], None]) -> Results:
        stream = iter(batches)
        first = next(stream, None)
        if first is None:
            return
        with _cluster(self.settings) as actors:
            flow = _Flow(self.settings, actors)
            for batch in chain([first], stream):
                flow.put(batch)
                if flow.waiting >= actors * self.settings.batch.ahead:
                    yield flow.take(started)
            flow.end()
            while flow.waiting:
                yield flow.take(started)


def _ray() -> Any:
    try:
        import ray.data
    except ImportError as err:
        raise ConfigError(f"--engine ray needs Ray, which is not installed: {EXTRA}") from err
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


@contextmanager
def _cluster(settings: Settings) -> Iterator[int]:
    """A cluster, one on this machine if no other is named. Yields how many actors it can hold."""
    ray = _ray()
    workers, resources = settings.workers, settings.ray
    mine = not ray.is_initialized()
    if mine:
        options: Dict[str, Any] = {"address": resources.address}
        if resources.address is None:
            cores = (workers.count or available_cores()) * resources.cpus
            options = {"num_cpus": cores, "include_dashboard": False}
        try:
            ray.init(**options, log_to_driver=False, logging_level="ERROR", configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError) as err:
            raise ConfigError(f"[ray] address {resources.address}: {' '.join(str(err).split())}") from err
    try:
        yield workers.count or max(1, int(ray.cluster_resources().get("CPU", 1) / resources.cpus))
    finally:
        if mine:
            ray.shutdown()


class _Flow:
    """Batches that go through the cluster. The thread that puts them takes their results, too; another one waits."""

    def __init__(self, settings: Settings, actors: int) -> None:
        ray = _ray()
        self.waiting = 0
        self._put = 0
        self._taken = 0
        self._done: "queue.Queue[Union[bytes, BaseException]]" = queue.Queue()
        self._told = False
        self._feeder = ray.remote(num_cpus=0, max_concurrency=8, scheduling_strategy=_here())(Feeder).remote()
        self._dataset = _dataset(self._feeder, settings, actors)
        self._thread = threading.Thread(target=self._drain, name="ray", daemon=True)
        self._thread.start()

    def put(self, batch: Batch) -> None:
        self._call("put", self._put, pickle.dumps(list(batch)))
        self._put += 1
        self.waiting += 1

    def end(self) -> None:
        self._call("end", self._put)

    def take(self, started: Callable[[Pipeline], None]) -> List[Result]:
        """The results of the batch that was put first. Raises WorkerError where the cluster gives none."""
        data = self._done.get()
        if isinstance(data, BaseException):
            raise WorkerError(f"Ray: {_reason(data)}") from data
        number, pipeline, results = pickle.loads(data)
        if number != self._taken:
            raise WorkerError(f"Ray: batch {number} came in place of batch {self._taken}: run the same command again")
        if not self._told:
            started(pipeline)
            self._told = True
        self._call("drop", number)
        self._taken += 1
        self.waiting -= 1
        return list(results)

    def _call(self, name: str, *args: Any) -> Any:
        ray = _ray()
        try:
            return ray.get(getattr(self._feeder, name).remote(*args))
        except ray.exceptions.RayError as err:
            raise WorkerError(f"Ray: {_reason(err)}") from err

    def _drain(self) -> None:
        try:
            for row in self._dataset.iter_rows():
                self._done.put(row[DATA])
            self._done.put(WorkerError("the cluster has ended too early"))
        except BaseException as err:  # whatever it is, who waits for results must hear of it
            self._done.put(err)


def _here() -> Any:
    """On this machine, whose end is the end of the run anyway."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(_ray().get_runtime_context().get_node_id(), soft=False)


def _reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


class Feeder:
    """An actor that holds the batches which are on their way, so that each can be read again."""

    def __init__(self) -> None:
        self._batches: Dict[int, bytes] = {}
        self._dropped = 0
        self._end: Optional[int] = None
        self._changed = asyncio.Condition()

    async def put(self, number: int, batch: bytes) -> None:
        async with self._changed:
            self._batches[number] = batch
            self._changed.notify_all()

    async def end(self, number: int) -> None:
        async with self._changed:
            self._end = number
            self._changed.notify_all()

    async def drop(self, number: int) -> None:
        async with self._changed:
            self._batches.pop(number, None)
            self._dropped = max(self._dropped, number + 1)

    async def get(self, number: int) -> Optional[bytes]:
        """A batch, as soon as it is there; an empty one for what is done already, None after the last."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._there(number))
            if number in self._batches:
                return self._batches[number]
            return pickle.dumps([]) if number < self._dropped else None

    def _there(self, number: int) -> bool:
        return number in self._batches or number < self._dropped or (self._end is not None and number >= self._end)


def _dataset(feeder: Any, settings: Settings, actors: int) -> Any:
    ray = _ray()
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = 1  # bytes: each batch goes on its way at once, in a block of its own
    resources = {"num_cpus": settings.ray.cpus, "num_gpus": settings.ray.gpus or None}
    source = ray.data.read_datasource(_source(feeder), concurrency=1, num_cpus=0)
    return source.map_batches(
        Annotator,
        fn_constructor_args=(settings.model_dump_json(),),
        batch_size=None,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(size=actors),
        **{name: value for name, value in resources.items() if value is not None},
    )


def _source(feeder: Any) -> Any:
    """One task that gives each batch on as soon as the feeder has it."""
    import pyarrow as pa
    from ray.data import Datasource
    from ray.data.block import BlockMetadata
    from ray.data.datasource import ReadTask

    ray = _ray()

    def read() -> Iterator[Any]:
        number = 0
        while (batch := ray.get(feeder.get.remote(number))) is not None:
            yield pa.table({DATA: [pickle.dumps((number, batch))]})
            number += 1

    class Source(Datasource):
        def estimate_inmemory_data_size(self) -> Optional[int]:
            return None

        def get_read_tasks(self, *args: Any, **kwargs: Any) -> List[Any]:
            return [ReadTask(read, BlockMetadata(None, None, None, None))]

    source: Any = Source
    return source()


class Annotator:
    """What an actor does: it holds a process with the model, and takes one batch after the other."""

    def __init__(self, settings: str) -> None:
        self.settings = Settings.model_validate_json(settings)
        self.pool = make_pool(self.settings, 1, lambda event: None, gpu=self.settings.ray.gpus > 0)
        self.pool.start()

    def __call__(self, block: Dict[str, Any]) -> Dict[str, Any]:
        return {DATA: [self._annotated(*pickle.loads(data)) for data in block[DATA]]}

    def _annotated(self, number: int, batch: bytes) -> bytes:
        results = self.pool.submit([Task(release) for release in pickle.loads(batch)]).result()
        assert self.pool.pipeline is not None
        return pickle.dumps((number, replace(self.pool.pipeline, meta={}), results))
