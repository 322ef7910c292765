"""Runs the service until a signal ends it."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import socket
import threading
import time
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, Iterator, List, Optional

import uvicorn

from ..errors import ConfigError
from ..interrupts import SIGNALS
from .app import create_app
from .auth import load_token
from .errors import ApiError
from .logs import log, set_up_logging
from .middleware import OTHER
from .protocol import LimitedProtocol
from .service import Service
from .settings import Settings

FAILED = 1
ANSWER = 2  # seconds in which those who are told that their time is over can be told


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code: 0 if all that was taken was answered.

    Raises ConfigError where the service can't be started.
    """
    token = load_token(settings, os.environ)
    listening = _listen(settings)
    set_up_logging()
    service = Service(settings)
    server = Server(server_config(settings, service, token), service)
    service.on_failure = server.stop
    server.run([listening])
    if service.failure is not None and service.pool.pipeline is None:
        raise ConfigError(service.failure)
    if service.failure is not None:
        log("failed", level=logging.ERROR, reason=service.failure)
    log("stopped", unfinished=service.unfinished)
    return FAILED if service.failure is not None or service.unfinished or server.force_exit else 0


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.server.host, settings.server.port
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as err:
        raise ConfigError(f"can't listen at {host}, port {port}: {err.strerror or err}") from err


def server_config(settings: Settings, service: Service, token: Optional[str]) -> uvicorn.Config:
    """How uvicorn is to serve the app: with our limits, our log, and nothing that it would add by itself."""

    def refused(error: ApiError) -> None:
        service.metrics.requests.labels(OTHER, OTHER, str(error.status)).inc()
        log("refused", status=error.status, code=error.code)

    protocol: Any = partial(LimitedProtocol, limits=settings.limits, refused=refused)
    return uvicorn.Config(
        create_app(settings, service, token),
        http=protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.server.keep_alive_seconds,
        timeout_graceful_shutdown=math.ceil(settings.server.grace_seconds) + ANSWER,
    )


class Server(uvicorn.Server):
    """Ends with 0 after a signal, and tells before that it is going to."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service
        self._stop_at: Optional[float] = None

    def stop(self) -> None:
        self.should_exit = True

    async def startup(self, sockets: Optional[List[socket.socket]] = None) -> None:
        """Signals are heard by now: who reads that we listen may send one."""
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            log("listening", url=url, model=self.service.settings.model.name, workers=self.service.pool.size)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        main = threading.current_thread() is threading.main_thread()  # in others Python allows no handlers
        heard = [number for number in SIGNALS if main and signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self.handle_exit) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: Optional[FrameType]) -> None:
        """The first signal: no new requests, and what was taken is finished. Another: an end at once."""
        if self._stop_at is not None:
            self.should_exit = self.force_exit = True
            return
        self._stop_at = time.monotonic() + self.service.settings.server.drain_seconds
        self.service.drain()

    async def on_tick(self, counter: int) -> bool:
        if self._stop_at is not None and time.monotonic() >= self._stop_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: Optional[List[socket.socket]] = None) -> None:
        log("stopping")
        grace = self.service.settings.server.grace_seconds
        timer = asyncio.get_running_loop().call_later(grace, self.service.abandon)
        await super().shutdown(sockets)
        timer.cancel()
        if self.force_exit:
            await self.service.stop()
