"""Both carriers as strict clients of a running service: webhooks signed by their own SDKs' rules,
media sockets that complain about every message their documentation does not allow.
"""

import asyncio
import base64
import hashlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
from nacl.signing import SigningKey
from twilio.request_validator import RequestValidator
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.service.rest_api import ACCOUNT, AUTH_TOKEN

PUBLIC_URL = "https://bridge.example.org/phone"
SECONDARY_TOKEN = "secondary-token-0000000000000002"
TELNYX_SEED = SigningKey(bytes(range(32)))
TELNYX_PUBLIC_KEY = base64.b64encode(bytes(TELNYX_SEED.verify_key)).decode()
STREAM_KEY = "stream-auth-token-of-telnyx"
WAIT_S = 10.0
FRAME_BYTES, FRAME_MS = 160, 20
SILENCE = b"\xff" * FRAME_BYTES

_numbers = itertools.count(int(time.time()))


async def until(what: Callable[[], Any], why: str = "", *, within_s: float = WAIT_S) -> Any:
    """What `what` gives once it is true; it is asked again and again until then."""
    deadline = time.monotonic() + within_s
    while True:
        found = what()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, why or "this did not happen in time"
        await asyncio.sleep(0.02)


def new_sid() -> str:
    return f"CA{next(_numbers):032x}"


def new_control_id() -> str:
    return f"v3:Ab_C-{next(_numbers)}"


# Webhooks ----------------------------------------------------------------------------------------


def twilio_form(sid: str, **fields: str) -> dict[str, str]:
    """A callback's form, with the blank fields that Twilio sends."""
    form = {"AccountSid": ACCOUNT, "ApiVersion": "2010-04-01", "CallSid": sid}
    form |= {"From": "+14155550100", "To": "+14155550123", "Direction": "inbound"}
    return form | {"CallStatus": "ringing", "FromCity": "", "FromState": ""} | fields


class Caller:
    """Sends what carriers send to one service behind a proxy that cuts the path's prefix off."""

    def __init__(self, http: httpx.AsyncClient, public_url: str = PUBLIC_URL) -> None:
        self.http = http
        self.public_url = public_url

    async def twilio(
        self,
        target: str,
        form: Mapping[str, str],
        *,
        token: str = AUTH_TOKEN,
        signed_url: str | None = None,
        signature: str | None = None,
    ) -> httpx.Response:
        """POST a form to `/twilio/...`, signed for the public URL."""
        url = signed_url or self.public_url + target
        signature = signature or RequestValidator(token).compute_signature(url, dict(form))
        return await self.http.post(
            target,
            content=urlencode(form),
            headers={
                "content-type": "application/x-www-form-urlencoded; charset=utf-8",
                "x-twilio-signature": signature,
                "user-agent": "TwilioProxy/1.1",
            },
        )

    async def twilio_get(self, target: str) -> httpx.Response:
        signature = RequestValidator(AUTH_TOKEN).compute_signature(self.public_url + target, {})
        return await self.http.get(target, headers={"x-twilio-signature": signature})

    async def twilio_json(self, target: str, body: bytes, *, sent: bytes | None = None) -> Any:
        target += ("&" if "?" in target else "?") + f"bodySHA256={hashlib.sha256(body).hexdigest()}"
        signature = RequestValidator(AUTH_TOKEN).compute_signature(self.public_url + target, {})
        headers = {"content-type": "application/json", "x-twilio-signature": signature}
        return await self.http.post(target, content=sent or body, headers=headers)

    async def telnyx(self, body: bytes | dict[str, Any], target: str = "/telnyx/webhook") -> Any:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.http.post(target, content=raw, headers=telnyx_headers(raw))


def telnyx_headers(raw: bytes, *, skew_s: int = 0) -> dict[str, str]:
    timestamp = str(int(time.time()) + skew_s)
    signature = TELNYX_SEED.sign(timestamp.encode() + b"|" + raw).signature
    return {
        "content-type": "application/json",
        "user-agent": "telnyx-webhooks",
        "telnyx-timestamp": timestamp,
        "telnyx-signature-ed25519": base64.b64encode(signature).decode(),
    }


def telnyx_event(kind: str, control_id: str, **payload: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {"call_control_id": control_id, "connection_id": "1000000000000000001"}
    facts |= {"from": "+14155550100", "to": "+14155550123", "client_state": None, **payload}
    moment = time.time()
    occurred_at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))
    data = {
        "record_type": "event",
        "event_type": kind,
        "id": f"{next(_numbers):08x}-0000-4000-8000-000000000000",
        "occurred_at": f"{occurred_at}.{int(moment % 1 * 1e6):06d}Z",
        "payload": facts,
    }
    return {"data": data, "meta": {"attempt": 1, "delivered_to": "https://bridge.example.org"}}


# Sockets -----------------------------------------------------------------------------------------


class Line:
    """One media socket of a carrier, with a playback clock that returns marks in time."""

    def __init__(self, socket: ClientConnection, carrier: str, call_id: str) -> None:
        self.socket = socket
        self.carrier = carrier
        self.provider_call_id = call_id
        self.stream_id = f"MZ{next(_numbers):032x}"
        self.media: list[bytes] = []
        self.messages: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        self._chunk = 0
        self._sequence = 1
        self._played_s = 0.0
        self._reading = asyncio.create_task(self._read())

    @property
    def heard(self) -> bytes:
        return b"".join(self.media)

    async def start(self, **fields: Any) -> None:
        """`connected` and `start`."""
        if self.carrier == "twilio":
            await self.send({"event": "connected", "protocol": "Call", "version": "1.0.0"})
            start = {
                "accountSid": ACCOUNT,
                "streamSid": self.stream_id,
                "callSid": self.provider_call_id,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": {},
                **fields,
            }
        else:
            await self.send({"event": "connected", "version": "1.0.0"})
            start = {
                "user_id": "u",
                "call_control_id": self.provider_call_id,
                "from": "+14155550100",
                "to": "+14155550123",
                "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1},
                **fields,
            }
        await self.tell("start", start, sequence="1")

    async def say(self, sound: bytes, *, paced: bool = False) -> None:
        """Frames of this sound; all at once unless `paced`."""
        began = time.monotonic()
        for at in range(0, len(sound), FRAME_BYTES):
            payload = base64.b64encode(sound[at : at + FRAME_BYTES]).decode()
            timestamp = str(155 + self._chunk * FRAME_MS)
            self._chunk += 1
            chunk = str(self._chunk)
            body = {"track": "inbound", "chunk": chunk, "timestamp": timestamp, "payload": payload}
            await self.tell("media", body)
            if paced:
                due = began + (at + FRAME_BYTES) / 8000
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def press(self, digit: str) -> None:
        await self.tell("dtmf", {"track": "inbound_track", "digit": digit})

    async def stop(self) -> None:
        """The carrier's goodbye: `stop`, then the close."""
        await self.tell("stop", {"callSid": self.provider_call_id, "accountSid": ACCOUNT})
        await self.socket.close()

    async def tell(self, event: str, body: dict[str, Any], *, sequence: str | None = None) -> None:
        self._sequence += 1
        number = sequence or str(self._sequence)
        if self.carrier == "twilio":
            about = {"sequenceNumber": number, "streamSid": self.stream_id}
        else:
            about = {"sequence_number": number, "stream_id": self.stream_id}
        await self.send({"event": event, **about, event: body})

    async def send(self, message: dict[str, Any]) -> None:
        await self.socket.send(json.dumps(message))

    async def closed(self) -> int:
        """The code that the socket was closed with."""
        async with asyncio.timeout(WAIT_S):
            await self.socket.wait_closed()
        code = self.socket.close_code
        assert code is not None
        return code

    async def leave(self) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        try:
            async for message in self.socket:
                self._take(message)
        except ConnectionClosed:
            return

    def _take(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self.complaints.append("31950: binary")
            return
        told = json.loads(message)
        self.messages.append(told)
        allowed = {
            "media": {"event", "media"},
            "mark": {"event", "mark"},
            "clear": {"event"},
        }.get(told.get("event"))
        if allowed is not None and self.carrier == "twilio":
            allowed |= {"streamSid"}
        if allowed is None or set(told) != allowed:
            self.complaints.append(f"31951: {sorted(told)}")
            return
        if told.get("streamSid", self.stream_id) != self.stream_id:
            self.complaints.append("31951: wrong stream")
        if told["event"] == "media":
            sound = base64.b64decode(told["media"]["payload"], validate=True)
            if set(told["media"]) != {"payload"} or not sound:
                self.complaints.append("31951: media")
            self.media.append(sound)
            self._played_s = max(self._played_s, time.monotonic()) + len(sound) / 8000
        elif told["event"] == "mark":
            waits_s = max(0.0, self._played_s - time.monotonic())
            asyncio.get_running_loop().call_later(waits_s, self._echo, told["mark"])

    def _echo(self, mark: dict[str, str]) -> None:
        if not self._reading.done():
            task = asyncio.create_task(self._send_quietly(mark))
            self._echoes.add(task)
            task.add_done_callback(self._echoes.discard)

    _echoes: set[asyncio.Task[None]] = set()

    async def _send_quietly(self, mark: dict[str, str]) -> None:
        try:
            await self.tell("mark", mark)
        except ConnectionClosed:
            return


def upgrade_headers(
    target: str, *, public_url: str = PUBLIC_URL, token: str = AUTH_TOKEN, slash: bool = False
) -> dict[str, str]:
    """What Twilio signs an upgrade with."""
    url = "ws" + public_url.removeprefix("http") + target + ("/" if slash else "")
    return {"x-twilio-signature": RequestValidator(token).compute_signature(url, {})}


@asynccontextmanager
async def line(
    ws_url: str,
    target: str,
    carrier: str,
    call_id: str,
    *,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[Line]:
    """A media socket, opened as this carrier opens them."""
    if headers is None:
        headers = upgrade_headers(target) if carrier == "twilio" else {}
    agent = "Twilio.TmeWs/1.0" if carrier == "twilio" else "telnyx"
    async with connect(
        ws_url + target,
        additional_headers=dict(headers),
        user_agent_header=agent,
        compression=None,
        ping_interval=None,
        close_timeout=1,
    ) as socket:
        opened = Line(socket, carrier, call_id)
        try:
            yield opened
        finally:
            await opened.leave()


async def knock(ws_url: str, target: str, headers: Mapping[str, str] | None = None) -> int:
    """The HTTP status with which an upgrade is answered."""
    try:
        async with connect(
            ws_url + target, additional_headers=dict(headers or {}), compression=None
        ):
            return 101
    except InvalidStatus as refusal:
        return refusal.response.status_code


def target_of(stream_url: str, public_url: str = PUBLIC_URL) -> str:
    """Where a stream URL leads once the proxy has cut the prefix off."""
    base = "ws" + public_url.removeprefix("http")
    assert stream_url.startswith(base + "/"), urlsplit(stream_url).netloc
    return stream_url.removeprefix(base)
