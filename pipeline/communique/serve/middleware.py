"""What every request goes through: its id, the log, the metrics, its name, the token; and what no route catches."""

from __future__ import annotations

import asyncio
import logging
import re
import time
import uuid
from dataclasses import dataclass
from typing import Any, Dict, FrozenSet, List, Optional, Tuple

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .auth import has_token
from .errors import CLOSE, ApiError
from .logs import describe, log
from .metrics import Metrics
from .names import is_named

REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=-]{1,100}")
PATHS = ("/", "/annotate", "/labels", "/healthz", "/readyz", "/metrics", "/openapi.json")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
OPEN = ("/", "/healthz", "/readyz")
PAGE = "/page"
OTHER = "other"
GONE = 499  # the client hung up: there is nobody to answer


@dataclass
class Record:
    """What is known of a request when its line of the log is written."""

    id: str
    status: int = GONE
    releases: int = 0
    words: int = 0
    code: Optional[str] = None


class Observe:
    """Gives each request an id, and logs and counts it when it is over. The outermost of all."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin = time.perf_counter()
        record = Record(_request_id(scope["headers"]))
        scope.setdefault("state", {})["record"] = record
        started = False

        async def tell(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                record.status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = record.id
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        self.metrics.in_flight.inc()
        try:
            await self.app(scope, receive, tell)
        except asyncio.CancelledError:
            if started:
                raise
            await send_error(tell, ApiError(503, "stopping", "the service was shut down", headers=CLOSE))
        except Exception as err:
            log("error", level=logging.ERROR, id=record.id, **describe(err))
            if started:
                raise
            await send_error(tell, ApiError(500, "internal", "the service failed: please report it", headers=CLOSE))
        finally:
            self.metrics.in_flight.dec()
            self._note(scope, record, time.perf_counter() - begin)

    def _note(self, scope: Scope, record: Record, seconds: float) -> None:
        path, method = known_path(scope["path"]), known_method(scope["method"])
        self.metrics.requests.labels(path, method, str(record.status)).inc()
        self.metrics.seconds.labels(path).observe(seconds)
        fields: Dict[str, Any] = {"id": record.id, "method": method, "path": path, "status": record.status}
        fields.update(ms=round(1000 * seconds, 1), releases=record.releases, words=record.words)
        if record.code is not None:
            fields["code"] = record.code
        log("request", **fields)


class Names:
    """Lets only those in who call the service by one of its names."""

    def __init__(self, app: ASGIApp, names: FrozenSet[str]) -> None:
        self.app, self.names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_named(scope["headers"], self.names):
            await self.app(scope, receive, send)
            return
        scope["state"]["record"].code = "host"
        message = "the service is not known by that name: ask localhost, or list the name under [server] hosts"
        await send_error(send, ApiError(421, "host", message, "Host"))


class Guard:
    """Lets only those in who have the token, but for what asks whether the service lives, and the page."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or is_open(scope["path"]) or has_token(scope["headers"], self.token):
            await self.app(scope, receive, send)
            return
        scope["state"]["record"].code = "token"
        message = "send the token: Authorization: Bearer ..."
        headers = {"WWW-Authenticate": 'Bearer realm="communique"'}
        await send_error(send, ApiError(401, "token", message, "Authorization", headers))


class Head:
    """Has HEAD answered as GET. There is no body all the same: the server, which still knows, leaves it out."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        get = scope["type"] == "http" and scope["method"] == "HEAD"
        await self.app({**scope, "method": "GET"} if get else scope, receive, send)


def is_open(path: str) -> bool:
    """Whether a path can be asked for without the token."""
    return path in OPEN or path.startswith(PAGE + "/")


def known_path(path: str) -> str:
    """A path as log and metrics have it: of one that does not exist nothing is told, for it may hold anything."""
    if path.startswith(PAGE + "/"):
        return PAGE
    return path if path in PATHS else OTHER


def known_method(method: str) -> str:
    return method if method in METHODS else OTHER


async def send_error(send: Send, error: ApiError) -> None:
    body = error.body()
    headers: List[Tuple[bytes, bytes]] = [(b"content-type", b"application/json")]
    headers.append((b"content-length", str(len(body)).encode()))
    headers += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _request_id(headers: List[Tuple[bytes, bytes]]) -> str:
    """The client's, if it can be written into a log, or a new one."""
    for name, value in headers:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(found := value.decode("latin-1")):
            return found
    return uuid.uuid4().hex
