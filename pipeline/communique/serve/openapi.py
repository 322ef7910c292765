"""The service's description of itself, with the limits of this very service in it."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from .. import __version__
from .models import EXAMPLE, REQUESTS, Error
from .settings import Settings

NEVER = False  # of a key: it may not be there. Generators of clients know no other way to say so
REF = "#/components/schemas/{model}"
NAMES = [model.__name__ for model in REQUESTS]
SCHEME = "token"
DESCRIPTION = (
    "Reads government press releases: who met whom, who signed what, who pledged what, and the sentence that says so."
)
ERRORS: Dict[int, Tuple[str, str]] = {
    400: ("json", "The body is no JSON, or no UTF-8."),
    401: ("token", "The token is missing or wrong."),
    405: ("method", "The path has no such method."),
    408: ("slow", "The body did not come in time."),
    413: ("body-length", "The body is too long."),
    415: ("content-type", "The body is not `application/json` in UTF-8, or compressed."),
    421: ("host", "The request calls the service by a name that it does not go by."),
    422: ("record", "A release, or a parameter, is not as it must be: `field` says which."),
    500: ("internal", "The service failed."),
    503: ("busy", "Not now: the queue is full, the model is being loaded, or the service is shutting down."),
    504: ("timeout", "The request took too long."),
}
EXAMPLES = {
    400: "no JSON: Expecting value at line 1, column 10",
    401: "send the token: Authorization: Bearer ...",
    405: "the path has no such method",
    408: "the body was not there after 30 seconds",
    413: "more than 4,194,304 bytes: send fewer releases at once",
    415: "send JSON with Content-Type: application/json, not 'text/plain'",
    421: "the service is not known by that name: ask localhost, or list the name under [server] hosts",
    422: "the text is empty: leave it out",
    500: "the service failed: please report it",
    503: "1,000 releases wait already, at most 1,000 may",
    504: "not done after 60 seconds: send fewer releases at once",
}
FIELDS = {
    400: "body",
    401: "Authorization",
    408: "body",
    413: "body",
    415: "Content-Type",
    421: "Host",
    422: "releases[3].text",
}


def errors(*statuses: int) -> Dict[Any, Dict[str, Any]]:
    """The documentation of a route's errors."""
    return {status: _error(status) for status in statuses}


def _error(status: int) -> Dict[str, Any]:
    code, description = ERRORS[status]
    error = {"code": code, "message": EXAMPLES[status]}
    if status in FIELDS:
        error["field"] = FIELDS[status]
    found: Dict[str, Any] = {"model": Error, "description": description}
    found["content"] = {"application/json": {"example": {"error": error}}}
    if status == 503:
        found["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    if status == 401:
        found["headers"] = {"WWW-Authenticate": {"description": "The scheme.", "schema": {"type": "string"}}}
    return found


def example(value: Any) -> Dict[Any, Dict[str, Any]]:
    """The documentation of a good answer."""
    return {200: {"description": "Done.", "content": {"application/json": {"example": value}}}}


def request_body() -> Dict[str, Any]:
    """One release, or several."""
    refs: List[Dict[str, str]] = [{"$ref": REF.format(model=name)} for name in NAMES]
    examples = {
        "one": {"summary": "One release", "value": EXAMPLE},
        "several": {"summary": "Several releases", "value": {"releases": [EXAMPLE]}},
    }
    content = {"application/json": {"schema": {"oneOf": refs}, "examples": examples}}
    return {"requestBody": {"required": True, "content": content}}


def describe(app: FastAPI, settings: Settings, protected: bool) -> Dict[str, Any]:
    """The OpenAPI document of the app. protected: whether clients need the token."""
    document = get_openapi(title=app.title, version=__version__, description=DESCRIPTION, routes=app.routes)
    _, schemas = models_json_schema([(model, "validation") for model in REQUESTS], ref_template=REF)
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(schemas["$defs"])
    _complete(components["schemas"], settings)
    components["securitySchemes"] = {
        SCHEME: {"type": "http", "scheme": "bearer", "description": "Needed where the service was given a token."}
    }
    for path in document["paths"].values():
        for operation in path.values():
            if 401 in map(int, operation["responses"]):
                operation["security"] = [{SCHEME: []}] if protected else [{SCHEME: []}, {}]
    return document


def _complete(schemas: Dict[str, Any], settings: Settings) -> None:
    """Add what the models can't say: this service's limits, and keys that are told apart by their absence."""
    for name, schema in schemas.items():
        schema.pop("title", None)
        for key, value in schema.get("properties", {}).items():
            schema["properties"][key] = _property(value, name in NAMES)
    release = schemas["ReleaseToAnnotate"]["properties"]
    release["text"]["maxLength"] = settings.limits.chars
    release.update(error=NEVER, releases=NEVER)
    schemas["ReleasesToAnnotate"]["properties"]["releases"]["maxItems"] = settings.limits.releases
    schemas["AnnotatedRelease"]["properties"]["error"] = NEVER


def _property(schema: Dict[str, Any], asked: bool) -> Dict[str, Any]:
    """A property without what makes the types of generated clients worse: titles of its own, defaults (which make it
    required), and null, which may be asked with but is never answered."""
    kept = {key: value for key, value in schema.items() if key not in ("title", "default")}
    choices = [choice for choice in kept.get("anyOf", []) if choice != {"type": "null"}]
    if not asked and len(choices) == 1:
        del kept["anyOf"]
        return {**choices[0], **kept}
    return kept
