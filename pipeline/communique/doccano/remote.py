"""A Doccano on a server, reached over the bridge."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict, fields
from itertools import count
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, NoReturn, Sequence
from urllib.parse import urlsplit

from ..hosts import is_local
from .bridge import Bridge, open_bridge
from .colours import LabelType
from .credentials import Credentials
from .options import Options, ServerOptions
from .rows import KEY
from .server import TOGETHER, Confirmation, DoccanoError, Example, Project, ProjectSettings

# What a failure means, by the kind that the far side names, and what to do about it.
TOLD = {
    "away": "Doccano can't be reached at {url}: {message}",
    "tls": "the certificate of {url} can't be trusted: {message}",
    "redirect": "{url} sends us elsewhere, to {message}: name the address where Doccano itself is",
    "login": "{url}: {message}: see DOCCANO_USERNAME and DOCCANO_PASSWORD",
    "forbidden": "{url} does not allow this user to do that: a project's admin may push and pull, and an admin of the "
    "server create projects ({message})",
    "missing": "{url} no longer has what was asked for; was the project deleted meanwhile? ({message})",
    "task": "{url}: {message}",
    "server": "{url} failed: {message}",
}


def check_url(url: str, plain_http: bool) -> str:
    """The address without a slash at its end.

    Raises DoccanoError for none, for one with a password in it, and for plain http to another machine.
    """
    shown = url if "@" not in url else "what is given, which may have a password in it"
    try:
        parts = urlsplit(url)
    except ValueError as err:
        raise DoccanoError("url", f"{shown}: no address of a Doccano: write https://host/") from err
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DoccanoError("url", f"{shown}: no address of a Doccano: write https://host/")
    if parts.username is not None or parts.password is not None:
        raise DoccanoError("url", "the address has a user or password in it: use DOCCANO_USERNAME and DOCCANO_PASSWORD")
    if parts.scheme == "http" and not is_local(parts.hostname) and not plain_http:
        message = (
            f"{url}: over http everybody on the way can read the password: write https, or allow it with --plain-http"
        )
        raise DoccanoError("url", message)
    return url.rstrip("/")


@contextmanager
def connect(url: str, credentials: Credentials, options: Options) -> Iterator["RemoteServer"]:
    """A server, logged in. Raises DoccanoError."""
    url = check_url(url, options.server.plain_http)
    with open_bridge(options.client) as bridge:
        server = RemoteServer(bridge, url, options.server)
        server.log_in(credentials)
        yield server


class RemoteServer:
    """See ``communique.doccano.server.Server``."""

    def __init__(self, bridge: Bridge, url: str, options: ServerOptions) -> None:
        self._bridge = bridge
        self._url = url
        self._options = options
        self._files = (bridge.folder / f"{n}" for n in count())
        self.username = ""

    @property
    def url(self) -> str:
        return self._url

    def log_in(self, credentials: Credentials) -> None:
        limits = self._options.model_dump(
            include={"connect_seconds", "answer_seconds", "tries", "retry_seconds", "page"}
        )
        local = is_local(urlsplit(self._url).hostname or "")
        who = {"username": credentials.username, "password": credentials.password}
        self.username = self._ask("open", url=self._url, local=local, **who, **limits)["username"]

    def _ask(self, what: str, **arguments: Any) -> Any:
        try:
            return self._bridge.ask(what, **arguments)
        except DoccanoError as err:
            self._tell(err)

    def _tell(self, error: DoccanoError) -> NoReturn:
        told = TOLD.get(error.kind)
        message = told.format(url=self._url, message=error) if told else str(error)
        raise DoccanoError(error.kind, message) from error

    def find_projects(self, name: str) -> List[Project]:
        return [_project(found) for found in self._ask("projects", name=name)]

    def create_project(self, name: str, description: str, guideline: str, settings: ProjectSettings) -> Project:
        texts = {"name": name, "description": description, "guideline": guideline}
        return Project(self._ask("create_project", **texts, **asdict(settings)), name, settings)

    def label_types(self, project: Project) -> List[LabelType]:
        keys = [f.name for f in fields(LabelType)]
        return [
            LabelType(**{key: found[key] for key in keys}) for found in self._ask("label_types", project=project.id)
        ]

    def create_label_type(self, project: Project, label_type: LabelType) -> None:
        self._ask("create_label_type", project=project.id, **asdict(label_type))

    def snapshot(self, project: Project) -> List[Example]:
        # by exports: a listing costs the server several questions to its database for each example
        together = project.settings.collaborative_annotation
        examples: Dict[Any, Example] = {}
        for annotator, rows in self._export(project, False).items():
            for row in rows:
                example = examples.setdefault(_number(row), Example(row["id"], row["text"], {KEY: row.get(KEY)}))
                who = TOGETHER if together else annotator
                example.annotations[who] = {key: row.get(key) or [] for key in ("entities", "relations")}
                example.comments += len(row.get("Comments") or [])
        for annotator, rows in self._export(project, True).items():
            for row in rows:
                if _number(row) in examples:  # not one that came in between
                    examples[_number(row)].confirmed |= {TOGETHER if together else annotator}
        return list(examples.values())

    def _export(self, project: Project, confirmed: bool) -> Dict[str, List[Dict[str, Any]]]:
        folder = next(self._files)
        folder.mkdir()
        found = self._ask(
            "export",
            project=project.id,
            confirmed=confirmed,
            folder=str(folder),
            seconds=self._options.task_seconds,
        )
        return {annotator: list(_lines(Path(path))) for annotator, path in found.items()}

    def upload(self, project: Project, rows: Sequence[Mapping[str, Any]]) -> List[str]:
        path = next(self._files).with_suffix(".jsonl")
        # ASCII, because the server guesses the encoding from the first bytes
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "ascii")
        errors = self._ask("upload", project=project.id, path=str(path), seconds=self._options.task_seconds)
        return [str(error.get("message", error)) if isinstance(error, dict) else str(error) for error in errors]

    def delete(self, project: Project, ids: Iterable[int]) -> None:
        self._ask("delete_examples", project=project.id, ids=list(ids))

    def set_meta(self, project: Project, example: int, key: str, value: Mapping[str, Any]) -> None:
        self._ask("set_meta", project=project.id, example=example, key=key, value=dict(value))

    def confirmations(self, project: Project, examples: Iterable[Example]) -> List[Confirmation]:
        wanted = list(examples)
        if not project.settings.collaborative_annotation:  # each user is told only of their own
            return [Confirmation(example.id, who, None) for example in wanted for who in sorted(example.confirmed)]
        names = self._ask("members", project=project.id)
        found = self._ask("confirmations", project=project.id, examples=[example.id for example in wanted])
        return [Confirmation(number, names.get(str(user), f"user {user}"), at) for number, user, at in found]


def _project(data: Mapping[str, Any]) -> Project:
    # a project of another type lacks some of them
    settings = {f.name: data.get(f.name, False) for f in fields(ProjectSettings)}
    return Project(data["id"], data["name"], ProjectSettings(**settings))


def _number(row: Mapping[str, Any]) -> Any:
    """The example's number; the meta of one that push did not send may stand in its place."""
    return row["id"] if isinstance(row.get(KEY), dict) else ("foreign", row["id"], row["text"])


def _lines(path: Path) -> Iterator[Dict[str, Any]]:
    with path.open(encoding="utf8", newline="\n") as stream:
        for line in stream:
            if line.strip():
                yield json.loads(line)
