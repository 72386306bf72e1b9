"""A media socket as the carrier holds it: over the network, or straight into an ASGI app.

The second needs no port and no real time, so that a whole service runs in one process on a
virtual clock. Neither knows what the messages mean.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

_log = logging.getLogger(__name__)

_MAX_MESSAGE_BYTES = 4 * 1024 * 1024
_CONNECT_TIMEOUT_S = 10
_CLOSE_TIMEOUT_S = 5
_FAILED = 1011
_ABNORMAL = 1006  # no close frame was seen (RFC 6455, 7.4.1)


class UpgradeRefused(Exception):
    """The other side answered something else than 101; `status` 0: it did not answer at all."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the upgrade was answered with {status}" if status else "no answer")
        self.status = status


class SocketGone(Exception):
    """A message could not be sent: the socket is closed."""


class Socket(Protocol):
    """An open media socket. Iterating ends when it closes; then `close_code` says how."""

    close_code: int | None

    def __aiter__(self) -> AsyncIterator[str | bytes]: ...

    async def send(self, message: str | bytes) -> None:
        """Send a message, as text or as bytes; SocketGone when closed."""

    async def close(self, code: int = 1000) -> None:
        """Close it with this code and wait until it is."""

    async def abort(self) -> None:
        """Cut it: no close frame."""


Dial = Callable[[str, Mapping[str, str]], Awaitable[Socket]]
"""Opens a socket: (url, headers of the upgrade, user-agent included). May raise UpgradeRefused."""


# Over the network ------------------------------------------------------------------------------


async def dial_network(url: str, headers: Mapping[str, str]) -> Socket:
    """A real WebSocket with these upgrade headers only: no Origin, no extensions."""
    rest = {name: value for name, value in headers.items() if name.lower() != "user-agent"}
    agent = next((v for name, v in headers.items() if name.lower() == "user-agent"), None)
    try:
        connection = await connect(
            url,
            additional_headers=rest,
            user_agent_header=agent,
            compression=None,
            proxy=None,
            open_timeout=_CONNECT_TIMEOUT_S,
            max_size=_MAX_MESSAGE_BYTES,
            max_queue=None,
            ping_interval=None,
            close_timeout=_CLOSE_TIMEOUT_S,
        )
    except InvalidStatus as refused:
        raise UpgradeRefused(refused.response.status_code) from None
    except (OSError, TimeoutError, InvalidHandshake) as failed:
        raise UpgradeRefused(0) from failed
    return _NetworkSocket(connection)


class _NetworkSocket:
    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.close_code: int | None = None

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        try:
            while True:
                yield await self._connection.recv()
        except ConnectionClosed:
            self.close_code = self._connection.close_code

    async def send(self, message: str | bytes) -> None:
        try:
            await self._connection.send(message)
        except ConnectionClosed:
            raise SocketGone from None

    async def close(self, code: int = 1000) -> None:
        await self._connection.close(code)

    async def abort(self) -> None:
        self._connection.transport.abort()
        await self._connection.wait_closed()


# Into an ASGI app ------------------------------------------------------------------------------

Message = MutableMapping[str, Any]
App = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[Message]],
        Callable[[Message], Awaitable[None]],
    ],
    Awaitable[None],
]


def dial_app(app: App, state: MutableMapping[str, Any] | None = None) -> Dial:
    """A Dial into `app` in this process; `state` as its lifespan made it."""

    async def dial(url: str, headers: Mapping[str, str]) -> Socket:
        socket = _AppSocket(app, _scope(url, headers, dict(state or {})))
        await socket.open()
        return socket

    return dial


def _scope(url: str, headers: Mapping[str, str], state: dict[str, Any]) -> dict[str, Any]:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    upgrade = {
        "host": parts.netloc,
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
        **{name.lower(): value for name, value in headers.items()},
    }
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": parts.scheme,
        "server": (parts.hostname, port),
        "client": ("127.0.0.1", 50_000),
        "root_path": "",
        "path": unquote(parts.path),
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in upgrade.items()],
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
        "state": state,
    }


class _AppSocket:
    """Plays the server's part of the ASGI WebSocket protocol (version 2.4 of its specification)."""

    def __init__(self, app: App, scope: dict[str, Any]) -> None:
        self._app = app
        self._scope = scope
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._opened: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._closed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.close_code: int | None = None

    async def open(self) -> None:
        self._to_app.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.create_task(self._run(), name="twin socket app")
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                status = await self._opened
        except TimeoutError:
            self._task.cancel()
            raise UpgradeRefused(0) from None
        if status != 101:
            await asyncio.wait([self._task])
            raise UpgradeRefused(status)

    # No generator: one that is left half way is closed by whatever loop runs by then.
    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self

    async def __anext__(self) -> str | bytes:
        if self._closed.is_set() and self._from_app.empty():
            raise StopAsyncIteration
        message = await self._from_app.get()
        if message is None:
            raise StopAsyncIteration
        return message

    async def send(self, message: str | bytes) -> None:
        if self._closed.is_set():
            raise SocketGone
        kind = "text" if isinstance(message, str) else "bytes"
        self._to_app.put_nowait({"type": "websocket.receive", kind: message})
        # A real socket lets the reader run between messages; without this a burst would not.
        await asyncio.sleep(0)

    async def close(self, code: int = 1000) -> None:
        self._disconnect(code)
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_CLOSE_TIMEOUT_S)

    async def abort(self) -> None:
        self._disconnect(_ABNORMAL)

    async def _run(self) -> None:
        code = _FAILED  # of any end but the proper one: a cancelled app is none
        try:
            await self._app(self._scope, self._to_app.get, self._take)
            code = 1000
        except Exception:
            _log.exception("the app failed in its websocket")
        finally:
            self._refuse(500)
            self._end(code)

    async def _take(self, message: Message) -> None:
        match message["type"]:
            case "websocket.accept":
                if not self._opened.done():
                    self._opened.set_result(101)
            case "websocket.http.response.start":
                self._refuse(message["status"])
            case "websocket.close":
                self._refuse(403)
                self._end(message.get("code", 1000))
                self._to_app.put_nowait({"type": "websocket.disconnect", "code": self.close_code})
            case "websocket.send" if self._closed.is_set():
                raise OSError("the socket is closed")  # ASGI 2.4: send after a disconnect
            case "websocket.send":
                text = message.get("text")
                self._from_app.put_nowait(message["bytes"] if text is None else text)
            case unknown:
                raise ValueError(f"no such ASGI message: {unknown}")

    def _disconnect(self, code: int) -> None:
        if not self._closed.is_set():
            self._end(code)
            self._to_app.put_nowait({"type": "websocket.disconnect", "code": code, "reason": ""})

    def _refuse(self, status: int) -> None:
        if not self._opened.done():
            self._opened.set_result(status)

    def _end(self, code: int) -> None:
        if not self._closed.is_set():
            self.close_code = code
            self._closed.set()
            self._from_app.put_nowait(None)


class DeadAir:
    """A socket that is not there: a call that goes on with nobody at the other end."""

    def __init__(self) -> None:
        self.close_code: int | None = None
        self._closed = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        await self._closed.wait()
        return
        yield ""  # what makes this a generator

    async def send(self, message: str | bytes) -> None:
        """Lost."""

    async def close(self, code: int = 1000) -> None:
        """Over."""
        self.close_code = code
        self._closed.set()

    async def abort(self) -> None:
        """Over."""
        self._closed.set()
