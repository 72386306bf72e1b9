"""The smallest bridge that Twilio could call: TwiML in, a scripted socket, every callback kept."""

import base64
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from twilio.request_validator import RequestValidator

from service.twin.socket import dial_app
from service.twin.twilio import TwilioTwin

TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
SID = "AC00112233445566778899aabbccddeeff"
BASE = "http://bridge.test"
Talk = Callable[["Phone"], Awaitable[None]]


class Phone:
    """The bridge's end of a media socket."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        self.sid = ""
        self.received: list[dict[str, Any]] = []

    async def next(self, *events: str) -> dict[str, Any]:
        """The next message of one of these kinds; any kind when none is named."""
        while True:
            message: dict[str, Any] = json.loads(await self.socket.receive_text())
            self.received.append(message)
            if message["event"] == "start":
                self.sid = message["streamSid"]
            if not events or message["event"] in events:
                return message

    async def until_closed(self) -> None:
        try:
            while True:
                await self.next("nothing")
        except WebSocketDisconnect:
            return

    async def play(self, pcmu: bytes) -> None:
        await self.send("media", media={"payload": base64.b64encode(pcmu).decode()})

    async def mark(self, name: str) -> None:
        await self.send("mark", mark={"name": name})

    async def send(self, event: str, **content: Any) -> None:
        await self.socket.send_text(json.dumps({"event": event, "streamSid": self.sid, **content}))


class TwilioBridge:
    def __init__(self, talk: Talk, base: str = BASE, prefix: str = "") -> None:
        self.base = base
        self.prefix = prefix
        self.talk = talk
        self.phones: list[Phone] = []
        self.callbacks: list[tuple[str, dict[str, str]]] = []
        self.tokens: list[str] = []
        self.arrivals: list[str] = []  # paths and sockets, as they came
        self.upgrade_headers: list[dict[str, str]] = []
        self.bad_signatures = 0
        self.refuse_sockets = False
        self.failing: dict[str, Response] = {}
        self.answers: dict[str, list[str]] = {"/voice": [self.connect()]}
        paths = (
            "/voice",
            "/done",
            "/dialled",
            "/leg",
            "/status",
            "/stream-status",
            "/amd",
            "/recording",
        )
        self.app = Starlette(
            routes=[
                *[Route(prefix + path, self._webhook, methods=["GET", "POST"]) for path in paths],
                WebSocketRoute("/stream/{token}", self._stream),
            ]
        )

    def connect(self, tail: str = "<Hangup/>") -> str:
        stream = "ws" + self.base.removeprefix("http").replace("bridge.test", "localhost")
        base = self.base + self.prefix
        return (
            f'<Response><Connect action="{base}/done"><Stream url="{stream}/stream/t0k"'
            f' statusCallback="{base}/stream-status"><Parameter name="k" value="v"/>'
            f"</Stream></Connect>{tail}</Response>"
        )

    async def _webhook(self, request: Request) -> Response:
        body = (await request.body()).decode()
        form = dict(parse_qsl(body, keep_blank_values=True))
        signature = request.headers["x-twilio-signature"]
        if request.method == "GET":
            form = dict(request.query_params)
        signed = form if request.method == "POST" else {}
        if not RequestValidator(TOKEN).validate(str(request.url), signed, signature):
            self.bad_signatures += 1
            return Response(status_code=403)
        path = request.url.path.removeprefix(self.prefix)
        self.arrivals.append(path)
        self.callbacks.append((path, form))
        self.tokens.append(request.headers["i-twilio-idempotency-token"])
        if path in self.failing:
            return self.failing[path]
        answers = self.answers.get(path, [])
        if not answers:
            document = "<Response/>" if path in ("/done", "/dialled") else ""
            return Response(document, media_type="text/xml")
        return Response(answers.pop(0), media_type="text/xml")

    async def _stream(self, socket: WebSocket) -> None:
        url = str(socket.url)
        signature = socket.headers["x-twilio-signature"]
        if not RequestValidator(TOKEN).validate(url, {}, signature):
            self.bad_signatures += 1
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

    def told(self, path: str) -> list[dict[str, str]]:
        return [form for at, form in self.callbacks if at == path]


def new_twin(bridge: TwilioBridge, **options: Any) -> TwilioTwin:
    transport = httpx.ASGITransport(bridge.app)
    return TwilioTwin(
        httpx.AsyncClient(transport=transport),
        dial_app(bridge.app),
        account_sid=SID,
        auth_token=TOKEN,
        voice_url=f"{BASE}/voice",
        chance=random.Random(7),
        **options,
    )


def rest_of(twin: TwilioTwin, auth: tuple[str, str] = (SID, TOKEN)) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(twin.app), base_url="http://twilio.test", auth=auth
    )
