"""From the bytes of a request to releases, or to the error that says what is wrong with which field."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Dict, List

from starlette.datastructures import Headers
from starlette.requests import Request

from ..annotate.records import parse_json, refusal
from ..release import FieldError, Release
from .errors import CLOSE, ApiError
from .settings import Limits

FOUND_ANEW = ("entities", "relations", "facts")


def check_headers(headers: Headers, limits: Limits) -> None:
    """Raises ApiError 415 for a body that is no plain JSON in UTF-8, 413 for one that says it is too long."""
    kinds = headers.getlist("content-type")
    if len(kinds) > 1:
        raise ApiError(415, "content-type", f"send one Content-Type header, not {len(kinds)}", "Content-Type")
    kind, _, parameters = "".join(kinds).lower().partition(";")
    if kind.strip() != "application/json":
        shown = f"not {kind.strip()[:80]!r}" if kind.strip() else "but there is no Content-Type"
        raise ApiError(415, "content-type", f"send JSON with Content-Type: application/json, {shown}", "Content-Type")
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip(" \"'") not in ("utf-8", "utf8"):
            raise ApiError(415, "content-type", "JSON is sent in UTF-8", "Content-Type")
    if any(value.strip().lower() != "identity" for value in headers.getlist("content-encoding")):
        raise ApiError(415, "content-encoding", "send the body as it is, not compressed", "Content-Encoding")
    if int(headers.get("content-length", 0)) > limits.body_bytes:
        raise _too_long(limits)


async def read_body(request: Request, limits: Limits) -> bytes:
    """The body, read no further than the limit allows.

    Raises ApiError 413 if it is too long, 408 if it is not there in time, and starlette's ClientDisconnect.
    """
    chunks, size = [], 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limits.body_bytes:
                    raise _too_long(limits)
                chunks.append(chunk)
    except TimeoutError as err:
        message = f"the body was not there after {limits.body_seconds:g} seconds"
        raise ApiError(408, "slow", message, "body", CLOSE) from err
    return b"".join(chunks)


def _too_long(limits: Limits) -> ApiError:
    message = f"more than {limits.body_bytes:,} bytes: send fewer releases at once"
    return ApiError(413, "body-length", message, "body")


def read_releases(body: bytes, limits: Limits) -> List[Release]:
    """The releases of a request: one, or those under ``releases``. One without an id gets its number, from 1.

    Raises ApiError 400 for what is no JSON, 422 for what is no release that can be annotated.
    """
    data = _json(body)
    if not isinstance(data, dict):
        raise ApiError(422, "record", 'send a release, or {"releases": [...]}, as a JSON object', "body")
    if "releases" not in data:
        return [_release(data, 1, "", limits)]
    others = [key for key in data if key != "releases"]
    if others:
        raise ApiError(422, "record", 'beside "releases" nothing may stand', others[0])
    items = data["releases"]
    if not isinstance(items, list):
        raise ApiError(422, "record", '"releases" must be a list', "releases")
    if len(items) > limits.releases:
        message = f"{len(items):,} releases, more than {limits.releases:,}: send them in several requests"
        raise ApiError(422, "releases", message, "releases")
    releases = [_release(item, n, f"releases[{n - 1}]", limits) for n, item in enumerate(items, 1)]
    _check_ids(releases)
    return releases


def _json(body: bytes) -> Any:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise ApiError(400, "encoding", f"no UTF-8 at byte {err.start}", "body") from err
    if not text.strip():
        raise ApiError(400, "json", "the body is empty", "body")
    try:
        return parse_json(text)
    except json.JSONDecodeError as err:
        message = f"no JSON: {err.msg} at line {err.lineno}, column {err.colno}"
        raise ApiError(400, "json", message, "body") from err
    except ValueError as err:
        raise ApiError(400, "json", f"no JSON that can be used: {err}", "body") from err


def _release(data: Any, number: int, place: str, limits: Limits) -> Release:
    if not isinstance(data, dict):
        raise ApiError(422, "record", "a release must be a JSON object", place)
    prefix = f"{place}." if place else ""
    if "error" in data:
        message = 'the key "error" is kept for releases that fail: name it otherwise'
        raise ApiError(422, "record", message, f"{prefix}error")
    try:
        record = {"id": str(number), **{key: value for key, value in data.items() if key not in FOUND_ANEW}}
        release = Release.from_dict(record)
    except FieldError as err:
        raise ApiError(422, "record", str(err), prefix + err.field) from err
    found = refusal(release, limits.chars)
    if found is not None:
        raise ApiError(422, found.code, f"{found.message}: {found.mend}", prefix + found.field)
    return release


def _check_ids(releases: List[Release]) -> None:
    """The answer could not tell two releases with the same id apart."""
    seen: Dict[str, int] = {}
    for i, release in enumerate(releases):
        first = seen.setdefault(release.id, i)
        if first != i:
            message = f"releases[{first}] has the id {release.id!r} too: give each release an id of its own"
            raise ApiError(422, "duplicate-id", message, f"releases[{i}].id")


def count_words(releases: List[Release]) -> List[int]:
    """Words of each release, as what lies between blanks."""
    return [len(release.text.split()) for release in releases]
