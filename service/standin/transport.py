"""httpx straight into an ASGI app, in this process: each piece of an answer as it is sent.

httpx's own transport for that waits for the whole answer. This one keeps the read timeout by the
loop's clock, and tells the app when the client closes before the end, as a server does.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import httpx
from starlette.types import ASGIApp

_log = logging.getLogger(__name__)
_WAITING_MOST = 64
_CONNECT_S = 5.0


def transport(app: ASGIApp) -> httpx.AsyncBaseTransport:
    """For `httpx.AsyncClient(transport=...)`; any host will do."""
    return _InProcess(app)


class _InProcess(httpx.AsyncBaseTransport):
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer, once its head is there."""
        body = await request.aread()
        exchange = _Exchange(self._app, request, body)
        try:
            status, headers = await exchange.head()
        except BaseException:
            await exchange.aclose()
            raise
        return httpx.Response(status, headers=headers, stream=exchange, request=request)


class _Exchange(httpx.AsyncByteStream):
    """One request: the app runs in a task of its own until it is done or the client has left."""

    def __init__(self, app: ASGIApp, request: httpx.Request, body: bytes) -> None:
        self._request = request
        self._body: bytes | None = body
        self._read_s = request.extensions.get("timeout", {}).get("read")
        self._left = asyncio.Event()
        self._out: asyncio.Queue[MutableMapping[str, Any] | None] = asyncio.Queue(_WAITING_MOST)
        self._task = asyncio.create_task(self._run(app), name="in-process request")
        self._whole = False

    async def head(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Status and headers; 500 when the app fails before it has any."""
        message = await self._next()
        if message is None:
            self._whole = True
            return 500, []
        return message["status"], list(message["headers"])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while not self._whole:
            message = await self._next()
            if message is None:
                raise httpx.RemoteProtocolError(
                    "peer closed connection without sending complete message body",
                    request=self._request,
                )
            self._whole = not message.get("more_body", False)
            if message.get("body"):
                yield message["body"]

    async def aclose(self) -> None:
        """The client needs no more of it."""
        self._left.set()
        while not self._out.empty():
            self._out.get_nowait()  # room for an app that waits to send
        self._task.cancel()
        await asyncio.wait([self._task], timeout=_CONNECT_S)

    async def _next(self) -> MutableMapping[str, Any] | None:
        try:
            async with asyncio.timeout(self._read_s):
                return await self._out.get()
        except TimeoutError:
            raise httpx.ReadTimeout("nothing came", request=self._request) from None

    async def _run(self, app: ASGIApp) -> None:
        try:
            await app(_scope(self._request), self._receive, self._out.put)
        except Exception:
            _log.exception("the app failed in a request")
        finally:
            if not self._left.is_set():
                await self._out.put(None)

    async def _receive(self) -> MutableMapping[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}


def _scope(request: httpx.Request) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.partition(b"?")[0],
        "query_string": request.url.query,
        "server": (request.url.host, request.url.port),
        "client": ("127.0.0.1", 50_000),
        "root_path": "",
    }
