"""The connections: how many there may be, and how long a client may take. Uvicorn limits neither."""

from __future__ import annotations

import asyncio
from typing import Any, Callable, Optional

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from .errors import ApiError, unavailable
from .settings import Limits

LINGER = 1.0  # seconds in which a client that is refused can read why
Refused = Callable[[ApiError], None]


class LimitedProtocol(HttpToolsProtocol):
    """A connection with limits.

    A client has ``header_seconds`` for a request's first line and headers, and ``header_bytes``; ``body_seconds`` for
    its body, though the answer may be there already; ``write_seconds`` to take some of an answer. refused: called with
    each error that no route has seen. The protocol is never changed: a header ``Upgrade`` is as if it were not there.
    """

    def __init__(self, *args: Any, limits: Limits, refused: Refused, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.limits, self.refused = limits, refused
        self._reading: Optional[asyncio.TimerHandle] = None
        self._writing: Optional[asyncio.TimerHandle] = None
        self._wrong: Optional[ApiError] = None
        self._in_head = True
        self._ended = False
        self._head_bytes = self._named_bytes = self._drained = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self.connections.discard(self)
            message = f"{self.limits.connections:,} connections are open already"
            self._refuse(unavailable("connections", message, self.limits.retry_seconds))
        else:
            self._expect_head()

    def connection_lost(self, exc: Optional[Exception]) -> None:
        self._stop_reading()
        self._resume()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        while data and self.parser is not None and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            data = self._parse(data)

    def _parse(self, data: bytes) -> bytes:
        """Read, and return what is still to be read: the parser ends a request at ``Upgrade``, whatever comes after."""
        self._ended = False
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            again = self._head_without_upgrade()
            self.parser = HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
            return again + data[upgrade.args[0] :]
        except HttpParserError as err:
            self.send_400_response(str(err))
            return b""
        if self._in_head and self._reading is not None:
            self._head_bytes += 0 if self._ended else len(data)  # how much of it is the next one's nobody says
            if self._head_bytes > self.limits.header_bytes:
                self._refuse(self._head_is_long())
        elif self._reading is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_head()  # blank lines begin no request, but have stopped the clock of the idle connection
        return b""

    def _head_without_upgrade(self) -> bytes:
        first = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        lines = [b"%b: %b" % (name, value) for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([first, *lines, b"", b""])

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._named_bytes = 0
        if self._reading is None:
            self._expect_head()

    def on_url(self, url: bytes) -> None:
        self._named_bytes += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._named_bytes += len(name) + len(value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        hosts = sum(name == b"host" for name, _ in self.headers)
        if self._named_bytes > self.limits.header_bytes:  # they came in one piece with what ends them
            self._wrong = self._head_is_long()
        elif hosts > 1 or (not hosts and self.parser.get_http_version() != "1.0"):
            self._wrong = ApiError(400, "http", f"send one Host header, not {hosts}", "Host")
        if self._wrong is not None:
            raise ValueError  # to the parser, which then has it sent
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise ValueError
            return
        self._in_head = False
        self._expect(self.limits.body_seconds, self._body_is_late)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        if self.cycle.response_complete:  # read on, so that the client gets to reading the answer, but not forever
            self._drained += len(body)
            if self._drained > self.limits.body_bytes:
                self.transport.close()

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._ended = True
        self._drained = 0
        self._stop_reading()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():  # what is still to be sent waits for the client
            self.loop.call_later(self.limits.write_seconds, self.transport.abort)

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self.loop.call_later(self.limits.write_seconds, self.transport.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._writing is None:
            self._writing = self.loop.call_later(self.limits.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._resume()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._wrong or ApiError(400, "http", "this is no HTTP request"))

    def _head_is_long(self) -> ApiError:
        return ApiError(431, "header-length", f"more than {self.limits.header_bytes:,} bytes of headers")

    def _expect_head(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._expect(self.limits.header_seconds, self._head_is_late)

    def _expect(self, seconds: float, otherwise: Callable[[], None]) -> None:
        self._stop_reading()
        self._reading = self.loop.call_later(seconds, otherwise)

    def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _resume(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def _head_is_late(self) -> None:
        if self._head_bytes or self.cycle is not None:
            message = f"the headers were not there after {self.limits.header_seconds:g} seconds"
            self._refuse(ApiError(408, "slow", message))
        else:
            self.transport.close()  # nothing was asked: nothing is said

    def _body_is_late(self) -> None:
        """Who reads the body has its own clock; nobody does where the answer went out before the body came in."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _refuse(self, error: ApiError) -> None:
        """Answer in place of the app, and read no further."""
        self._stop_reading()
        if self.transport.is_closing():
            return
        self.refused(error)
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # what it would still send has no place to go
            self.cycle.message_event.set()
        body = error.body()
        lines = [b"content-type: application/json", b"content-length: %d" % len(body), b"connection: close"]
        lines += [f"{name}: {value}".encode() for name, value in error.headers.items()]
        self.transport.write(STATUS_LINE[error.status] + b"\r\n".join(lines) + b"\r\n\r\n" + body)
        self.parser = None  # type: ignore[assignment]
        if self.transport.can_write_eof():
            # closing at once would reset the connection where something unread has arrived, and the answer be lost
            self.transport.write_eof()
            self.loop.call_later(LINGER, self.transport.abort)
        else:
            self.transport.close()
