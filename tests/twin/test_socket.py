"""The media socket behaves alike over the network and into an app of the same process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from service.twin.socket import Dial, SocketGone, UpgradeRefused, dial_app, dial_network
from tests.twin.serving import listen, serving


class _Server:
    """Says everything back, twice: as text and as bytes; "bye" closes with 4001."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.close_codes: list[int] = []
        self.app = Starlette(
            routes=[
                WebSocketRoute("/echo", self._echo),
                WebSocketRoute("/no", self._refuse),
                WebSocketRoute("/busy", self._busy),
            ]
        )

    async def _echo(self, socket: WebSocket) -> None:
        self.headers = dict(socket.headers)
        await socket.accept()
        try:
            while (text := await socket.receive_text()) != "bye":
                await socket.send_text(text)
                await socket.send_bytes(text.encode())
            await socket.close(4001)
        except WebSocketDisconnect as gone:
            self.close_codes.append(gone.code)

    async def _refuse(self, socket: WebSocket) -> None:
        await socket.close()

    async def _busy(self, socket: WebSocket) -> None:
        await socket.send_denial_response(Response(status_code=503))


@asynccontextmanager
async def _open(way: str) -> AsyncIterator[tuple[_Server, Dial, str]]:
    server = _Server()
    if way == "app":
        yield server, dial_app(server.app), "ws://localhost"
        return
    listener, base = listen()
    async with serving(server.app, listener):
        yield server, dial_network, "ws" + base.removeprefix("http")


both = pytest.mark.parametrize("way", ["app", "network"])


@both
async def test_messages_go_both_ways_until_the_server_closes(way: str) -> None:
    async with _open(way) as (_, dial, base):
        socket = await dial(f"{base}/echo", {})
        await socket.send("hello")
        await socket.send("bye")
        assert [message async for message in socket] == ["hello", b"hello"]
        assert socket.close_code == 4001
        with pytest.raises(SocketGone):
            await socket.send("late")


@both
async def test_only_the_headers_that_were_asked_for_are_sent(way: str) -> None:
    async with _open(way) as (server, dial, base):
        socket = await dial(f"{base}/echo", {"user-agent": "Twilio.TmeWs/1.0", "x-key": "k"})
        await socket.send("bye")
        assert [message async for message in socket] == []
        assert server.headers["user-agent"] == "Twilio.TmeWs/1.0"
        assert server.headers["x-key"] == "k"
        assert server.headers.keys() == {
            "host",
            "connection",
            "upgrade",
            "sec-websocket-version",
            "sec-websocket-key",
            "user-agent",
            "x-key",
        }


@both
@pytest.mark.parametrize(("path", "status"), [("/no", 403), ("/busy", 503)])
async def test_a_refused_upgrade_says_with_which_status(way: str, path: str, status: int) -> None:
    async with _open(way) as (_, dial, base):
        with pytest.raises(UpgradeRefused) as refused:
            await dial(f"{base}{path}", {})
        assert refused.value.status == status


@both
async def test_the_server_sees_how_the_socket_went(way: str) -> None:
    async with _open(way) as (server, dial, base):
        closed = await dial(f"{base}/echo", {})
        await closed.close(1001)
        cut = await dial(f"{base}/echo", {})
        await cut.send("hello")
        await anext(aiter(cut))
        await cut.abort()
        witness = await dial(f"{base}/echo", {})
        await witness.send("bye")
        assert [message async for message in witness] == []
        assert server.close_codes[0] == 1001
        assert server.close_codes[1] in (1005, 1006)  # servers differ in what they call a cut


async def test_nobody_at_the_address_is_no_answer() -> None:
    listener, base = listen()
    listener.close()
    with pytest.raises(UpgradeRefused) as refused:
        await dial_network("ws" + base.removeprefix("http"), {})
    assert refused.value.status == 0


async def test_an_app_that_is_cancelled_closes_with_1011_too() -> None:
    async def endpoint(socket: WebSocket) -> None:
        await socket.accept()
        raise asyncio.CancelledError

    dial = dial_app(Starlette(routes=[WebSocketRoute("/", endpoint)]))
    socket = await dial("ws://localhost/", {})
    async with asyncio.timeout(5):
        assert [message async for message in socket] == []
    assert socket.close_code == 1011


async def test_a_socket_that_is_read_in_part_leaves_nothing_to_close() -> None:
    server = _Server()
    socket = await dial_app(server.app)("ws://localhost/echo", {})
    await socket.send("hello")
    reader = aiter(socket)
    assert await anext(reader) == "hello"
    assert not hasattr(reader, "aclose")  # a generator would wait for a loop that is gone
    await socket.close()


async def test_an_app_that_fails_closes_with_1011(caplog: pytest.LogCaptureFixture) -> None:
    async def endpoint(socket: WebSocket) -> None:
        await socket.accept()
        raise ValueError("broken")

    dial = dial_app(Starlette(routes=[WebSocketRoute("/", endpoint)]))
    socket = await dial("ws://localhost/", {})
    assert [message async for message in socket] == []
    assert socket.close_code == 1011
    assert "the app failed in its websocket" in caplog.text
