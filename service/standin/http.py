"""The HTTP entrances: chat completions, speech, transcriptions and the list of models."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from service.core.audio import PCM16_8K
from service.standin import chat, speech, transcription
from service.standin.catalog import MODELS
from service.standin.desk import Desk
from service.standin.disturb import disturbed, event, replaced
from service.standin.model import answer
from service.standin.record import Request
from service.standin.refusals import Refusal
from service.standin.script import Fault, Stage
from service.standin.sound import PCM16_24K, Made, chunks, wav_head
from service.standin.streamed import Streamed

BODY_MOST_BYTES = 32 * 1024 * 1024
CREATED = 1_780_000_000
"""When models and completions were made, for ever: answers are the same on every run."""

_SSE = {"content-type": "text/event-stream; charset=utf-8"}
_FORM_FIELDS_MOST = 50

Answering = Callable[[Desk, Request, HttpRequest, Fault | None], Awaitable[ASGIApp]]


class Entrance:
    """One kind of request as an ASGI app: key, faults, the answer, or what it is refused with."""

    def __init__(self, desk: Desk, at: Stage, answering: Answering) -> None:
        self._desk = desk
        self._at = at
        self._answering = answering

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        came = HttpRequest(scope, receive)
        request = self._desk.enter(self._at, came)
        try:
            response = await self._response(request, came)
        except asyncio.CancelledError:
            request.end = "left"
            raise
        except ClientDisconnect:
            request.end = "left"
            return
        if not isinstance(response, Streamed):
            request.status = getattr(response, "status_code", 200)
            request.end = "complete" if request.status < 400 else "refused"
        await response(scope, receive, send)

    async def _response(self, request: Request, came: HttpRequest) -> ASGIApp:
        fault = self._desk.faults.next(self._at)
        try:
            self._desk.admit(came)
            made = await self._answering(self._desk, request, came, fault)
            return await replaced(fault, came.receive) or made
        except Refusal as refusal:
            self._desk.refuse(self._at, refusal)
            return JSONResponse(refusal.body(), refusal.status, refusal.headers)


async def unknown_url(came: HttpRequest, wrong: Exception) -> JSONResponse:
    """The answer where there is no such path, or no such method of one."""
    status = wrong.status_code if isinstance(wrong, HTTPException) else 404
    refusal = Refusal(f"Invalid URL ({came.method} {came.url.path})", status=status)
    return JSONResponse(refusal.body(), status)


async def list_models(
    desk: Desk, _request: Request, _came: HttpRequest, _fault: Fault | None
) -> ASGIApp:
    """GET /v1/models."""
    names = sorted({*frozenset().union(*MODELS.values()), *desk.script.models})
    data = [
        {"id": name, "object": "model", "created": CREATED, "owned_by": "openai"} for name in names
    ]
    return JSONResponse({"object": "list", "data": data})


async def complete_chat(
    desk: Desk, request: Request, came: HttpRequest, fault: Fault | None
) -> ASGIApp:
    """POST /v1/chat/completions."""
    request.body = await _json(came)
    body = chat.check(request.body)
    desk.check_model("chat", body["model"])
    chosen = answer(desk.script, chat.lines(body))
    calls = chat.tool_calls(chosen, body, desk.new_id)
    head = {
        "id": desk.new_id("chatcmpl"),
        "created": CREATED,
        "model": body["model"],
        "service_tier": "default",
        "system_fingerprint": None,
    }
    delays = desk.script.delays
    if not body.get("stream"):
        await asyncio.sleep(delays.first_token_ms / 1000)
        return JSONResponse(chat.whole(head, chosen, calls))
    usage = bool((body.get("stream_options") or {}).get("include_usage"))
    made = chat.streamed(head, chosen, calls, usage=usage, delays=delays)
    return Streamed(request, disturbed(_events(made), fault, events=True), _SSE)


async def speak(desk: Desk, request: Request, came: HttpRequest, fault: Fault | None) -> ASGIApp:
    """POST /v1/audio/speech."""
    request.body = await _json(came)
    body = speech.check(request.body)
    desk.check_model("speech", body["model"])
    voice = body["voice"] if isinstance(body["voice"], str) else ""
    made = await desk.speak(body["input"], PCM16_24K, voice=voice, speed=body.get("speed", 1.0))
    request.made = made
    as_wav = body.get("response_format") == "wav"
    sound = disturbed(_paced(desk, made, as_wav=as_wav), fault, events=False)
    return Streamed(request, sound, {"content-type": "audio/wav" if as_wav else "audio/pcm"})


async def transcribe(
    desk: Desk, request: Request, came: HttpRequest, fault: Fault | None
) -> ASGIApp:
    """POST /v1/audio/transcriptions."""
    _check_length(came)
    try:
        form = await came.form(max_files=1, max_fields=_FORM_FIELDS_MOST)
    except HTTPException as wrong:
        raise Refusal("Could not parse multipart form.") from wrong
    try:
        request.body, request.audio = await transcription.check(form)
    finally:
        await form.close()
    desk.check_model("transcription", request.body["model"])
    text = await desk.hearing.understand(request.audio)
    await asyncio.sleep(desk.script.delays.recognition_ms / 1000)
    usage = transcription.usage(text, PCM16_8K.duration_ms(len(request.audio)) / 1000)
    if request.body.get("stream"):
        events = _each(transcription.events(text, usage), desk.script.delays.token_ms)
        return Streamed(request, disturbed(_events(events), fault, events=True), _SSE)
    if request.body.get("response_format") == "text":
        return PlainTextResponse(text + "\n")
    return JSONResponse({"text": text, "usage": usage})


async def _json(came: HttpRequest) -> Any:
    _check_length(came)
    try:
        return json.loads(await came.body())
    except (ValueError, RecursionError):
        raise Refusal("We could not parse the JSON body of your request.") from None


def _check_length(came: HttpRequest) -> None:
    length = came.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > BODY_MOST_BYTES:
        raise Refusal("Maximum content size limit exceeded.", status=413)


async def _each(events: Iterable[dict[str, Any]], pause_ms: int) -> AsyncIterator[dict[str, Any]]:
    for number, data in enumerate(events):
        if number:
            await asyncio.sleep(pause_ms / 1000)
        yield data


async def _events(made: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    async for data in made:
        yield event(data)
    yield b"data: [DONE]\n\n"


async def _paced(desk: Desk, made: Made, *, as_wav: bool) -> AsyncIterator[bytes]:
    """Sound as it is made: some times faster than it is heard."""
    await asyncio.sleep(desk.script.delays.first_audio_ms / 1000)
    if as_wav:
        yield wav_head(made.format)
    size_bytes, speed = desk.script.sound.chunk_bytes, desk.script.sound.speed
    for piece in chunks(made.data, made.format, size_bytes=size_bytes, chance=desk.chance):
        yield piece
        if speed:
            await asyncio.sleep(made.format.duration_ms(len(piece)) / 1000 / speed)
