"""WS /v1/realtime: lets sockets in, carries events both ways, and ends sessions.

Trouble at the door is an HTTP status on the upgrade, or an `error` event and a close, as at
OpenAI's: an unknown model is told after the upgrade, a wrong key before it.
"""

import asyncio
import time

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from service.standin.desk import Desk
from service.standin.disturb import replaced
from service.standin.realtime.session import Session
from service.standin.record import Request
from service.standin.refusals import Refusal, told
from service.standin.script import Fault
from service.standin.streamed import Cut

_REFUSED = 4000  # what OpenAI closes with; the reason names the error
_GOING_AWAY = 1001
_BETA = "realtime=v1"
_SESSIONS_MOST = 1000


class RealtimeEntrance:
    """The socket's ASGI app; `sessions` are all that were ever let in."""

    def __init__(self, desk: Desk) -> None:
        self.sessions: list[Session] = []
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One socket, from its upgrade to its end."""
        socket = WebSocket(scope, receive, send)
        request = self._desk.enter("opening", socket)
        fault = self._desk.faults.next("opening")
        try:
            self._desk.admit(socket)
        except Refusal as refusal:
            return await self._turn_away(socket, request, refusal)
        try:
            answer = await replaced(fault, receive)
        except ClientDisconnect:
            request.end = "left"
            return None
        if answer is not None:
            return await self._deny(socket, request, answer)
        await socket.accept()
        request.status = 101
        try:
            await self._serve(socket, request, fault)
        except WebSocketDisconnect:
            request.end = "left"
        except Cut:
            request.end = "cut"
            raise
        return None

    async def _serve(self, socket: WebSocket, request: Request, fault: Fault | None) -> None:
        try:
            if fault is not None:
                await _upset(socket, fault)
            model = self._model(socket)
        except Refusal as refusal:
            self._desk.refuse("opening", refusal)
            request.end = "refused"
            return await _close_with(socket, refusal)
        life_s = self._desk.script.session_s
        session = Session(self._desk, model, int(time.time() + life_s))
        if len(self.sessions) < _SESSIONS_MOST:
            self.sessions.append(session)
        try:
            await _Traffic(socket, session, self._desk.faults.next("session")).run(life_s)
        finally:
            await session.aclose()
        request.end = "complete"
        return None

    def _model(self, socket: WebSocket) -> str:
        """The model that is asked for; empty: transcription alone."""
        if socket.headers.get("openai-beta", "") == _BETA:
            message = "The Realtime Beta API is no longer supported. Please use /v1/realtime."
            raise Refusal(message, code="beta_api_shape_disabled")
        if socket.query_params.get("intent") == "transcription":
            return ""
        model = socket.query_params.get("model")
        if not model:
            message = "You must provide a model parameter."
            raise Refusal(message, code="missing_model", param="model")
        self._desk.check_model("realtime", model)
        return model

    async def _turn_away(self, socket: WebSocket, request: Request, refusal: Refusal) -> None:
        self._desk.refuse("opening", refusal)
        await self._deny(socket, request, JSONResponse(refusal.body(), refusal.status))

    async def _deny(self, socket: WebSocket, request: Request, answer: Response) -> None:
        request.status, request.end = answer.status_code, "refused"
        await socket.send_denial_response(answer)


class _Traffic:
    """Events in and out of one session, until somebody has enough."""

    def __init__(self, socket: WebSocket, session: Session, fault: Fault | None) -> None:
        self._socket = socket
        self._session = session
        self._fault = fault

    async def run(self, life_s: float) -> None:
        """Returns when the session is over; WebSocketDisconnect when the client leaves."""
        work = (self._receive(), self._send())
        jobs = [asyncio.create_task(job, name="stand-in session") for job in work]
        try:
            done, _ = await asyncio.wait(jobs, timeout=life_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.wait(jobs)
        for job in done:
            job.result()
        if not done:
            await _expire(self._socket, life_s)

    async def _receive(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1000))
            text = message.get("text")
            self._session.take(message["bytes"] if text is None else text)

    async def _send(self) -> None:
        sent = 0
        while True:
            if self._fault is not None and sent == self._fault.after:
                await _upset(self._socket, self._fault)
                if self._fault.does in ("close", "expire"):
                    return
            await self._socket.send_text(await self._session.outbox.get())
            sent += 1


async def _upset(socket: WebSocket, fault: Fault) -> None:
    """Something goes wrong on an open socket."""
    match fault.does:
        case "stall":
            await asyncio.Event().wait()
        case "cut":
            raise Cut
        case "close":
            await socket.close(fault.code, fault.reason or None)
        case "expire":
            await _expire(socket, 3600)
        case "malformed":
            await socket.send_text('{"type":"response.output_audio.delta","delta":')
        case "unknown":
            await socket.send_json({"type": "surprise.happened", "event_id": "event_x"})
        case "error":
            await _tell(socket, told(500, fault.reason))
        case _:
            return


async def _expire(socket: WebSocket, life_s: float) -> None:
    """As OpenAI does it, December 2025: an event, then 1001, which many take for a good end."""
    message = f"Your session hit the maximum duration of {round(life_s / 60)} minutes."
    await _tell(socket, Refusal(message, code="session_expired"))
    await socket.close(_GOING_AWAY, message)


async def _close_with(socket: WebSocket, refusal: Refusal) -> None:
    await _tell(socket, refusal)
    await socket.close(_REFUSED, f"{refusal.kind}.{refusal.code}")


async def _tell(socket: WebSocket, refusal: Refusal) -> None:
    error = refusal.error() | {"event_id": None}
    await socket.send_json({"type": "error", "event_id": "event_x", "error": error})
