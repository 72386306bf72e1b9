"""The language of the softphone's socket: JSON as text, 8 kHz µ-law as binary, both ways.

The page keeps the carriers' rules: a mark comes back when everything sent before it was played,
at once when nothing is queued, and every waiting one on a clear. This file promises not to touch
the sound and not to decide who may call.

    page -> us   {"event":"start","call":UUID,"agent":NAME?}   then binary n * 160 bytes,
                 {"event":"dtmf","digit":"5"}  {"event":"mark","name":NAME}  {"event":"stop"}
    us -> page   {"event":"call","call_id":ID}                 then binary,
                 {"event":"mark","name":NAME}  {"event":"clear"},
                 {"event":"text","who":"agent"|"caller","turn_id":ID,"text":TEXT}
The text of an agent's turn comes in pieces to be joined, a caller's whole and then better.
"""

from typing import Annotated, assert_never

import msgspec
from msgspec import Meta, Struct

from service.core.audio import FRAME_MS, PCMU_8K, AudioFrame, Party
from service.core.calls import CallId
from service.core.commands import (
    CarrierCommand,
    ClearAudio,
    PlaceMark,
    PlayAudio,
    SendDigits,
    ShowText,
)
from service.core.errors import ProtocolError
from service.core.events import (
    DtmfReceived,
    MarkPlayed,
    MediaEvent,
    MediaReceived,
    StreamStarted,
    StreamStopped,
)

FRAME_BYTES = 160
MAX_MEDIA_BYTES = 8000
"""A second of sound in one message: more is no live microphone."""

_UUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z"


class _Start(Struct, frozen=True, tag_field="event", tag="start"):
    call: Annotated[str, Meta(pattern=_UUID)]
    agent: Annotated[str, Meta(min_length=1, max_length=128)] | None = None


class _Dtmf(Struct, frozen=True, tag_field="event", tag="dtmf"):
    digit: Annotated[str, Meta(pattern=r"^[0-9*#A-D]\Z")]


class _Mark(Struct, frozen=True, tag_field="event", tag="mark"):
    name: Annotated[str, Meta(min_length=1, max_length=256)]


class _Stop(Struct, frozen=True, tag_field="event", tag="stop"):
    pass


_Message = _Start | _Dtmf | _Mark | _Stop

_decoder: msgspec.json.Decoder[_Message] = msgspec.json.Decoder(_Message)


def announce(call_id: CallId) -> str:
    """The message that tells the page which call it is, so that it can follow the events."""
    return _text({"event": "call", "call_id": call_id})


class BrowserWire:
    """One softphone's socket. Counts the sound that arrived: that is the stream's time."""

    def __init__(self) -> None:
        self._started = False
        self._heard_bytes = 0
        self._sequence = 0

    def parse(self, message: str | bytes, now_ms: int) -> list[MediaEvent]:  # noqa: ARG002
        """One event per message. ProtocolError names what is wrong, never what was sent."""
        if isinstance(message, bytes):
            return [self._media(message)]
        said = _decode(message)
        if isinstance(said, _Start):
            return [self._start(said)]
        self._require_start()
        match said:
            case _Dtmf():
                return [DtmfReceived(said.digit)]
            case _Mark():
                return [MarkPlayed(said.name)]
            case _Stop():
                return [StreamStopped("hung_up")]

    def render(self, command: CarrierCommand, now_ms: int) -> list[str | bytes]:  # noqa: ARG002
        """The message for a command; none for digits, since there is no line to press keys to."""
        match command:
            case PlayAudio(frame=frame):
                return [frame.data]
            case PlaceMark(name=name):
                return [_text({"event": "mark", "name": name})]
            case ClearAudio():
                return [_text({"event": "clear"})]
            case ShowText(who, turn_id, text):
                return [_text({"event": "text", "who": who, "turn_id": turn_id, "text": text})]
            case SendDigits():
                return []
            case _ as unknown:
                assert_never(unknown)

    def _start(self, start: _Start) -> StreamStarted:
        if self._started:
            raise ProtocolError("browser.bad_message", "start: sent twice")
        self._started = True
        return StreamStarted(
            stream_id=start.call,
            provider_call_id=start.call,
            format=PCMU_8K,
            parameters={"agent": start.agent} if start.agent else {},
        )

    def _media(self, data: bytes) -> MediaReceived:
        self._require_start()
        if not data or len(data) % FRAME_BYTES or len(data) > MAX_MEDIA_BYTES:
            raise ProtocolError(
                "browser.bad_message",
                f"media: expected a multiple of {FRAME_BYTES} bytes, {MAX_MEDIA_BYTES} at most",
            )
        frame = AudioFrame(
            data=data,
            format=PCMU_8K,
            start_ms=PCMU_8K.duration_ms(self._heard_bytes),
            duration_ms=len(data) // FRAME_BYTES * FRAME_MS,
            party=Party.REMOTE,
        )
        self._heard_bytes += len(data)
        self._sequence += 1
        return MediaReceived(frame, self._sequence)

    def _require_start(self) -> None:
        if not self._started:
            raise ProtocolError("browser.bad_message", "the first message must be start")


def _text(message: dict[str, str]) -> str:
    return msgspec.json.encode(message).decode()


def _decode(message: str) -> _Message:
    try:
        return _decoder.decode(message)
    except msgspec.ValidationError as fault:
        # msgspec names the place and the rule. It repeats what was sent for one thing only: an
        # unknown tag, so that text is not passed on.
        where = "unknown event" if "Invalid value" in str(fault) else str(fault)
        raise ProtocolError("browser.bad_message", where) from None
    except msgspec.DecodeError:
        raise ProtocolError("browser.bad_message", "not JSON") from None
