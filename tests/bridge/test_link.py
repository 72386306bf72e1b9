"""An ASGI websocket as a Link: text and bytes both ways, closed once, quiet once it is gone."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from service.bridge.link import POLICY_VIOLATION, SocketLink, upgrade_request


class AsgiSocket:
    """What an ASGI server hands over."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.sent: list[MutableMapping[str, Any]] = []
        self.trouble: Exception | None = None
        self._messages = [{"type": "websocket.connect"}, *messages]

    async def receive(self) -> MutableMapping[str, Any]:
        return self._messages.pop(0)

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.sent.append(message)


async def test_text_and_bytes_go_both_ways() -> None:
    socket = AsgiSocket(
        {"type": "websocket.receive", "text": "a", "bytes": None},
        {"type": "websocket.receive", "bytes": b"b"},
        {"type": "websocket.disconnect", "code": 1005},
    )
    link = SocketLink(socket.receive, socket.send)
    await link.accept("v1")
    assert [await link.receive() for _ in range(3)] == ["a", b"b", None]
    await link.send("too late")
    assert socket.sent == [
        {"type": "websocket.accept", "subprotocol": "v1", "headers": []},
    ]


async def test_what_is_sent_says_which_of_the_two_it_is() -> None:
    socket = AsgiSocket()
    link = SocketLink(socket.receive, socket.send)
    await link.accept()
    await link.send("a")
    await link.send(b"b")
    assert socket.sent[1:] == [
        {"type": "websocket.send", "text": "a"},
        {"type": "websocket.send", "bytes": b"b"},
    ]


async def test_who_is_refused_is_never_accepted() -> None:
    socket = AsgiSocket()
    await SocketLink(socket.receive, socket.send).refuse()
    assert socket.sent == [{"type": "websocket.close", "code": POLICY_VIOLATION}]


async def test_it_is_closed_once() -> None:
    socket = AsgiSocket()
    link = SocketLink(socket.receive, socket.send)
    await link.close(POLICY_VIOLATION)
    await link.close()
    assert socket.sent == [{"type": "websocket.close", "code": POLICY_VIOLATION}]


@pytest.mark.parametrize("trouble", [OSError(), RuntimeError()])
async def test_a_peer_that_is_gone_is_no_error(trouble: Exception) -> None:
    socket = AsgiSocket()
    link = SocketLink(socket.receive, socket.send)
    socket.trouble = trouble
    await link.send("a")
    socket.trouble = AssertionError("nothing is tried after that")
    await link.send("b")
    await link.close()
    closing = SocketLink(socket.receive, socket.send)
    socket.trouble = trouble
    await asyncio.wait_for(closing.close(), 1)


def test_the_upgrade_is_told_as_it_came_over_the_wire() -> None:
    scope = {
        "path": "/twilio/stream/a b",
        "raw_path": b"/twilio/stream/a%20b",
        "query_string": b"x=1",
        "headers": [(b"x-twilio-signature", b"s=")],
    }
    request = upgrade_request(scope)
    assert (request.method, request.path, request.query) == ("GET", "/twilio/stream/a%20b", "x=1")
    assert request.headers == {"x-twilio-signature": "s="}
    assert upgrade_request(scope | {"raw_path": None}).path == "/twilio/stream/a b"
