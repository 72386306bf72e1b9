"""Twilio's media messages, written and checked as its "WebSocket Messages" page has them.

Numbers are strings, `sequenceNumber` counts all messages after `connected`, `chunk` counts media
alone, and a message of the bridge with one key too many or too few is not taken.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from service.twin.line import Bad, Clear, JsonObject, Order, PlaceMark, Play

_FIRST_TIMESTAMP_MS = 155
_FRAME_MS = 20
_BYTES_PER_MS = 8

_SHAPES = {
    "media": ({"event", "streamSid", "media"}, {"payload"}),
    "mark": ({"event", "streamSid", "mark"}, {"name"}),
    "clear": ({"event", "streamSid"}, set[str]()),
}


class TwilioMedia:
    """The messages of one stream."""

    def __init__(
        self,
        *,
        account_sid: str,
        call_sid: str,
        stream_sid: str,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self._more = more or {}  # in every message
        self._account_sid = account_sid
        self._call_sid = call_sid
        self._stream_sid = stream_sid
        self._sequence = 0
        self._chunk = 0
        self._at_ms = _FIRST_TIMESTAMP_MS
        self._reported: set[str] = set()

    def opening(self, parameters: dict[str, str]) -> tuple[JsonObject, JsonObject]:
        """`connected` and `start`."""
        start = {
            "accountSid": self._account_sid,
            "streamSid": self._stream_sid,
            "callSid": self._call_sid,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": parameters,
        }
        connected = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
        return connected, self._message("start", start=start)

    def media(self, pcmu: bytes) -> JsonObject:
        """The next frame; usually 20 ms."""
        self._chunk += 1
        media = {
            "track": "inbound",
            "chunk": str(self._chunk),
            "timestamp": str(self._at_ms),
            "payload": base64.b64encode(pcmu).decode(),
        }
        self._at_ms += len(pcmu) // _BYTES_PER_MS
        return self._message("media", media=media)

    def skip_media(self) -> None:
        """A frame that was lost: it leaves a gap in every count."""
        self._chunk += 1
        self._sequence += 1
        self._at_ms += _FRAME_MS

    def digit(self, digit: str) -> JsonObject:
        """A key press; here the track is called `inbound_track`."""
        return self._message("dtmf", dtmf={"track": "inbound_track", "digit": digit})

    def mark(self, name: str) -> JsonObject:
        """A mark that comes back."""
        return self._message("mark", mark={"name": name})

    def stop(self) -> JsonObject:
        """The end."""
        stop = {"accountSid": self._account_sid, "callSid": self._call_sid}
        return self._message("stop", stop=stop)

    def accept(self, message: str | bytes) -> list[Order]:
        """31950 for what is not JSON text, 31951 for what breaks the schema; once per stream."""
        try:
            return [self._order(message)]
        except _Refused as refused:
            if refused.code in self._reported:
                return []
            self._reported.add(refused.code)
            return [Bad(refused.code, refused.detail)]

    def _order(self, message: str | bytes) -> Order:
        if isinstance(message, bytes):
            raise _Refused("31950", "a binary message")
        body = _json_object(message)
        event = body.get("event")
        if not isinstance(event, str) or event not in _SHAPES:
            raise _Refused("31951", "unknown event")
        outer, inner = _SHAPES[event]
        if body.keys() != outer:
            raise _Refused("31951", f"{event}: extra or missing keys")
        if body["streamSid"] != self._stream_sid:
            raise _Refused("31951", f"{event}: wrong streamSid")
        if event == "clear":
            return Clear()
        content = body[event]
        if not isinstance(content, dict) or content.keys() != inner:
            raise _Refused("31951", f"{event}: extra or missing keys in {event}")
        value = content.popitem()[1]
        if not isinstance(value, str):
            raise _Refused("31951", f"{event}: not a string")
        return PlaceMark(value) if event == "mark" else Play(_payload(value))

    def _message(self, event: str, **content: Any) -> JsonObject:
        self._sequence += 1
        counted = {"event": event, "sequenceNumber": str(self._sequence)}
        return {**counted, **content, "streamSid": self._stream_sid, **self._more}


class _Refused(Exception):
    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def _json_object(message: str) -> JsonObject:
    try:
        body = json.loads(message)
    except ValueError:
        raise _Refused("31950", "not JSON") from None
    if not isinstance(body, dict):
        raise _Refused("31951", "not an object")
    return body


def _payload(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        raise _Refused("31951", "media: the payload is not base64") from None
