"""A real Doccano on loopback, from the environment that `make test` installs it into."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVER = ROOT / ".make" / "doccano-server"
CLIENT = ROOT / ".make" / "doccano-client"
TEMPLATE = SERVER / "template.sqlite3"
LISTENING = re.compile(rb"Listening at: (http://127\.0\.0\.1:(\d+))")
ADMIN = "admin"
SECONDS = 120


def missing() -> str:
    """Why there is no server to be had, or an empty string."""
    for folder, what in ((SERVER, "server"), (CLIENT, "client")):
        if not (folder / "stamp").exists():
            return f"the Doccano {what} is not installed: make test installs it"
    return ""


def backend() -> Path:
    return next((SERVER / "lib").glob("python3*/site-packages/backend"))


def environment(home: Path) -> "dict[str, str]":
    names = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
    return {
        **{name: os.environ[name] for name in names if name in os.environ},
        "DOCCANO_HOME": str(home),
        "DATABASE_URL": f"sqlite:///{home / 'db.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "doccano_settings",
        "PYTHONPATH": f"{backend()}{os.pathsep}{ROOT / 'tests'}",
        "SECRET_KEY": secrets.token_hex(),
        "STANDALONE": "True",
    }


def manage(home: Path, *args: str, **extra: str) -> None:
    command = [str(SERVER / "bin" / "python"), "manage.py", *args]
    done = subprocess.run(command, cwd=backend(), env={**environment(home), **extra}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def template(home: Path) -> None:
    """The database of a server that nobody has used, made once and then copied."""
    if not TEMPLATE.exists():
        manage(home, "migrate")
        manage(home, "create_roles")
        part = TEMPLATE.with_suffix(".part")
        shutil.copy(home / "db.sqlite3", part)
        part.replace(TEMPLATE)
    else:
        shutil.copy(TEMPLATE, home / "db.sqlite3")


class DoccanoServer:
    """A server with one admin, whose password nobody else knows. It can be killed and started again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.password = secrets.token_urlsafe(12)
        self.port = 0
        self.process: "subprocess.Popen[bytes] | None" = None
        for name in ("media", "uploads"):
            (home / name).mkdir()
        template(home)
        manage(
            home,
            "create_admin",
            "--noinput",
            "--username",
            ADMIN,
            "--email",
            "a@example.org",
            "--password",
            self.password,
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def credentials(self) -> "dict[str, str]":
        return {"DOCCANO_URL": self.url, "DOCCANO_USERNAME": ADMIN, "DOCCANO_PASSWORD": self.password}

    def start(self) -> None:
        log = (self.home / "server.log").open("ab")
        before = log.tell()
        address = f"127.0.0.1:{self.port}"
        command = [str(SERVER / "bin" / "gunicorn"), "--bind", address, "--workers", "1", "--threads", "4"]
        command += ["--timeout", "300", "--chdir", str(backend()), "config.wsgi"]
        self.process = subprocess.Popen(
            command, env=environment(self.home), stdout=log, stderr=log, start_new_session=True
        )
        limit = time.monotonic() + SECONDS
        while not self.ready(before):
            assert self.process.poll() is None and time.monotonic() < limit, self.log()
            time.sleep(0.05)

    def ready(self, before: int) -> bool:
        """Whether it says that it listens, and answers who is not logged in."""
        found = LISTENING.search((self.home / "server.log").read_bytes()[before:])
        if not found:
            return False
        self.port = int(found[2])
        try:
            urllib.request.urlopen(f"{self.url}/v1/me", timeout=SECONDS)
        except urllib.error.HTTPError as error:
            return error.code == 403
        except OSError:
            return False
        return False

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it and all of its workers."""
        if self.process is not None:
            os.killpg(self.process.pid, how)
            self.process.wait(SECONDS)
            self.process = None

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def log(self) -> str:
        return (self.home / "server.log").read_text("utf8", errors="replace")
