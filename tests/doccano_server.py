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
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List

import httpx

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
        part = TEMPLATE.with_suffix(f".{os.getpid()}.part")
        shutil.copy(home / "db.sqlite3", part)
        part.replace(TEMPLATE)
    else:
        shutil.copy(TEMPLATE, home / "db.sqlite3")


class DoccanoServer:
    """A server with one admin, whose password nobody else knows. It can be killed and started again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.password = secrets.token_hex(12)
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
        command += ["--timeout", "300", "--chdir", str(backend()), "doccano_wsgi"]
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

    @contextmanager
    def held(self) -> "Iterator[Path]":
        """Imports wait between spans and relations; the path is there when one does."""
        hold, waiting = self.home / "hold", self.home / "held"
        hold.touch()
        try:
            yield waiting
        finally:
            hold.unlink()
            waiting.unlink(missing_ok=True)

    def person(self, username: str = ADMIN, password: str = "") -> "Person":
        return Person(self.url, username, password or self.password)

    def log(self) -> str:
        return (self.home / "server.log").read_text("utf8", errors="replace")


class Person:
    """Somebody who annotates: what their browser asks the server for."""

    def __init__(self, url: str, username: str, password: str) -> None:
        self.client = httpx.Client(base_url=f"{url}/v1/", timeout=SECONDS, headers={"Referer": url})
        self.post("auth/login/", {"username": username, "password": password})
        self.client.headers["X-CSRFToken"] = self.client.cookies["csrftoken"]

    def post(self, path: str, data: Any = None) -> Any:
        answer = self.client.post(path, json=data)
        assert answer.is_success, answer.text
        return answer.json()

    def get(self, path: str, **params: Any) -> Any:
        answer = self.client.get(path, params=params)
        assert answer.is_success, answer.text
        return answer.json()

    def delete(self, path: str) -> None:
        assert self.client.delete(path).is_success

    def project(self, name: str) -> "Project":
        (found,) = [p for p in self.get("projects", limit=100)["results"] if p["name"] == name]
        return Project(self, found["id"])

    def new_user(self, username: str, password: str) -> None:
        self.post("users/create", {"username": username, "password1": password, "password2": password})

    def invite(self, project: "Project", username: str) -> None:
        (role,) = [r["id"] for r in self.get("roles") if r["name"] == "annotator"]
        (user,) = [u["id"] for u in self.get("users", q=username) if u["username"] == username]
        self.post(f"projects/{project.number}/members", {"user": user, "role": role})


class Project:
    """A project as one person works in it."""

    def __init__(self, person: Person, number: int) -> None:
        self.person, self.number = person, number
        self.path = f"projects/{number}"

    def examples(self) -> List[Dict[str, Any]]:
        return list(self.person.get(f"{self.path}/examples", limit=10_000)["results"])

    def example(self, name: str) -> Dict[str, Any]:
        (found,) = [e for e in self.examples() if e["meta"]["communique"]["id"] == name]
        return found

    def types(self, kind: str) -> Dict[str, int]:
        return {t["text"]: t["id"] for t in self.person.get(f"{self.path}/{kind}-types")}

    def spans(self, name: str) -> List[Dict[str, Any]]:
        return list(self.person.get(f"{self.path}/examples/{self.example(name)['id']}/spans"))

    def label(self, name: str, words: str, label: str) -> int:
        """Label the first place of these words, counting as the page does."""
        example = self.example(name)
        start = len(example["text"][: example["text"].index(words)].encode("utf-16-le")) // 2
        length = len(words.encode("utf-16-le")) // 2
        data = {"label": self.types("span")[label], "start_offset": start, "end_offset": start + length, "prob": 0}
        return int(self.person.post(f"{self.path}/examples/{example['id']}/spans", data)["id"])

    def relate(self, name: str, head: int, type_: str, tail: int) -> None:
        data = {"from_id": head, "to_id": tail, "type": self.types("relation")[type_], "prob": 0}
        self.person.post(f"{self.path}/examples/{self.example(name)['id']}/relations", data)

    def unlabel(self, name: str, span: int) -> None:
        self.person.delete(f"{self.path}/examples/{self.example(name)['id']}/spans/{span}")

    def confirm(self, name: str) -> None:
        self.person.post(f"{self.path}/examples/{self.example(name)['id']}/states")
