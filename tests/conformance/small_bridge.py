"""The smallest bridge that keeps every rule of the kit, and can be made to break one at a time.

It answers both carriers, says a long tone, falls silent when spoken over, and knows nothing else.
"""

import asyncio
import audioop
import base64
import json
import struct
from collections.abc import Mapping
from itertools import count
from typing import Any
from urllib.parse import parse_qsl

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from telnyx.lib.webhook_verification import WebhookVerificationError, verify_webhook_signature
from twilio.request_validator import RequestValidator

from service.media.g711 import decode_pcma, decode_pcmu
from tests.twin.sounds import tone

BASE = "http://bridge.test"
TWILIO_TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
TWILIO_SID = "AC00112233445566778899aabbccddeeff"
TELNYX_KEY = "KEY0123"
TELNYX_PUBLIC_KEY = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
_MAX_BODY_BYTES = 1024 * 1024
_MAX_MESSAGE_CHARS = 64 * 1024
_START_S = 5.0
_LEAD_S = 0.2
_ONE_AT_A_TIME_S = 0.05
_MARK_EVERY = 25  # frames
_LOUD_RMS = 2000
_LOUD_FRAMES = 5
_SPOKEN_MS = {"first": 4000, "then": 1000}
_SOUNDS = {what: tone(ms) for what, ms in _SPOKEN_MS.items()}
_KNOWN = ("connected", "start", "media", "dtmf", "mark", "stop", "error")


class SmallBridge:
    """`sin`: the rule it breaks."""

    def __init__(self, sin: str = "") -> None:
        self.sin = sin
        self.rest: dict[str, httpx.AsyncClient] = {}
        self.app = Starlette(
            routes=[
                Route("/voice", self._voice, methods=["POST"]),
                Route("/done", self._done, methods=["POST"]),
                Route("/status", self._status, methods=["POST"]),
                Route("/webhook", self._webhook, methods=["POST"]),
                Route("/order/{carrier}", self._order, methods=["POST"]),
                WebSocketRoute("/stream/{carrier}/{token}", self._stream),
            ]
        )
        self._serial = count(1)
        self._tokens: dict[str, str] = {}  # to the call's id
        self._by_call: dict[str, str] = {}
        self._used: set[str] = set()
        self._events: set[str] = set()
        self._over: set[str] = set()  # whose socket is closed
        self._open: set[str] = set()
        self._answering = ""
        self._answered_s = -1.0
        self._lost: set[str] = set()
        self._hurt = False

    def token(self, call_id: str) -> str:
        if call_id not in self._by_call:
            token = f"token-{next(self._serial):020}"
            self._tokens[token] = call_id
            self._by_call[call_id] = token
        return self._by_call[call_id]

    def _busy(self, call: str) -> bool:
        now_s = asyncio.get_running_loop().time()
        busy = now_s - self._answered_s < _ONE_AT_A_TIME_S and call != self._answering
        self._answered_s, self._answering = now_s, call
        return busy and self.sin == "one_call_at_a_time"

    # Twilio

    async def _voice(self, request: Request) -> Response:
        form = await self._form(request)
        if isinstance(form, Response):
            return form
        if self._hurt:
            self._hurt = False
            return Response(status_code=500)
        call = form["CallSid"]
        if self._busy(call):
            return _xml('<Response><Reject reason="busy"/></Response>')
        if self.sin == "no_second_answer" and call in self._by_call:
            return Response(status_code=409)
        url = f"ws://localhost/stream/twilio/{self.token(call)}"
        stream = f'<Stream url="{url}" statusCallback="{BASE}/status"/>'
        tail = '<Pause length="40"/>' if self.sin == "pauses_after_the_stream" else ""
        extra = ' record="true"' if self.sin == "odd_twiml" else ""
        done = f'<Connect{extra} action="{BASE}/done">{stream}</Connect>'
        return _xml(f"<Response>{done}{tail}</Response>")

    async def _done(self, request: Request) -> Response:
        form = await self._form(request)
        if isinstance(form, Response):
            return form
        await asyncio.sleep(0.05)  # until its socket has noticed, too
        broken = self.sin == "a_cut_breaks_it" and form["CallSid"] in self._lost
        return Response(status_code=500) if broken else _xml("<Response/>")

    async def _status(self, request: Request) -> Response:
        form = await self._form(request)
        if isinstance(form, Response):
            return form
        if self.sin == "slow":
            await asyncio.sleep(1.5)
        call = form["CallSid"]
        late = call in self._over and form.get("StreamEvent") == "stream-started"
        return Response(status_code=409 if late and self.sin == "late_is_wrong" else 204)

    async def _form(self, request: Request) -> dict[str, str] | Response:
        raw = await self._body(request)
        if isinstance(raw, Response):
            return raw
        form = dict(parse_qsl(raw.decode(), keep_blank_values=True))
        if not self._signed_by_twilio(str(request.url), request.headers, form):
            return Response(status_code=403)
        if self.sin == "strict_fields" and "Novelty" in form:
            return Response(status_code=400)
        return form

    def _signed_by_twilio(
        self, url: str, headers: Mapping[str, str], form: Mapping[str, str]
    ) -> bool:
        signature = headers.get("x-twilio-signature")
        if signature is None:
            return self.sin in ("takes_unsigned", "checks_nothing")
        tokens, forms, urls = [TWILIO_TOKEN], [dict(form)], [url]
        if self.sin == "takes_another_key":
            tokens.append(TWILIO_TOKEN[::-1] + "x")
        if self.sin == "takes_changes":
            forms.append({k: v for k, v in form.items() if k != "Extra"})
        if self.sin == "takes_another_url":
            urls.append(url + "/")
        return self.sin == "checks_nothing" or any(
            RequestValidator(token).validate(at, fields, signature)
            for token in tokens
            for fields in forms
            for at in urls
        )

    async def _body(self, request: Request) -> bytes | Response:
        raw = b""
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > _MAX_BODY_BYTES:
                return Response(status_code=200 if self.sin == "takes_megabytes" else 413)
        return raw

    # Telnyx

    async def _webhook(self, request: Request) -> Response:
        raw = await self._body(request)
        if isinstance(raw, Response):
            return raw
        if not self._signed_by_telnyx(raw, request.headers):
            return Response(status_code=403)
        event = json.loads(raw)["data"]
        if self.sin == "slow" and event["event_type"] == "streaming.started":
            await asyncio.sleep(1.5)
        payload = event["payload"]
        if self.sin == "strict_fields" and "novelty" in payload:
            return Response(status_code=400)
        known = event["id"] in self._events and self.sin != "no_second_answer"
        self._events.add(event["id"])
        call = payload["call_control_id"]
        if known:
            return Response()
        match event["event_type"]:
            case "call.initiated" if payload["direction"] == "incoming" or (
                self.sin == "answers_every_leg"
            ):
                await self._answer(call)
            case "call.hangup" if call in self._open and self.sin == "hangup_comes_last":
                return Response(status_code=409)
            case "streaming.started" if call in self._over and self.sin == "late_is_wrong":
                return Response(status_code=409)
            case _:
                pass
        return Response()

    def _signed_by_telnyx(self, raw: bytes, headers: Mapping[str, str]) -> bool:
        if self.sin == "checks_nothing":
            return True
        if "telnyx-signature-ed25519" not in headers:
            return self.sin == "takes_unsigned"
        given = dict(headers)
        for body in [raw, raw.rstrip()] if self.sin == "takes_changes" else [raw]:
            try:
                verify_webhook_signature(body, given, TELNYX_PUBLIC_KEY)
            except WebhookVerificationError as error:
                if self.sin == "takes_old" and "timestamp" in str(error).lower():
                    return True
                continue
            return True
        return False

    async def _answer(self, call: str) -> None:
        if self._hurt:
            self._hurt = False
            return
        if self._busy(call):
            await self._act(call, "reject", {"cause": "USER_BUSY"})
            return
        body = {
            "stream_url": f"ws://localhost/stream/telnyx/{self.token(call)}",
            "stream_bidirectional_mode": "mp3" if self.sin == "no_rtp" else "rtp",
            "stream_bidirectional_target_legs": "self",
        }
        await self._act(call, "answer", body)
        if self.sin == "odd_commands":
            await self._act(call, "send_dtmf", {"digits": "once more"})

    async def _act(self, call: str, action: str, body: dict[str, Any]) -> None:
        await self.rest["telnyx"].post(f"/v2/calls/{call}/actions/{action}", json=body)

    # Orders

    async def _order(self, request: Request) -> Response:
        if self.sin == "takes_no_orders":
            return Response(status_code=201)
        to = (await request.json())["to"]
        for _ in range(2 if self.sin == "dials_again" else 1):
            if (await self._dial(request.path_params["carrier"], to)) < 500:
                break
        return Response(status_code=201)

    async def _dial(self, carrier: str, to: str) -> int:
        rest = self.rest[carrier]
        if carrier == "twilio":
            path = f"/2010-04-01/Accounts/{TWILIO_SID}/Calls.json"
            form = {"To": to, "From": "+14155550123", "Url": f"{BASE}/voice"}
            form["StatusCallback"] = f"{BASE}/status"
            return (await rest.post(path, data=form)).status_code
        token = f"token-{next(self._serial):020}"
        body = {
            "connection_id": "1",
            "to": to,
            "from": "+14155550123",
            "stream_url": f"ws://localhost/stream/telnyx/{token}",
            "stream_bidirectional_mode": "rtp",
            "stream_bidirectional_target_legs": "self",
        }
        self._tokens[token] = ""  # its call is known when the answer is there
        answer = await rest.post("/v2/calls", json=body)
        if answer.is_success:
            self._tokens[token] = answer.json()["data"]["call_control_id"]
        return answer.status_code

    # The media socket

    async def _stream(self, socket: WebSocket) -> None:
        token, carrier = socket.path_params["token"], socket.path_params["carrier"]
        refused = token not in self._tokens and self.sin != "takes_any_token"
        refused |= self.sin == "token_once" and token in self._used
        refused |= self.sin == "a_cut_breaks_it" and self._tokens.get(token) in self._lost
        self._answered_s = -1.0  # the next call may come
        if refused:
            await socket.close()
            return
        self._used.add(token)
        await socket.accept()
        self._open.add(self._tokens.get(token, ""))
        call = _Call(socket, carrier, self.sin)
        try:
            ended = await call.run(lambda: self._tokens.get(token, ""))
        except WebSocketDisconnect:
            ended = "lost"
        self._open.discard(self._tokens.get(token, ""))
        self._over.add(self._tokens.get(token, ""))
        self._hurt |= ended == "oversize" and self.sin == "an_oversize_message_hurts"
        if ended == "lost":
            self._lost.add(self._tokens.get(token, ""))


class _Call:
    def __init__(self, socket: WebSocket, carrier: str, sin: str) -> None:
        self.socket = socket
        self.carrier = carrier
        self.sin = sin
        self.ids: dict[str, str] = {}
        self.a_law = False
        self.speaking: asyncio.Task[None] | None = None
        self.loud = 0
        self.heard = False  # the caller said something that has not been answered
        self.quiet = 0
        self.marks: set[str] = set()
        self.cleared = False
        self.serial = count(1)
        self.chunk = 0

    async def run(self, call_of: Any) -> str:
        try:
            async with asyncio.timeout(1000 if self.sin == "waits_for_ever" else _START_S):
                start = await self._start()
        except TimeoutError:
            await self.socket.close(1008)
            return "closed"
        named = start.get("callSid") or start.get("call_control_id")
        if call_of() not in ("", named) and self.sin not in ("takes_any_call", "takes_any_token"):
            await self.socket.close(1000 if self.sin == "closes_with_1000" else 1008)
            return "closed"
        if self.a_law and self.sin == "knows_no_a_law":
            await self.socket.close(1003)
            return "closed"
        self._speak("first")
        try:
            return await self._listen()
        finally:
            if self.speaking is not None:
                self.speaking.cancel()

    async def _start(self) -> dict[str, Any]:
        while True:
            message = json.loads(await self.socket.receive_text())
            if message["event"] == "start":
                start: dict[str, Any] = message["start"]
                if self.carrier == "twilio":
                    self.ids = {"streamSid": message["streamSid"]}
                self.a_law = start.get("media_format", {}).get("encoding") == "PCMA"
                return start

    async def _listen(self) -> str:
        while True:
            text = await self.socket.receive_text()
            if len(text) > _MAX_MESSAGE_CHARS:
                await self.socket.close(1009)
                return "oversize"
            try:
                why = await self._take(json.loads(text))
            except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
                why = "malformed" if self.sin == "a_malformed_message_ends_it" else ""
            if why == "stop":
                await self.socket.close()
                return "stop"
            if why:
                await self.socket.close(1011)
                return "closed"

    async def _take(self, message: dict[str, Any]) -> str:
        """Why the call is over now; empty when it is not."""
        event = message["event"]
        if event not in _KNOWN and self.sin == "an_unknown_event_ends_it":
            return event or "unknown"
        match event:
            case "stop":
                return "stop"
            case "media":
                return await self._hear(message["media"])
            case "dtmf" if self.sin == "a_key_ends_it":
                return "dtmf"
            case "error" if self.sin == "an_error_frame_ends_it":
                return "error"
            case "mark":
                return self._marked(message["mark"]["name"])
            case _:
                pass
        return ""

    def _marked(self, name: str) -> str:
        if name not in self.marks and self.sin == "an_unknown_mark_ends_it":
            return "mark"
        if self.cleared and self.sin == "a_cleared_mark_ends_it":
            return "mark"
        return ""

    async def _hear(self, media: dict[str, str]) -> str:
        payload = base64.b64decode(media["payload"], validate=True)
        chunk = int(media["chunk"])
        if self.sin == "frames_in_order_only" and chunk != self.chunk + 1:
            return "order"
        self.chunk = chunk
        if self.sin == "frames_of_20_ms_only" and len(payload) != 160:
            return "length"
        pcm = decode_pcma(payload) if self.a_law else decode_pcmu(payload)
        threshold = 300 if self.sin == "hears_noise" else _LOUD_RMS
        if audioop.rms(pcm, 2) > threshold:
            self.loud, self.quiet = self.loud + 1, 0
            self.heard |= self.loud >= _LOUD_FRAMES
        else:
            self.loud, self.quiet = 0, self.quiet + 1
        if self.loud == _LOUD_FRAMES:
            await self._fall_silent()
        if self.heard and self.quiet > 25:
            self.heard = False
            self._speak("then")
        return ""

    async def _fall_silent(self) -> None:
        if self.speaking is None or self.sin == "never_interrupted":
            return
        if self.speaking.done() and self.sin != "all_at_once":
            return
        self.speaking.cancel()
        self.cleared = True
        await self._send("clear")
        if self.sin == "speaks_on_after_clear":
            await self._play(tone(20))

    def _speak(self, what: str) -> None:
        if self.sin == "mute":
            return
        self.speaking = asyncio.create_task(self._say(_SOUNDS[what]))

    async def _say(self, sound: bytes) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        lead_s = {"drags": 0.0, "all_at_once": 60.0}.get(self.sin, _LEAD_S)
        size = 161 if self.sin == "odd_frames" else 160
        if self.sin == "crumbs":
            size = 100
        frame_s = size / 8000 * (1.25 if self.sin == "drags" else 1)
        for number, at in enumerate(range(0, len(sound), size), start=1):
            frame = sound[at : at + size]
            if len(frame) < size:
                break
            if number == 1 and self.sin == "sends_a_file":
                frame = b"RIFF" + frame[4:]
            await self._play(frame)
            if number % _MARK_EVERY == 0:
                await self._mark()
            await asyncio.sleep(max(0.0, began_s + number * frame_s - lead_s - loop.time()))
        await self._mark()

    async def _mark(self) -> None:
        if self.sin == "no_marks":
            return
        name = "m" if self.sin == "one_mark_name" else f"m{next(self.serial)}"
        self.marks.add(name)
        await self._send("mark", mark={"name": name})

    async def _play(self, frame: bytes) -> None:
        content = {"payload": base64.b64encode(frame).decode()}
        if self.sin == "odd_messages":
            content["track"] = "outbound"
        await self._send("media", media=content)

    async def _send(self, event: str, **content: Any) -> None:
        await self.socket.send_text(json.dumps({"event": event, **self.ids, **content}))


def _xml(document: str) -> Response:
    return Response(document, media_type="text/xml")


def speech() -> bytes:
    """What the caller says: loud, with pauses, as speech is."""
    quiet = struct.pack("B", 0xFF) * 8 * 100
    return b"".join(tone(300, hz=hz) + quiet for hz in (300, 500, 400))
