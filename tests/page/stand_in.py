"""A service to hold the page against: the real page and the real wire, a call that tests steer.

Agents: "receptionist" talks by a fixed script, "loopback" sends every frame straight back, and
"puppet" does what a test tells it through `StoodInCall`.
"""

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from providers.base import WebhookRequest
from providers.browser import browser, key_from, subprotocol_for
from providers.browser.wire import BrowserWire, announce
from service.core.audio import PCMU_8K, AudioFrame, Party
from service.core.calls import CallId
from service.core.commands import CarrierCommand, ClearAudio, PlaceMark, PlayAudio, ShowText
from service.core.events import (
    DtmfReceived,
    MarkPlayed,
    MediaEvent,
    MediaReceived,
    StreamStarted,
    StreamStopped,
    TurnId,
)
from service.page.routes import routes

AGENTS = [
    {"name": "loopback", "engine": "loopback"},
    {"name": "puppet", "engine": "test"},
    {"name": "receptionist", "engine": "offline"},
]
PATIENCE_S = 10.0
GREETING = ["Hello, Acme Dental. ", "How can I help you today? ", "You can ask for our hours."]
HEARD = "Hello, Acme Dental. How can"


def tone(length_ms: int) -> bytes:
    """A loud square wave of 500 Hz, as µ-law."""
    return (b"\x90" * 8 + b"\x10" * 8) * (length_ms // 2)


class StoodInCall:
    """One call: what the page sent, and a hand on what it gets. Safe to use from the test."""

    def __init__(self, number: int, socket: WebSocket) -> None:
        self.call_id = f"call_{number:02}"
        self.agent = ""
        self.arrived: list[tuple[float, MediaEvent]] = []
        self.records: list[dict[str, Any]] = []
        self.over = False
        self.changed = threading.Condition()
        self._wire = BrowserWire()
        self._socket = socket
        self._loop = asyncio.get_running_loop()

    # For tests -------------------------------------------------------------------------------

    def wait(self, happened: Callable[[], bool], what: str) -> None:
        """Until it happened; fails when it does not."""
        with self.changed:
            assert self.changed.wait_for(happened, PATIENCE_S), f"never happened: {what}"

    def sound(self) -> bytes:
        """All of the caller's sound so far."""
        return b"".join(e.frame.data for _, e in self.arrived if isinstance(e, MediaReceived))

    def marks(self) -> list[str]:
        """The marks that came back, in order."""
        return [event.name for _, event in self.arrived if isinstance(event, MarkPlayed)]

    def at(self, mark: str) -> float:
        """When a mark came back, in seconds of the loop's clock."""
        return next(t for t, e in self.arrived if isinstance(e, MarkPlayed) and e.name == mark)

    def digits(self) -> str:
        """The keys that were pressed."""
        return "".join(event.digit for _, event in self.arrived if isinstance(event, DtmfReceived))

    def do(self, *commands: CarrierCommand) -> float:
        """Send what the bridge would, and say when."""
        return asyncio.run_coroutine_threadsafe(self.send(*commands), self._loop).result(5)

    def play(self, data: bytes) -> PlayAudio:
        """The command that plays this."""
        length_ms = PCMU_8K.duration_ms(len(data))
        return PlayAudio(AudioFrame(data, PCMU_8K, 0, length_ms, Party.AGENT), TurnId("turn_1"))

    def close(self, code: int) -> None:
        """Close the socket from the service's side."""
        asyncio.run_coroutine_threadsafe(self._socket.close(code), self._loop).result(5)

    # For the stand-in ------------------------------------------------------------------------

    async def send(self, *commands: CarrierCommand) -> float:
        sent_at = self._loop.time()
        for command in commands:
            for message in self._wire.render(command, 0):
                if isinstance(message, bytes):
                    await self._socket.send_bytes(message)
                else:
                    await self._socket.send_text(message)
        return sent_at

    def record(self, type_: str, data: dict[str, Any]) -> None:
        """An event into the call's record."""
        with self.changed:
            entry = {"id": f"{len(self.records) + 1}-0", "type": type_, "call_id": self.call_id}
            at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            self.records.append({**entry, "at": at, "data": data})
            self.changed.notify_all()

    async def run(self) -> None:
        try:
            while not self.over:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    break
                for event in self._wire.parse(message.get("bytes") or message["text"], 0):
                    await self._take(event)
        finally:
            with self.changed:
                self.over = True
                self.changed.notify_all()
            self.record("stream.stopped", {})
            end = {"outcome": "completed", "cause": "hung_up", "ended_by": "caller"}
            self.record("call.ended", end)

    async def _take(self, event: MediaEvent) -> None:
        with self.changed:
            self.arrived.append((self._loop.time(), event))
            self.changed.notify_all()
        match event:
            case StreamStarted():
                self.agent = event.parameters.get("agent", "")
                await self._socket.send_text(announce(CallId(self.call_id)))
                self.record("call.answered", {})
                self.record("stream.started", {})
                if self.agent == "receptionist":
                    await self._greet()
            case MediaReceived() if self.agent == "loopback":
                await self.send(self.play(event.frame.data))
            case MediaReceived() if self.agent == "receptionist":
                await self._listen()
            case DtmfReceived():
                self.record("dtmf.received", {"digit": event.digit})
            case StreamStopped():
                self.over = True
            case _:
                pass

    async def _greet(self) -> None:
        await self.send(*(ShowText("agent", TurnId("turn_1"), text) for text in GREETING))
        await self.send(self.play(tone(1500)), PlaceMark("turn_1"))

    async def _listen(self) -> None:
        """Half a second into the greeting the caller speaks; a second later they are answered."""
        if len(self.sound()) == 4000:
            await self.send(ClearAudio())
            text = "".join(GREETING)
            turn = {"turn_id": "turn_1", "text": text, "heard_text": HEARD, "interrupted": True}
            self.record("turn.agent", turn)
            self.record("agent.interrupted", {"turn_id": "turn_1", "heard_ms": 480})
        elif len(self.sound()) == 12000:
            await self.send(ShowText("caller", TurnId("caller-1"), "When are you open?"))
            self.record("turn.user", {"turn_id": "caller-1", "text": "When are you open?"})
            answer = "We are open from nine to five, Monday to Friday."
            await self.send(ShowText("agent", TurnId("turn_2"), answer), self.play(tone(600)))
            turn = {"turn_id": "turn_2", "text": answer, "heard_text": answer}
            latency = {"response_ms": 412}
            self.record("turn.agent", {**turn, "interrupted": False, "latency": latency})


class StandIn:
    """The service. With `api_key` it asks for it."""

    def __init__(self, api_key: str | None = None) -> None:
        self.calls: list[StoodInCall] = []
        self.agents = list(AGENTS)
        self.full = False
        self.url = ""
        self._key = api_key
        self._changed = threading.Condition()
        self._routes = [
            *routes(),
            Route("/v1/agents", self._agents),
            Route("/v1/calls/{call_id}/events", self._events),
            Route("/readyz", lambda _: Response()),
            WebSocketRoute("/browser/stream", self._stream),
        ]

    def call(self, number: int) -> StoodInCall:
        """The call of that number, from 1 on, once it has begun."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.calls) >= number, PATIENCE_S)
        call = self.calls[number - 1]
        call.wait(lambda: bool(call.records), "the start of the call")
        return call

    @contextlib.contextmanager
    def run(self) -> Iterator["StandIn"]:
        """Serves on a free port in a thread of its own."""
        config = uvicorn.Config(
            Starlette(routes=self._routes),
            port=0,
            ws="websockets-sansio",
            log_level="warning",
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        socket = config.bind_socket()
        socket.listen()  # who comes before the server is up waits, and is not refused
        self.url = f"http://127.0.0.1:{socket.getsockname()[1]}"
        thread = threading.Thread(target=server.run, args=([socket],))
        thread.start()
        try:
            yield self
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)
            socket.close()

    def _allowed(self, key: str | None) -> bool:
        return self._key is None or key == self._key

    def _bearer(self, request: Request) -> str:
        return request.headers.get("authorization", "").removeprefix("Bearer ")

    async def _agents(self, request: Request) -> Response:
        if not self._allowed(self._bearer(request)):
            return JSONResponse({"code": "unauthorized"}, status_code=401)
        return JSONResponse({"agents": self.agents})

    async def _events(self, request: Request) -> Response:
        if not self._allowed(self._bearer(request)):
            return JSONResponse({"code": "unauthorized"}, status_code=401)
        call = next(c for c in self.calls if c.call_id == request.path_params["call_id"])
        return StreamingResponse(self._follow(call), media_type="text/event-stream")

    async def _follow(self, call: StoodInCall) -> AsyncIterator[str]:
        yield ": a comment, as servers send to keep the stream open\n\n"
        at = 0
        while True:
            for event in call.records[at:]:
                yield f"id: {event['id']}\r\nevent: {event['type']}\r\n"
                yield f"data: {json.dumps(event)}\r\n\r\n"
                if event["type"] == "call.ended":
                    return
                at += 1
            await asyncio.sleep(0.02)

    async def _stream(self, socket: WebSocket) -> None:
        upgrade = WebhookRequest(
            method="GET",
            path=socket.url.path,
            query=socket.url.query,
            headers=dict(socket.headers),
        )
        browser(self.url).check_upgrade(upgrade, False)
        if self.full or not self._allowed(key_from(upgrade)):
            await socket.close()  # before it is accepted: 403
            return
        await socket.accept(subprotocol=subprotocol_for(upgrade))
        with self._changed:
            call = StoodInCall(len(self.calls) + 1, socket)
            self.calls.append(call)
            self._changed.notify_all()
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await call.run()
            await socket.close()
