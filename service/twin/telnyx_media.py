"""Telnyx's media frames, written and checked as its "Media Streaming over WebSockets" has them.

Numbers are strings, the payload is bare codec bytes, and a frame that cannot be read is answered
with an `error` frame whose code is a number.
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from service.core.audio import FRAME_MS, Encoding
from service.media.g711 import decode_pcmu, encode_pcma
from service.twin.line import Bad, Clear, JsonObject, Order, PlaceMark, Play

_BYTES_PER_MS = 8
_MIN_MEDIA_BYTES = 160  # 20 ms
_MAX_MEDIA_BYTES = 240_000  # 30 s
_ERRORS = {100002: "unknown_error", 100003: "malformed_frame", 100004: "invalid_media"}


class TelnyxMedia:
    """The frames of one stream; `encoding` is that of the sound which goes to the bridge.

    `call` is what `start` says of the call: its ids, numbers, client_state, custom_parameters.
    """

    def __init__(
        self,
        *,
        stream_id: str,
        encoding: Encoding,
        call: JsonObject,
        utc: Callable[[], datetime],
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self._more = more or {}  # in every frame
        self._stream_id = stream_id
        self._encoding = encoding
        self._call = call
        self._utc = utc
        self._sequence = 0
        self._chunk = 0
        self._at_ms = 0

    def start(self) -> JsonObject:
        """What comes before all media."""
        encoding = {"encoding": self._encoding.value, "sample_rate": 8000, "channels": 1}
        return self._frame("start", start={**self._call, "media_format": encoding})

    def media(self, pcmu: bytes) -> JsonObject:
        """The next frame; usually 20 ms."""
        self._chunk += 1
        self._at_ms += len(pcmu) // _BYTES_PER_MS
        payload = encode_pcma(decode_pcmu(pcmu)) if self._encoding is Encoding.PCMA else pcmu
        media = {
            "track": "inbound",
            "chunk": str(self._chunk),
            "timestamp": str(self._at_ms),
            "payload": base64.b64encode(payload).decode(),
        }
        return self._frame("media", media=media)

    def skip_media(self) -> None:
        """Frames that were lost leave a gap in every count."""
        self._chunk += 1
        self._sequence += 1
        self._at_ms += FRAME_MS

    def digit(self, digit: str) -> JsonObject:
        """A key press."""
        return self._frame("dtmf", occurred_at=stamp(self._utc()), dtmf={"digit": digit})

    def mark(self, name: str) -> JsonObject:
        """A mark that comes back."""
        return self._frame("mark", mark={"name": name})

    def stop(self) -> JsonObject:
        """The end."""
        ids = {name: self._call[name] for name in ("user_id", "call_control_id")}
        return self._frame("stop", stop=ids)

    def accept(self, message: str | bytes) -> list[Order]:
        """What is asked for; 100003 and 100004 as `error` frames, binary dropped in silence."""
        if isinstance(message, bytes):
            return [Bad("binary", "a binary frame is dropped")]
        try:
            return self._orders(message)
        except _Refused as refused:
            code, detail = refused.args
            payload = {"code": code, "title": _ERRORS[code], "detail": detail}
            reply = {"event": "error", "stream_id": self._stream_id, "payload": payload}
            return [Bad(str(code), detail, reply)]

    def _orders(self, message: str) -> list[Order]:
        body = _json_object(message)
        match body.get("event"):
            case "clear":
                _check_keys(body, set())
                return [Clear()]
            case "mark":
                return [PlaceMark(_content(body, "mark", "name"))]
            case "media":
                return _sound(_content(body, "media", "payload"))
            case _:
                raise _Refused(100003, "unknown event")

    def _frame(self, event: str, **content: Any) -> JsonObject:
        self._sequence += 1
        ids = {"event": event, "sequence_number": str(self._sequence)}
        return {**ids, "stream_id": self._stream_id, **content, **self._more}


def connected(auth_token: str) -> JsonObject:
    """The first frame on a socket."""
    frame: JsonObject = {"event": "connected", "version": "1.0.0"}
    if auth_token:
        frame["connected"] = {"x-telnyx-streaming-auth-token": auth_token}
    return frame


def stamp(at: datetime) -> str:
    """A time as Telnyx writes it: microseconds and Z."""
    return f"{at:%Y-%m-%dT%H:%M:%S.%f}Z"


class _Refused(Exception):
    """(code, detail)."""


def _json_object(message: str) -> JsonObject:
    try:
        body = json.loads(message)
    except ValueError:
        raise _Refused(100003, "not JSON") from None
    if not isinstance(body, dict):
        raise _Refused(100003, "not an object")
    return body


def _check_keys(body: JsonObject, wanted: set[str]) -> None:
    if body.keys() - {"event", "stream_id"} != wanted:
        raise _Refused(100003, "extra or missing keys")


def _content(body: JsonObject, event: str, name: str) -> str:
    _check_keys(body, {event})
    content = body[event]
    if not isinstance(content, dict) or content.keys() != {name}:
        raise _Refused(100003, f"{event}: extra or missing keys")
    value = content[name]
    if not isinstance(value, str):
        raise _Refused(100003, f"{event}: {name} is not a string")
    return value


def _sound(payload: str) -> list[Order]:
    try:
        data = base64.b64decode(payload, validate=True)
    except binascii.Error:
        raise _Refused(100004, "the payload is not base64") from None
    if _MIN_MEDIA_BYTES <= len(data) <= _MAX_MEDIA_BYTES:
        return [Play(data)]
    return [Bad("media_length", f"{len(data)} bytes is outside of 20 ms to 30 s"), Play(data)]
