"""Twilio Media Streams: the JSON messages of one bidirectional `<Connect><Stream>` socket.

Follows "Media Streams - WebSocket Messages". Sound passes in the form it came in; nothing is
resampled. Numbers arrive as text, sometimes as numbers: both are taken. Errors name the field that
is wrong and never what stands in it.
"""

import re
from binascii import b2a_base64
from collections.abc import Callable
from typing import Annotated, assert_never

import msgspec
from msgspec import Meta, Struct

from service.core.audio import SILENCE_BYTE, AudioFrame, Encoding, MediaFormat, Party
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
from service.core.reorder import Gap, Reorder

CONCEALED_MS = 500  # a longer hole is no lost frame: the stream stood still, time goes on after it
ENCODINGS = {
    "audio/x-mulaw": Encoding.PCMU,
    "audio/x-alaw": Encoding.PCMA,
    "audio/x-l16": Encoding.L16,
}
SAMPLE_RATES_HZ = range(8000, 48_001)
DIGITS = frozenset("0123456789*#ABCD")

_Count = Annotated[int, Meta(ge=0, lt=2**48)]  # nothing that is counted on a call gets there


class _Format(Struct, rename="camel"):
    encoding: str
    sample_rate: int
    channels: int = 1


class _StartBody(Struct, rename="camel"):
    call_sid: str
    media_format: _Format
    custom_parameters: dict[str, str] | None = None


class _MediaBody(Struct, gc=False):
    track: str
    chunk: _Count
    timestamp: _Count
    payload: bytes  # msgspec decodes the base64 while it reads


class _DtmfBody(Struct):
    digit: str


class _MarkBody(Struct):
    name: str


class _Connected(Struct, tag_field="event", tag="connected"):
    pass


class _Start(Struct, tag_field="event", tag="start", rename="camel"):
    stream_sid: str
    start: _StartBody


class _Media(Struct, tag_field="event", tag="media", rename="camel", gc=False):
    stream_sid: str
    media: _MediaBody


class _Dtmf(Struct, tag_field="event", tag="dtmf", rename="camel"):
    stream_sid: str
    dtmf: _DtmfBody


class _Mark(Struct, tag_field="event", tag="mark", rename="camel"):
    stream_sid: str
    mark: _MarkBody


class _Stop(Struct, tag_field="event", tag="stop", rename="camel"):
    stream_sid: str


class _Any(Struct):
    event: str


_Message = _Media | _Mark | _Dtmf | _Start | _Stop | _Connected
_KINDS = frozenset({"media", "mark", "dtmf", "start", "stop", "connected"})
_json = msgspec.json.Encoder()
_decode: Callable[[str], _Message]
_decode = msgspec.json.Decoder(_Message, strict=False).decode  # not strict: "20" is a number too
_decode_kind = msgspec.json.Decoder(_Any).decode
_PLACE = re.compile(r"`\$\.?([^`]*)`$")  # how msgspec ends its messages: "... - at `$.media.chunk`"
_MISSING = re.compile(r"missing required field `(\w+)`")


class TwilioWire:
    """One socket's language; remembers its stream, and puts the frames of that in order."""

    def __init__(self) -> None:
        self._started = False
        self._stream_sid: str | None = None  # while the stream lives
        self._format = MediaFormat(Encoding.PCMU)
        self._sample_bytes = 1
        self._order = Reorder[_MediaBody]()
        self._began_ms: int | None = None  # the carrier's time of the first frame
        self._end_ms = 0  # media time up to which sound was handed on
        self._usual_bytes = 0  # frames are nearly always of one length: its duration is kept
        self._usual_ms = 0
        self._media_head = self._mark_head = self._clear = ""

    def parse(self, message: str | bytes, now_ms: int) -> list[MediaEvent]:
        """The events that one message brings; ProtocolError for what breaks the rules."""
        told = _read(message)
        if isinstance(told, _Media):  # first, since 49 of 50 are
            self._check_stream(told.stream_sid)
            return self._hear(told.media, now_ms)
        if isinstance(told, _Connected):
            return []
        if isinstance(told, _Start):
            return [self._start(told)]
        self._check_stream(told.stream_sid)
        match told:
            case _Mark():
                return [MarkPlayed(told.mark.name)]
            case _Dtmf():
                return [DtmfReceived(_digit(told.dtmf.digit))]
            case _Stop():
                return self._stop()
            case _:
                assert_never(told)

    def render(self, command: CarrierCommand, now_ms: int) -> list[str | bytes]:  # noqa: ARG002
        """The message that carries the command out; none while there is no stream to name."""
        if self._stream_sid is None:
            return []
        match command:
            case PlayAudio():
                sound = b2a_base64(command.frame.data, newline=False).decode()
                return [f'{self._media_head}{sound}"}}}}'] if sound else []
            case PlaceMark():
                return [f"{self._mark_head}{_quoted(command.name)}}}}}"]
            case ClearAudio():
                return [self._clear]
            case SendDigits() | ShowText():
                return []  # no such message: digits go as tones in the media
            case _:
                assert_never(command)

    def _start(self, told: _Start) -> StreamStarted:
        if self._started:  # each stream of Twilio's has a socket of its own
            raise ProtocolError("twilio.started_twice", "event")
        body = told.start
        self._format = _media_format(body.media_format)
        self._sample_bytes = 2 if self._format.encoding is Encoding.L16 else 1
        self._started = True
        self._stream_sid = told.stream_sid
        sid = _quoted(told.stream_sid)
        self._media_head = f'{{"event":"media","streamSid":{sid},"media":{{"payload":"'
        self._mark_head = f'{{"event":"mark","streamSid":{sid},"mark":{{"name":'
        self._clear = f'{{"event":"clear","streamSid":{sid}}}'
        return StreamStarted(
            told.stream_sid, body.call_sid, self._format, body.custom_parameters or {}
        )

    def _check_stream(self, stream_sid: str) -> None:
        if stream_sid == self._stream_sid:
            return
        if self._stream_sid is None:
            raise ProtocolError("twilio.not_started", "event")
        raise ProtocolError("twilio.wrong_stream", "streamSid")

    def _hear(self, media: _MediaBody, now_ms: int) -> list[MediaEvent]:
        if media.track != "inbound":
            return []
        if not media.payload:
            self._order.in_turn(media.chunk)
            return []
        if len(media.payload) % self._sample_bytes:
            raise ProtocolError("twilio.malformed", "media.payload")
        if self._order.in_turn(media.chunk):
            return [self._received(media)]
        return self._put_right(self._order.push(media.chunk, media, now_ms))

    def _put_right(self, ready: list[_MediaBody | Gap]) -> list[MediaEvent]:
        events: list[MediaEvent] = []
        gap: Gap | None = None
        for item in ready:
            if isinstance(item, Gap):
                gap = item
                continue
            end_ms = self._end_ms
            received = self._received(item)
            hole_ms = received.frame.start_ms - end_ms
            if gap is not None and 0 < hole_ms <= CONCEALED_MS:
                events.append(MediaReceived(self._silence(end_ms, hole_ms), gap.first))
            events.append(received)
            gap = None
        return events

    def _received(self, media: _MediaBody) -> MediaReceived:
        """Media time counts from the first frame and never runs back, whatever is told."""
        data = media.payload
        if len(data) != self._usual_bytes:
            self._usual_bytes = len(data)
            self._usual_ms = self._format.duration_ms(len(data))
        if self._began_ms is None:
            self._began_ms = media.timestamp
        start_ms = media.timestamp - self._began_ms
        if start_ms < self._end_ms:
            start_ms = self._end_ms
        self._end_ms = start_ms + self._usual_ms
        frame = AudioFrame(data, self._format, start_ms, self._usual_ms, Party.REMOTE)
        return MediaReceived(frame, media.chunk)

    def _silence(self, start_ms: int, duration_ms: int) -> AudioFrame:
        samples = duration_ms * self._format.sample_rate_hz // 1000
        width = 2 if self._format.encoding is Encoding.L16 else 1
        data = SILENCE_BYTE.get(self._format.encoding, b"\x00") * (samples * width)
        return AudioFrame(data, self._format, start_ms, duration_ms, Party.REMOTE)

    def _stop(self) -> list[MediaEvent]:
        events = self._put_right(self._order.flush())
        self._stream_sid = None
        return [*events, StreamStopped("stop")]


def _read(message: str | bytes) -> _Message:
    if not isinstance(message, str):
        raise ProtocolError("twilio.binary_message")
    try:
        return _decode(message)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as fault:
        raise _explained(message, str(fault)) from None


def _explained(message: str, fault: str) -> ProtocolError:
    try:
        kind = _decode_kind(message).event
    except msgspec.ValidationError:
        return ProtocolError("twilio.malformed", "event")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ProtocolError("twilio.not_json")
    if kind not in _KINDS:
        return ProtocolError("twilio.unknown_event", "event")
    names = [found[1] for found in (_PLACE.search(fault), _MISSING.search(fault)) if found]
    return ProtocolError("twilio.malformed", ".".join(names))


def _quoted(text: str) -> str:
    return _json.encode(text).decode()


def _digit(told: str) -> str:
    digit = told.upper()
    if digit not in DIGITS:
        raise ProtocolError("twilio.malformed", "dtmf.digit")
    return digit


def _media_format(told: _Format) -> MediaFormat:
    encoding = ENCODINGS.get(told.encoding.lower())
    if encoding is None:
        raise ProtocolError("twilio.unsupported_format", "start.mediaFormat.encoding")
    if told.sample_rate not in SAMPLE_RATES_HZ:
        raise ProtocolError("twilio.unsupported_format", "start.mediaFormat.sampleRate")
    if told.channels != 1:
        raise ProtocolError("twilio.unsupported_format", "start.mediaFormat.channels")
    return MediaFormat(encoding, told.sample_rate)
