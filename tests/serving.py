"""What the tests of the service share: a service in a thread, with processes that are threads, and raw connections."""

from __future__ import annotations

import json
import logging
import re
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn

from communique.bridge import get_schema
from communique.serve import server
from communique.serve.logs import LOGGER, JsonLines
from communique.serve.service import Service, State
from communique.serve.settings import load_settings
from communique.workers import Annotated, Pipeline, WorkerError, _annotate


class LocalPool:
    """A pool whose processes are threads of this one. While ``gate`` is closed what is submitted waits, and batches
    are kept to be looked at."""

    def __init__(self, nlp, size=1, name="bands"):
        self.nlp, self.size, self.name = nlp, size, name
        self.pipeline = None
        self.alive = 0
        self.gate = threading.Event()
        self.gate.set()
        self.batches = []
        self.threads = ThreadPoolExecutor(size)
        self.lock = threading.Lock()

    def start(self):
        self.pipeline = Pipeline(self.name, dict(self.nlp.meta), get_schema(self.nlp).to_dict())
        self.alive = self.size

    def close(self):
        self.alive = 0
        self.gate.set()
        self.threads.shutdown()

    def submit(self, tasks) -> "Future":
        if not self.alive:
            raise WorkerError("closed")
        self.batches.append([task.release.id for task in tasks])
        return self.threads.submit(self._read, tasks)

    def _read(self, tasks):
        self.gate.wait(60)
        with self.lock:
            return _annotate(self.nlp, tasks)


class Running:
    """A service that runs: its pool, the client to ask it with, and the lines of its log."""

    def __init__(self, service, address, log):
        self.service, self.address, self.lines = service, address, log
        self.pool = service.pool
        self.url = f"http://{address[0]}:{address[1]}"
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def annotate(self, body, **kwargs):
        return self.client.post("/annotate", json=body, **kwargs)

    def post(self, content, kind="application/json", **headers):
        return self.client.post("/annotate", content=content, headers={"Content-Type": kind, **headers})

    def metric(self, name, default=None):
        found = re.findall(rf"^{re.escape(name)} (.*)$", self.service.metrics.text().decode(), re.M)
        return float(found[0]) if found else default

    def requests(self):
        return [line for line in map(json.loads, list(self.lines)) if line["event"] == "request"]

    def connect(self):
        return socket.create_connection(self.address, timeout=20)


@contextmanager
def serving(new_pool, token=None, **sections):
    """A service with these settings, {section: {key: value}}, on a port of its own."""
    settings = load_settings(None, {**sections, "server": {"port": 0, **sections.get("server", {})}})
    service = Service(settings, new_pool)
    listening = server._listen(settings)
    running = server.Server(server.server_config(settings, service, token), service)
    service.on_failure = running.stop
    with _log() as lines:
        thread = threading.Thread(target=running.run, args=([listening],), daemon=True)
        thread.start()
        until(lambda: service.state is not State.starting and running.started)
        found = Running(service, listening.getsockname(), lines)
        found.server = running
        try:
            yield found
        finally:
            found.client.close()
            running.should_exit = True
            thread.join(60)
            assert not thread.is_alive()


@contextmanager
def _log():
    lines = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append(self.format(record))

    handler, logger = Keep(), logging.getLogger(LOGGER)
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield lines
    finally:
        logger.removeHandler(handler)


@contextmanager
def command(*args, env=None, **kwargs):
    """``communique serve`` as users start it, once it listens: the process, its url, and the lines of its log so far."""
    script = Path(sys.executable).with_name("communique")
    full = [str(script), "serve", "--port", "0", *map(str, args)]
    process = subprocess.Popen(full, stderr=subprocess.PIPE, text=True, env=env, **kwargs)
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(process.stderr), daemon=True)
    reader.start()
    try:
        until(lambda: any('"listening"' in line for line in lines) or process.poll() is not None)
        assert process.poll() is None, "".join(lines)
        url = json.loads(next(line for line in lines if '"listening"' in line))["url"]
        yield process, url, lines
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        reader.join(10)
        process.stderr.close()


def ready(url, seconds=120.0):
    def asked():
        try:
            return httpx.get(f"{url}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    until(asked, seconds)


def until(condition, seconds=60.0):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not come to pass"
        time.sleep(0.02)


def received(connection):
    """What a connection gives until it is closed."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def read_all(connection):
    """The answer that a connection gives before it is closed: (status, headers, body)."""
    head, _, body = received(connection).partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    return int(lines[0].split()[1]) if lines[0] else None, headers, body


def head(length, *extra):
    lines = [
        "POST /annotate HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {length}",
    ]
    return "\r\n".join([*lines, *extra, "", ""]).encode()


__all__ = ["Annotated", "LocalPool", "command", "head", "read_all", "ready", "received", "serving", "until", "uvicorn"]
