"""The far side of the bridge to Doccano: runs in the environment of doccano-client, which holds nothing of ours.

It is run by its path. Each line of standard input is a request, ``{"do": name, ...}``, and each line of standard output
its reply, ``{"done": ...}`` or ``{"failed": kind, "message": ...}``; what is large goes through files that a request
names. The first request, ``open``, brings the credentials: they stand in no argument and no variable. What the client
offers for a purpose is used; the rest goes through its session, so that there is one login.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import time
import zipfile
from typing import Any, Dict, List, Tuple

import requests
from doccano_client import DoccanoClient
from doccano_client.repositories.data_download import DataDownloadRepository
from doccano_client.repositories.data_upload import DataUploadRepository
from doccano_client.repositories.task_status import TaskStatusRepository

FORMAT = "JSONL"
TASK = "RelationExtraction"


class Failed(Exception):
    """What the near side is told: a kind that it knows and a sentence for the user."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Patient(requests.adapters.HTTPAdapter):
    """Gives every request a time limit: the client sets none."""

    def __init__(self, limits: Tuple[float, float]) -> None:
        super().__init__()
        self.limits = limits

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs["timeout"] = self.limits
        return super().send(request, *args, **kwargs)


class Far:
    """One login, and what is done with it."""

    def open(
        self,
        url: str,
        username: str,
        password: str,
        local: bool,
        connect_seconds: float,
        answer_seconds: float,
        tries: int,
        retry_seconds: float,
        page: int,
    ) -> Dict[str, Any]:
        """Log in. local: whether the server is on this machine."""
        self.tries, self.retry_seconds, self.page = tries, retry_seconds, page
        client = DoccanoClient(url)
        self.client, self.api = client, client._base_repository
        session = self.api._session
        adapter = Patient((connect_seconds, answer_seconds))
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        # a redirect could lead the password elsewhere, or to plain http; a .netrc could send one that nobody asked for
        session.max_redirects = 0
        session.auth = lambda request: request
        session.trust_env = not local  # no proxy for this machine itself
        if local:
            session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        try:
            client.login(username, password)
        except requests.HTTPError as error:
            if status(error) in (400, 401, 403):
                raise Failed("login", "user name or password are wrong") from error
            raise
        if not session.headers.get("X-CSRFToken"):
            raise Failed("server", "it let us in without a token to write with: is it Doccano?")
        return {"id": client.get_profile().id, "username": client.get_profile().username}

    def get(self, resource: str, **params: Any) -> Any:
        """Something that changes nothing, asked for again where the server or the way to it fails for the moment."""
        for left in reversed(range(self.tries)):
            try:
                return self.api.get(resource, params=params)
            except requests.ConnectionError:
                if not left:
                    raise
            except requests.HTTPError as error:
                if not left or status(error) < 500:
                    raise
            time.sleep(self.retry_seconds)
        raise ValueError("tries must be 1 or more")

    def listing(self, resource: str, **params: Any) -> List[Dict[str, Any]]:
        """All items of a listing, by offsets of our own: the server's links may lead through another scheme."""
        for _ in range(self.tries):
            found: Dict[int, Dict[str, Any]] = {}
            offset = 0
            while True:
                part = self.get(resource, limit=self.page, offset=offset, **params).json()
                found.update((item["id"], item) for item in part["results"])
                offset += len(part["results"])
                if not part["results"] or offset >= part["count"]:
                    break
            if len(found) == part["count"]:
                return list(found.values())
        raise Failed("server", f"the listing of {resource} changed each time while it was read: try again")

    def projects(self, name: str) -> List[Dict[str, Any]]:
        return [project for project in self.listing("projects", q=name) if project["name"] == name]

    def create_project(self, **settings: Any) -> int:
        return int(self.client.create_project(**settings).id)

    def label_types(self, project: int) -> List[Dict[str, Any]]:
        kinds = {"span": self.client.span_type, "relation": self.client.relation_type}
        return [{**found.dict(), "kind": kind} for kind, types in kinds.items() for found in types.list(project)]

    def create_label_type(self, project: int, kind: str, **fields: Any) -> None:
        # the client's own call knows no colour of the text
        self.api.post(f"projects/{project}/{kind}-types", json=fields)

    def export(self, project: int, confirmed: bool, folder: str, seconds: int) -> Dict[str, str]:
        """Write the files of an export into a folder; {name without suffix: path}."""
        exports = DataDownloadRepository(self.api)
        option = exports.find_option_by_name(project, FORMAT)
        task = exports.schedule_download(project, option, only_approved=confirmed)
        self.wait(task, seconds)
        # the client's download writes to where the server says
        content = self.get(f"projects/{project}/download", taskId=task).content
        found = {}
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for number, name in enumerate(archive.namelist()):
                path = os.path.join(folder, f"{number}.jsonl")
                with open(path, "wb") as stream:
                    stream.write(archive.read(name))
                found[name.rpartition(".")[0]] = path
        return found

    def upload(self, project: int, path: str, seconds: int) -> List[Any]:
        """Import a file; what the server says was wrong with it."""
        uploads = DataUploadRepository(self.api)
        upload = uploads.upload(path)
        task = uploads.ingest(project, [upload], TASK, FORMAT, column_data="text", column_label="entities")
        status = self.wait(task, seconds)
        result = status.result if isinstance(status.result, dict) else {}
        errors = list(result.get("error", [])) if result else [str(status.result)]
        if status.error:
            errors.append(str(status.error))
        return errors

    def wait(self, task: str, seconds: int) -> Any:
        try:
            return TaskStatusRepository(self.api).wait(task, timeout=seconds)
        except TimeoutError as error:
            message = f"the server did not finish a task in {seconds} s: does its worker run (doccano task)?"
            raise Failed("task", message) from error

    def delete_examples(self, project: int, ids: List[int]) -> None:
        if ids:  # to the server, none means all
            self.client.bulk_delete_examples(project, ids)

    def set_meta(self, project: int, example: int, key: str, value: Any) -> None:
        """Set one key of an example's meta; the others stay."""
        resource = f"projects/{project}/examples/{example}"
        meta = {**self.get(resource).json()["meta"], key: value}
        self.api._session.patch(f"{self.api.api_url}/{resource}", json={"meta": meta}).raise_for_status()

    def confirmations(self, project: int, examples: List[int]) -> List[List[Any]]:
        """[[example, user id, time]], of the user who is logged in where each annotates alone."""
        out: List[List[Any]] = []
        for example in examples:
            found = self.listing(f"projects/{project}/examples/{example}/states")
            out += [[example, state["confirmed_by"], state["confirmed_at"]] for state in found]
        return out

    def members(self, project: int) -> Dict[str, str]:
        return {str(member.user): member.username for member in self.client.list_members(project)}


def reply(far: Far, request: Dict[str, Any]) -> Dict[str, Any]:
    name = request.pop("do")
    try:
        return {"done": getattr(far, name)(**request)}
    except Failed as error:
        return {"failed": error.kind, "message": str(error)}
    except requests.TooManyRedirects as error:
        return {"failed": "redirect", "message": getattr(error.response, "headers", {}).get("location", "elsewhere")}
    except requests.exceptions.SSLError as error:
        return {"failed": "tls", "message": str(error)}
    except requests.Timeout:
        return {"failed": "away", "message": "it does not answer in time"}
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
        return {"failed": "away", "message": reason(error)}
    except requests.HTTPError as error:
        return http_failure(error.response)
    except (requests.RequestException, json.JSONDecodeError, zipfile.BadZipFile, KeyError, ValueError) as error:
        return {"failed": "server", "message": f"{type(error).__name__}: {error}: is it Doccano 1.8?"}


def status(error: requests.HTTPError) -> int:
    return 0 if error.response is None else error.response.status_code


def reason(error: Exception) -> str:
    """The innermost of the errors that a connection failed with."""
    text = str(error)
    for words in ("Connection refused", "Name or service not known", "Connection reset", "Connection aborted"):
        if words in text:
            return words.lower()
    return text


def http_failure(response: Any) -> Dict[str, Any]:
    code = response.status_code
    kinds = {401: "forbidden", 403: "forbidden", 404: "missing"}
    kind = kinds.get(code, "server")
    detail = " ".join(response.text[:500].split()) if "json" in response.headers.get("content-type", "") else ""
    return {
        "failed": kind,
        "message": f"HTTP {code} for {response.request.method} {response.url}: {detail}".rstrip(": "),
    }


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the near side ends us, by closing our input
    replies = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what a library prints is no reply
    far = Far()
    for line in sys.stdin:
        replies.write(json.dumps(reply(far, json.loads(line))) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
