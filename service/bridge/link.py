"""A live call's socket, as the bridge sees it: messages in, messages out, closed once.

`SocketLink` is an ASGI websocket used without the framework's wrapper, which costs a third of a
message (speed measured in bench/). Another socket server takes its place by bringing a `Link`.
"""

from typing import Protocol

from starlette.types import Receive, Scope, Send

from providers.base import WebhookRequest

NORMAL, POLICY_VIOLATION = 1000, 1008
"""Close codes (RFC 6455, 7.4.1)."""


class Link(Protocol):
    """A socket with a peer that speaks a provider's wire."""

    async def receive(self) -> str | bytes | None:
        """The next message; None when the peer is gone."""

    async def send(self, message: str | bytes) -> None:
        """Send one message; waits while the peer does not read."""

    async def close(self, code: int = NORMAL) -> None:
        """Close, if it is not closed already."""


class SocketLink:
    """A Link over an ASGI websocket."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._open = True
        self.close_code: int | None = None  # the peer's

    async def accept(self, subprotocol: str | None = None) -> None:
        """Let the peer in."""
        await self._receive()  # websocket.connect
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": []})

    async def refuse(self) -> None:
        """Turn the peer away: an ASGI server answers the upgrade with 403."""
        await self._receive()
        await self.close(POLICY_VIOLATION)

    async def receive(self) -> str | bytes | None:
        """The next message; None when the peer is gone."""
        message = await self._receive()
        if message["type"] != "websocket.receive":
            self._open = False
            self.close_code = message.get("code")
            return None
        text: str | None = message.get("text")
        if text is not None:
            return text
        data: bytes = message["bytes"]
        return data

    async def send(self, message: str | bytes) -> None:
        """Send one message; waits while the peer does not read; nothing once it is closed."""
        if not self._open:
            return
        kind = "text" if isinstance(message, str) else "bytes"
        try:
            await self._send({"type": "websocket.send", kind: message})
        except (OSError, RuntimeError):  # what ASGI servers raise once the peer is gone
            self._open = False

    async def close(self, code: int = NORMAL) -> None:
        """Close, if it is not closed already."""
        if not self._open:
            return
        self._open = False
        try:
            await self._send({"type": "websocket.close", "code": code})
        except (OSError, RuntimeError):
            return


def upgrade_request(scope: Scope) -> WebhookRequest:
    """The upgrade as it came over the wire."""
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return WebhookRequest(
        "GET", raw_path.decode("latin-1"), scope["query_string"].decode("latin-1"), headers
    )
