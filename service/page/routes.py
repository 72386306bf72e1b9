"""Serves the softphone's few files from the package, read once for each process.

The page may run its own scripts and talk to its own origin, and nothing else: no inline code, no
other hosts, no framing (Content Security Policy Level 3). A file is asked for again each time, and
answered with 304 while it is the same, so a page and its scripts never differ in age (RFC 9110).
"""

import hashlib
from functools import cache
from importlib.resources import files

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/page/captions.js": ("captions.js", "text/javascript; charset=utf-8"),
    "/page/line.js": ("line.js", "text/javascript; charset=utf-8"),
    "/page/events.js": ("events.js", "text/javascript; charset=utf-8"),
    "/page/worklet.js": ("worklet.js", "text/javascript; charset=utf-8"),
    "/page/style.css": ("style.css", "text/css; charset=utf-8"),
    "/page/icon.svg": ("icon.svg", "image/svg+xml"),
}

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _Asset(Struct, frozen=True):
    body: bytes
    headers: dict[str, str]


def routes() -> list[Route]:
    """The page at `/` and its files under `/page/`."""
    return [_route(path, _load(name, media_type)) for path, (name, media_type) in _FILES.items()]


@cache
def _load(name: str, media_type: str) -> _Asset:
    body = files(__package__).joinpath(name).read_bytes()
    tag = hashlib.sha256(body).hexdigest()[:32]
    return _Asset(body, {**_HEADERS, "Content-Type": media_type, "ETag": f'"{tag}"'})


def _route(path: str, asset: _Asset) -> Route:
    async def serve(request: Request) -> Response:
        if _has_it(request.headers.get("if-none-match", ""), asset.headers["ETag"]):
            kept = {k: v for k, v in asset.headers.items() if k != "Content-Type"}
            return Response(status_code=304, headers=kept)
        return Response(asset.body, headers=asset.headers)

    return Route(path, serve, methods=["GET"], include_in_schema=False)


def _has_it(if_none_match: str, tag: str) -> bool:
    """Weak comparison: proxies that compress mark a tag as weak (RFC 9110, 8.8.3.2)."""
    offered = {one.strip().removeprefix("W/") for one in if_none_match.split(",")}
    return "*" in offered or tag in offered
