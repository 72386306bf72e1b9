"""What is asked without a key: is it alive, is it ready, how is it doing, what can it do."""

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.calls.metrics import Metrics
from service.calls.openapi import document
from service.calls.problems import problem
from service.calls.store import CallStore
from service.core.errors import StoreAway

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
DOCS_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
DOCS = {
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/docs/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    "/docs/docs.css": ("docs.css", "text/css; charset=utf-8"),
}


def routes(store: CallStore, metrics: Metrics, *, draining: Callable[[], bool]) -> list[Route]:
    """Health, metrics, and the API's description with a page to try it."""

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_request: Request) -> Response:
        if draining():
            return problem(503, "ready.draining", "no further calls are taken")
        try:
            await store.ping()
        except StoreAway:
            return problem(503, "ready.store_away", "Redis does not answer")
        return JSONResponse({"status": "ready"})

    async def show_metrics(_request: Request) -> Response:
        return Response(metrics.text(), headers={"Content-Type": metrics.content_type})

    async def openapi(_request: Request) -> Response:
        return Response(_description(), media_type="application/json")

    return [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", show_metrics, methods=["GET"]),
        Route("/openapi.json", openapi, methods=["GET"]),
        *(_file(path, name, media_type) for path, (name, media_type) in DOCS.items()),
    ]


@cache
def _description() -> bytes:
    """Made when it is first asked for: a service that takes one call has no use for it."""
    return json.dumps(document()).encode()


@cache
def _file(path: str, name: str, media_type: str) -> Route:
    body = files(__package__).joinpath(name).read_bytes()

    async def serve(_request: Request) -> Response:
        return Response(body, headers={**DOCS_HEADERS, "Content-Type": media_type})

    return Route(path, serve, methods=["GET"])
