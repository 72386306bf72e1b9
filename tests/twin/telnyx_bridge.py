"""The smallest bridge that Telnyx could call: answers by REST, a scripted socket, events kept."""

import asyncio
import base64
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from telnyx.lib.webhook_verification import WebhookVerificationError, verify_webhook_signature

from service.twin.socket import dial_app
from service.twin.telnyx import TelnyxTwin

BASE = "http://bridge.test"
CONNECTION = "1000000000000000001"
TO, FAR = "+15550100002", "+15550100003"
API_KEY = "KEY0123"
SEED = bytes(range(32))
PUBLIC_KEY = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
STREAM = {
    "stream_url": "ws://localhost/stream",
    "stream_track": "inbound_track",
    "stream_codec": "PCMU",
    "stream_bidirectional_mode": "rtp",
    "stream_bidirectional_codec": "PCMU",
    "stream_bidirectional_target_legs": "self",
}
Talk = Callable[["Phone"], Awaitable[None]]


class Phone:
    """The bridge's end of a media socket."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        self.received: list[dict[str, Any]] = []

    async def next(self, event: str) -> dict[str, Any]:
        while True:
            message: dict[str, Any] = json.loads(await self.socket.receive_text())
            self.received.append(message)
            if message["event"] == event:
                return message

    async def until_closed(self) -> None:
        try:
            await self.next("nothing")
        except WebSocketDisconnect:
            return

    async def play(self, data: bytes) -> None:
        await self.send("media", media={"payload": base64.b64encode(data).decode()})

    async def mark(self, name: str) -> None:
        await self.send("mark", mark={"name": name})

    async def send(self, event: str, **content: Any) -> None:
        await self.socket.send_text(json.dumps({"event": event, **content}))

    def of(self, event: str) -> list[dict[str, Any]]:
        return [message for message in self.received if message["event"] == event]


class TelnyxBridge:
    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.rest: httpx.AsyncClient | None = None  # to the twin; set once it exists
        self.command: tuple[str, dict[str, Any]] = ("answer", STREAM)
        self.answers: list[httpx.Response] = []
        self.bodies: list[dict[str, Any]] = []
        self.statuses: list[int] = []  # of the next webhooks; 200 when empty
        self.phones: list[Phone] = []
        self.arrivals: list[str] = []
        self.upgrade_headers: list[dict[str, str]] = []
        self.bad_signatures = 0
        self.refuse_sockets = False
        self.slow_webhooks = 0  # so many are answered too late
        self.app = Starlette(
            routes=[
                Route("/webhook", self._webhook, methods=["POST"]),
                Route("/telnyx/webhook", self._webhook, methods=["POST"]),
                WebSocketRoute("/stream", self._stream),
            ]
        )

    async def act(self, control_id: str, action: str, **body: Any) -> httpx.Response:
        assert self.rest is not None
        return await self.rest.post(f"/v2/calls/{control_id}/actions/{action}", json=body)

    async def _webhook(self, request: Request) -> Response:
        raw = await request.body()
        try:
            verify_webhook_signature(raw, request.headers, PUBLIC_KEY)
        except WebhookVerificationError:
            self.bad_signatures += 1
        body = json.loads(raw)
        self.bodies.append(body)
        status = self.statuses.pop(0) if self.statuses else 200
        if self.slow_webhooks:
            self.slow_webhooks -= 1
            await asyncio.sleep(5)
        event = body["data"]
        self.arrivals.append(event["event_type"])
        offered = event["payload"].get("direction") == "incoming"
        if status == 200 and event["event_type"] == "call.initiated" and offered:
            action, parameters = self.command
            if action:
                control_id = event["payload"]["call_control_id"]
                self.answers.append(await self.act(control_id, action, **parameters))
        return Response(status_code=status)

    async def _stream(self, socket: WebSocket) -> None:
        self.upgrade_headers.append(dict(socket.headers))
        self.arrivals.append("socket")
        if self.refuse_sockets:
            await socket.close()
            return
        await socket.accept()
        phone = Phone(socket)
        self.phones.append(phone)
        try:
            await self.talk(phone)
        except WebSocketDisconnect:
            return

    def told(self, event_type: str) -> list[dict[str, Any]]:
        events = [body["data"] for body in self.bodies]
        return [event["payload"] for event in events if event["event_type"] == event_type]


def new_twin(bridge: TelnyxBridge, **options: Any) -> TelnyxTwin:
    twin = TelnyxTwin(
        httpx.AsyncClient(transport=httpx.ASGITransport(bridge.app)),
        dial_app(bridge.app),
        api_key=API_KEY,
        seed=SEED,
        connection_id=CONNECTION,
        webhook_url=f"{BASE}/webhook",
        chance=random.Random(7),
        **options,
    )
    bridge.rest = httpx.AsyncClient(
        transport=httpx.ASGITransport(twin.app),
        base_url="http://telnyx.test",
        headers={"authorization": f"Bearer {API_KEY}"},
    )
    return twin


async def dial(bridge: TelnyxBridge, **changes: Any) -> httpx.Response:
    assert bridge.rest is not None
    body = {"connection_id": CONNECTION, "to": FAR, "from": TO} | changes
    return await bridge.rest.post("/v2/calls", json=body)


def code_of(response: httpx.Response) -> str:
    code = response.json()["errors"][0]["code"]
    assert isinstance(code, str)
    return code
