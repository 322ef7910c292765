"""The routes: what is asked, and what is answered."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, AsyncIterator, Dict, Optional

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from .batching import Pending
from .errors import ApiError, unavailable
from .intake import check_headers, read_body, read_releases
from .middleware import GONE, PAGE, Guard, Head, Names, Observe
from .models import ANSWER, Annotations, Health, Labels, Readiness
from .names import load_names
from .openapi import describe, errors, example, request_body
from .service import Service, labels_of
from .settings import Settings

JSON = "application/json"
FOLDER = Path(__file__).with_name("page")
POLICY = "default-src 'self'; base-uri 'none'; frame-ancestors 'none'"
CODES = {404: ("path", "there is nothing here"), 405: ("method", "the path has no such method")}
MinConfidence = Annotated[
    float, Query(ge=0, le=1, description="Leave out mentions, relations and facts that are less certain.")
]


def create_app(settings: Settings, service: Service, token: Optional[str] = None) -> FastAPI:
    """The ASGI app, which starts and stops the service. token: what clients must have; None: nothing."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    app = FastAPI(title="Communique", docs_url=None, redoc_url=None, lifespan=lifespan, redirect_slashes=False)
    _add_annotate(app, settings, service)
    _add_labels(app, service)
    _add_state(app, service)
    _add_page(app)
    _add_errors(app)
    document: Dict[str, Any] = {}

    def openapi() -> Dict[str, Any]:
        if not document:
            document.update(describe(app, settings, token is not None))
        return document

    app.openapi = openapi  # type: ignore[method-assign]
    app.add_middleware(Head)
    if token is not None:
        app.add_middleware(Guard, token=token)
    names = load_names(settings, token)
    if names is not None:
        app.add_middleware(Names, names=names)
    app.add_middleware(Observe, metrics=service.metrics)  # the last added is the outermost
    return app


def _add_annotate(app: FastAPI, settings: Settings, service: Service) -> None:
    @app.post(
        "/annotate",
        operation_id="annotate",
        tags=["annotation"],
        summary="Annotate releases",
        response_model=Annotations,
        responses={**example(ANSWER), **errors(400, 401, 408, 413, 415, 421, 422, 500, 503, 504)},
        openapi_extra=request_body(),
    )
    async def annotate(request: Request, min_confidence: MinConfidence = 0.0) -> Response:
        """Of each release what was found in it, or why it could not be read; one that fails costs no other.

        A request with anything in it that can't be used is refused as a whole, and names the first such field."""
        service.pipeline()
        check_headers(request.headers, settings.limits)
        try:
            body = await read_body(request, settings.limits)
        except ClientDisconnect:
            return Response(status_code=GONE)
        releases = read_releases(body, settings.limits)
        pending = service.take(releases, min_confidence)
        record = request.state.record
        record.releases, record.words = len(releases), sum(pending.words)
        if not await _finished(pending, request, service):
            return Response(status_code=GONE)
        return Response(service.answer(pending.tasks, pending.finished()), media_type=JSON)


async def _finished(pending: Pending, request: Request, service: Service) -> bool:
    """Wait for the results of a request; False if the client has hung up. Raises ApiError 504 if they take too long."""
    seconds = service.settings.limits.request_seconds
    gone = asyncio.create_task(_hang_up(request))
    try:
        await asyncio.wait({pending.future, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if pending.future.done():
            pending.future.result()
            return True
        if gone.done():
            return False
        raise ApiError(504, "timeout", f"not done after {seconds:g} seconds: send fewer releases at once")
    finally:
        gone.cancel()
        service.leave(pending)


async def _hang_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _add_labels(app: FastAPI, service: Service) -> None:
    @app.get(
        "/labels",
        operation_id="labels",
        tags=["annotation"],
        summary="The label scheme",
        response_model=Labels,
        responses=errors(401, 421, 500, 503),
    )
    async def labels() -> Response:
        """Labels of entities and spans, types of relations with the labels of their ends, and a request's limits."""
        return Response(json.dumps(labels_of(service.pipeline(), service.settings.limits)), media_type=JSON)


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get(
        "/healthz", operation_id="health", tags=["state"], summary="Whether the process lives", responses=errors(421)
    )
    async def healthz() -> Health:
        return Health(status="ok")

    @app.get(
        "/readyz",
        operation_id="readiness",
        tags=["state"],
        summary="Whether requests are taken",
        responses=errors(421, 503),
    )
    async def readyz() -> Readiness:
        """503 while the model is being loaded, while no process is alive, and once the service is shutting down."""
        service.pipeline()
        if not service.ready:
            raise unavailable("workers", "all processes are being replaced", service.settings.limits.retry_seconds)
        return Readiness(status="ready", workers=service.pool.alive)

    @app.get(
        "/metrics",
        operation_id="metrics",
        tags=["state"],
        summary="Metrics for Prometheus",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **errors(401, 421, 500)},
    )
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


def _add_page(app: FastAPI) -> None:
    """The page for people, where it is there. It asks this service, and nobody else."""
    if FOLDER.is_dir():
        app.mount(PAGE, StaticFiles(directory=FOLDER), name="page")

        @app.get("/", include_in_schema=False)
        async def index() -> FileResponse:
            return FileResponse(FOLDER / "index.html", headers={"Content-Security-Policy": POLICY})


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(ApiError)
    async def refused(request: Request, error: ApiError) -> Response:
        request.state.record.code = error.code
        return Response(error.body(), error.status, error.headers, JSON)

    @app.exception_handler(RequestValidationError)
    async def parameter(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        name = str(first["loc"][-1])
        return await refused(request, ApiError(422, "parameter", f"{name}: {first['msg']}", name))

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        code, message = CODES.get(error.status_code, ("http", error.detail))
        headers = dict(error.headers or {})
        if error.status_code == 405 and headers.get("Allow") != "POST":
            headers["Allow"] = "GET, HEAD"  # a route of FastAPI's names GET only, and the files of the page nothing
        return await refused(request, ApiError(error.status_code, code, message, headers=headers))
