"""The near side of the bridge to Doccano: the process that holds doccano-client, asked in lines of JSON.

doccano-client needs pydantic 1 and can't be installed beside spaCy; ``far_side.py`` runs in an environment of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Dict, Iterator

from .options import ClientOptions
from .server import DoccanoError

VARIABLE = "COMMUNIQUE_DOCCANO_PYTHON"
FAR_SIDE = Path(__file__).with_name("far_side.py")
# What the far side may know of our environment: nothing that is secret, and nothing of our Python.
PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "SYSTEMROOT",
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)


def client_python(options: ClientOptions) -> Path:
    """The Python that has doccano-client. Raises DoccanoError where there is none."""
    python = Path(os.environ.get(VARIABLE) or options.python)
    if not python.exists():
        raise DoccanoError(
            "client",
            f"{python}: there is no environment with doccano-client: `make doccano` makes one; for one elsewhere set "
            f"{VARIABLE} to its Python",
        )
    return python


class Bridge:
    """The process of the far side. ``folder`` is for files that both sides read."""

    def __init__(self, process: "subprocess.Popen[str]", python: Path, folder: Path, errors: IO[bytes]) -> None:
        self.folder = folder
        self._process = process
        self._python = python
        self._errors = errors

    def ask(self, what: str, **arguments: Any) -> Any:
        """The far side's answer. Raises DoccanoError where it failed, or is gone."""
        line = self._exchange(json.dumps({"do": what, **arguments}) + "\n")
        if not line:
            raise DoccanoError("client", self._last_words())
        reply: Dict[str, Any] = json.loads(line)
        if "failed" in reply:
            raise DoccanoError(str(reply["failed"]), str(reply["message"]))
        return reply["done"]

    def _exchange(self, request: str) -> str:
        if self._process.stdin is None or self._process.stdout is None:
            raise ValueError("the process of the far side needs pipes")
        try:
            self._process.stdin.write(request)
            self._process.stdin.flush()
        except BrokenPipeError:
            return ""
        return self._process.stdout.readline()

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode("utf8", errors="replace").strip().splitlines()
        why = lines[-1] if lines else "it said nothing"
        return f"{self._python}: doccano-client did not run: {why}; `make doccano` installs it"


@contextmanager
def open_bridge(options: ClientOptions) -> Iterator[Bridge]:
    """A bridge, its process ended and its files removed at the end. Raises DoccanoError."""
    python = client_python(options)
    command = [str(python), "-I", str(FAR_SIDE)]
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryDirectory(prefix="communique-doccano-") as folder,
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, env=environment, encoding="ascii") as process,
    ):
        try:
            yield Bridge(process, python, Path(folder), errors)
        except BaseException:  # it may be in the middle of something long
            process.kill()
            raise
        _end(process, options.stop_seconds)


def _end(process: "subprocess.Popen[str]", seconds: float) -> None:
    """It ends when its input does."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
