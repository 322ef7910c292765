"""What Prometheus may ask: how many, how fast, how full."""

from __future__ import annotations

from typing import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

disable_created_metrics()  # type: ignore[no-untyped-call]  # when each counter was made interests nobody, and doubles them
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
RELEASES = (1, 2, 4, 8, 16, 32, 64, 128)
WORDS = (100, 250, 500, 1000, 2000, 4000, 8000, 16000)


class Metrics:
    """The counters of one service, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = kept = CollectorRegistry()
        labels = ("path", "method", "status")
        self.requests = Counter("communique_requests", "Requests answered.", labels, registry=kept)
        self.seconds = Histogram(
            "communique_request_seconds",
            "From a request's headers to the end of its answer.",
            ("path",),
            buckets=SECONDS,
            registry=kept,
        )
        self.in_flight = Gauge("communique_requests_in_flight", "Requests that are being answered.", registry=kept)
        outcomes = "Releases read, by what came of them: ok or the code of the error."
        self.releases = Counter("communique_releases", outcomes, ("outcome",), registry=kept)
        self.words = Counter("communique_words", "Words of the releases annotated.", registry=kept)
        self.batch_releases = Histogram(
            "communique_batch_releases", "Releases of a batch.", buckets=RELEASES, registry=kept
        )
        self.batch_words = Histogram("communique_batch_words", "Words of a batch.", buckets=WORDS, registry=kept)
        self.restarts = Counter("communique_worker_restarts", "Processes that were replaced.", registry=kept)
        self.queue = Gauge("communique_queue_releases", "Releases that wait for a process.", registry=kept)
        self.alive = Gauge("communique_workers_alive", "Processes that have the model loaded.", registry=kept)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)

    def watch(self, queue: Callable[[], int], alive: Callable[[], int]) -> None:
        """Ask these when the metrics are asked for."""
        self.queue.set_function(queue)
        self.alive.set_function(alive)

    def text(self) -> bytes:
        return generate_latest(self.registry)
