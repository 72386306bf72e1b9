"""A Realtime socket straight into an ASGI app, in this process, as the openai package holds one.

It raises what the `websockets` package raises: InvalidStatus when the upgrade is refused,
ConnectionClosedOK and ConnectionClosedError with the code and reason of the close. Needs neither a
port nor real time.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, cast
from urllib.parse import unquote, urlencode, urlsplit

from openai.resources.realtime.realtime import AsyncRealtimeConnection
from starlette.types import ASGIApp
from websockets.datastructures import Headers
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidStatus,
)
from websockets.frames import Close
from websockets.http11 import Response

from service.standin.streamed import Cut

_log = logging.getLogger(__name__)
_FINE = (1000, 1001)
_CLOSE_S = 5.0


class Address(Protocol):
    """Where to, as `http(s)://.../v1`, and with which key."""

    @property
    def url(self) -> str:
        """Where to."""

    @property
    def key(self) -> str:
        """The key, sent as it is."""


Connect = Callable[
    [Address, Mapping[str, str]], AbstractAsyncContextManager[AsyncRealtimeConnection]
]


def connect(app: ASGIApp) -> Connect:
    """Opens Realtime connections into `app`: (where, query) to a context with the connection."""

    @asynccontextmanager
    async def opened(
        server: Address, query: Mapping[str, str]
    ) -> AsyncIterator[AsyncRealtimeConnection]:
        socket = InProcessSocket(app, _scope(server, query))
        await socket.open()
        try:
            yield AsyncRealtimeConnection(cast("Any", socket))
        finally:
            await socket.close()

    return opened


class InProcessSocket:
    """The client's end; plays the server's part of ASGI's WebSocket protocol (version 2.4)."""

    def __init__(self, app: ASGIApp, scope: dict[str, Any]) -> None:
        self._app = app
        self._scope = scope
        self._to_app: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._opened: asyncio.Future[InvalidStatus | None]
        self._refusal: tuple[int, list[tuple[bytes, bytes]]] = (403, [])
        self._closed: ConnectionClosed | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Dial; InvalidStatus when refused."""
        self._opened = asyncio.get_running_loop().create_future()
        self._to_app.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.create_task(self._run(), name="in-process socket")
        try:
            refused = await self._opened
        except BaseException:
            self._task.cancel()
            raise
        if refused is not None:
            await asyncio.wait([self._task])
            raise refused

    async def send(self, message: str | bytes) -> None:
        """Send a message; ConnectionClosed when there is nobody to send to."""
        if self._closed is not None:
            raise self._closed
        kind = "text" if isinstance(message, str) else "bytes"
        self._to_app.put_nowait({"type": "websocket.receive", kind: message})
        await asyncio.sleep(0)  # as with a real socket, the other side runs between messages

    async def recv(self, decode: bool | None = None) -> str | bytes:
        """The next message, as bytes when `decode` is False; ConnectionClosed after the last."""
        if self._closed is not None and self._from_app.empty():
            raise self._closed
        message = await self._from_app.get()
        if message is None:
            raise self._closed or ConnectionClosedError(None, None)
        if decode is False and isinstance(message, str):
            return message.encode()
        return message

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it, and wait until the app is done."""
        if self._closed is None:
            self._end(Close(code, reason), sent=True)
            self._to_app.put_nowait(
                {"type": "websocket.disconnect", "code": code, "reason": reason}
            )
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_CLOSE_S)

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self._to_app.get, self._take)
            self._end(Close(1000, ""), sent=False)
        except Cut:
            self._end(None, sent=False)
        except Exception:
            _log.exception("the app failed in its websocket")
            self._end(Close(1011, ""), sent=False)
        finally:
            self._refuse(500, [], b"")
            self._end(None, sent=False)

    async def _take(self, message: MutableMapping[str, Any]) -> None:
        match message["type"]:
            case "websocket.accept":
                self._opened.set_result(None)
            case "websocket.http.response.start":
                self._refusal = (message["status"], list(message["headers"]))
            case "websocket.http.response.body":
                self._refuse(*self._refusal, message.get("body", b""))
            case "websocket.close":
                self._refuse(*self._refusal, b"")
                self._end(Close(message.get("code", 1000), message.get("reason") or ""), sent=False)
            case "websocket.send" if self._closed is not None:
                raise OSError("the socket is closed")  # ASGI 2.4: send after a disconnect
            case "websocket.send":
                text = message.get("text")
                self._from_app.put_nowait(message["bytes"] if text is None else text)
            case unknown:
                raise ValueError(f"no such ASGI message: {unknown}")

    def _refuse(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        if not self._opened.done():
            names = Headers((name.decode(), value.decode()) for name, value in headers)
            self._opened.set_result(InvalidStatus(Response(status, "", names, body)))

    def _end(self, close: Close | None, *, sent: bool) -> None:
        if self._closed is None:
            kind = ConnectionClosedOK if close and close.code in _FINE else ConnectionClosedError
            self._closed = kind(close, close, not sent) if close else kind(None, None)
            self._from_app.put_nowait(None)


def _scope(server: Address, query: Mapping[str, str]) -> dict[str, Any]:
    parts = urlsplit(server.url.rstrip("/") + "/realtime")
    headers = {
        "host": parts.netloc,
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "authorization": f"Bearer {server.key}",
    }
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "wss" if parts.scheme == "https" else "ws",
        "server": (parts.hostname, parts.port),
        "client": ("127.0.0.1", 50_000),
        "root_path": "",
        "path": unquote(parts.path),
        "raw_path": parts.path.encode(),
        "query_string": urlencode(query).encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
    }
