"""Telnyx media streaming: the JSON messages of one bidirectional socket in `rtp` mode.

Payloads are the bare codec bytes both ways, without RTP headers. What arrives is what `start`
declares, whatever was asked for; what we send is always 8 kHz µ-law. Sound is never resampled.
Numbers arrive as text or as numbers. Errors name the field that is wrong, never what stands in it.
Telnyx documentation, "Media Streaming over WebSockets".
"""

import re
from typing import Annotated, assert_never

import msgspec
from msgspec import Meta, Struct

from service.core.audio import (
    FRAME_MS,
    PCMU_8K,
    SILENCE_BYTE,
    AudioFrame,
    Encoding,
    MediaFormat,
    Party,
)
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
    StreamFaulted,
    StreamStarted,
    StreamStopped,
)
from service.core.reorder import Gap, Reorder

CONCEALED_MS = 500  # a longer hole is no lost frame: the stream stood still, time goes on after it
MIN_SENT_BYTES = 160  # 20 ms: shorter messages are outside the documented range
DIGITS = frozenset("0123456789*#ABCD")

FORMATS = {
    "PCMU": (Encoding.PCMU, frozenset({8000})),
    "PCMA": (Encoding.PCMA, frozenset({8000})),
    # Telnyx does not document the byte order. A project that feeds live calls to a recogniser
    # found little-endian; two others say so, two say the opposite (seen 2026-01).
    "L16": (Encoding.PCM16, frozenset({8000, 16_000, 24_000, 48_000})),
}
"""`media_format.encoding` to what we call it, and its sample rates."""


class _Format(Struct):
    encoding: str = "PCMU"
    sample_rate: int = 8000
    channels: int = 1


class _StartBody(Struct):
    call_control_id: Annotated[str, Meta(min_length=1)]
    media_format: _Format | None = None
    # Nothing that these could hold is worth losing a call for, so any type will do.
    custom_parameters: object = None
    from_: object = msgspec.field(default=None, name="from")
    to: object = None


class _MediaBody(Struct, gc=False):
    payload: bytes  # msgspec decodes the base64 while it reads
    chunk: Annotated[int, Meta(ge=0, lt=2**48)]  # no call lasts that long
    track: str = "inbound"


class _DtmfBody(Struct):
    digit: str


class _MarkBody(Struct):
    name: str


class _ErrorBody(Struct):
    code: int = 0
    title: str = ""


class _Connected(Struct, tag_field="event", tag="connected"):
    pass


class _Start(Struct, tag_field="event", tag="start"):
    stream_id: Annotated[str, Meta(min_length=1)]
    start: _StartBody


class _Media(Struct, tag_field="event", tag="media", gc=False):
    media: _MediaBody
    stream_id: str | None = None


class _Dtmf(Struct, tag_field="event", tag="dtmf"):
    dtmf: _DtmfBody
    stream_id: str | None = None


class _Mark(Struct, tag_field="event", tag="mark"):
    mark: _MarkBody
    stream_id: str | None = None


class _Stop(Struct, tag_field="event", tag="stop"):
    stream_id: str | None = None


class _Error(Struct, tag_field="event", tag="error"):
    payload: _ErrorBody


class _Any(Struct):
    event: str


_Message = _Media | _Mark | _Dtmf | _Start | _Stop | _Error | _Connected
_KINDS = frozenset({"media", "mark", "dtmf", "start", "stop", "error", "connected"})
_decode = msgspec.json.Decoder(_Message, strict=False).decode  # not strict: "20" is a number too
_decode_kind = msgspec.json.Decoder(_Any).decode
_encode = msgspec.json.Encoder().encode  # bytes become base64
_FAULTY_FIELD = re.compile(r"at `\$\.([a-z_.]+)")
_MISSING_FIELD = re.compile(r"missing required field `([a-z_]+)`")
_TITLE = re.compile(r"[A-Za-z_ ]{1,64}")

_REMOTE = Party.REMOTE  # an enum's member costs as much to look up as a frame to make
_CLEAR = '{"event":"clear"}'


class TelnyxWire:
    """One socket's language; remembers its stream, and puts that stream's frames in order."""

    def __init__(self) -> None:
        self._stream_id = ""  # none
        self._control_id = ""
        self._begin(PCMU_8K)

    def parse(self, message: str | bytes, now_ms: int) -> list[MediaEvent]:
        """The events that one message brings; ProtocolError for what breaks the rules."""
        if not isinstance(message, str):
            raise ProtocolError("telnyx.binary_message")
        try:
            told = _decode(message)
        except (msgspec.MsgspecError, ValueError, RecursionError) as fault:
            raise _explain(message, fault) from None
        if type(told) is _Media and told.stream_id == self._stream_id != "":
            return self._hear(told.media, now_ms)
        return self._take(told, now_ms)

    def render(self, command: CarrierCommand, now_ms: int) -> list[str | bytes]:  # noqa: ARG002
        """The message for a command; none for keys, which Telnyx takes by REST only."""
        match command:
            case PlayAudio(frame=frame):
                data = frame.data
                if len(data) < MIN_SENT_BYTES:
                    if not data:
                        return []
                    data = data.ljust(MIN_SENT_BYTES, SILENCE_BYTE[Encoding.PCMU])
                return [f'{{"event":"media","media":{{"payload":{_encode(data).decode()}}}}}']
            case PlaceMark(name=name):
                return [f'{{"event":"mark","mark":{{"name":{_encode(name).decode()}}}}}']
            case ClearAudio():
                return [_CLEAR]
            case SendDigits() | ShowText():
                return []
            case _:
                assert_never(command)

    def _take(self, told: _Message, now_ms: int) -> list[MediaEvent]:
        match told:
            case _Media():
                self._require_stream(told.stream_id)
                return self._hear(told.media, now_ms)
            case _Mark():
                self._require_stream(told.stream_id)
                return [MarkPlayed(told.mark.name)]
            case _Dtmf():
                self._require_stream(told.stream_id)
                return [DtmfReceived(_digit(told.dtmf.digit))]
            case _Stop():
                self._require_stream(told.stream_id)
                return self._stop()
            case _Start():
                return self._start(told)
            case _Error():
                return [_faulted(told.payload)]
            case _Connected():
                return []
            case _:
                assert_never(told)

    def _begin(self, media_format: MediaFormat) -> None:
        self._format = media_format
        self._sample_bytes = 2 if media_format.encoding is Encoding.PCM16 else 1
        self._bytes_per_s = media_format.sample_rate_hz * self._sample_bytes
        self._frame_bytes = self._bytes_per_s * FRAME_MS // 1000  # of the frame heard last
        self._usual_bytes = self._usual_ms = 0  # frames are nearly always of one length
        self._heard_bytes = 0  # of the whole stream, with what was lost: this is its time
        self._order = Reorder[_MediaBody]()

    def _start(self, told: _Start) -> list[MediaEvent]:
        """Telnyx may begin a known stream anew on the same socket: that is no second stream."""
        body = told.start
        if (told.stream_id, body.call_control_id) == (self._stream_id, self._control_id):
            return []
        self._begin(_media_format(body.media_format or _Format()))
        self._stream_id, self._control_id = told.stream_id, body.call_control_id
        return [
            StreamStarted(
                stream_id=told.stream_id,
                provider_call_id=body.call_control_id,
                format=self._format,
                parameters=_parameters(body),
                send_format=PCMU_8K,
            )
        ]

    def _stop(self) -> list[MediaEvent]:
        events = self._deliver_all(self._order.flush())
        self._stream_id = ""
        return [*events, StreamStopped("stop")]

    def _require_stream(self, stream_id: str | None) -> None:
        if not self._stream_id:
            raise ProtocolError("telnyx.not_started", "event")
        if stream_id is not None and stream_id != self._stream_id:
            raise ProtocolError("telnyx.wrong_stream", "stream_id")

    def _hear(self, media: _MediaBody, now_ms: int) -> list[MediaEvent]:
        if media.track != "inbound":
            return []  # what the person hears: the agent would listen to itself
        if len(media.payload) % self._sample_bytes:
            raise ProtocolError("telnyx.malformed", "media.payload")
        if self._order.in_turn(media.chunk):
            return self._deliver(media)
        return self._deliver_all(self._order.push(media.chunk, media, now_ms))

    def _deliver_all(self, ready: list[_MediaBody | Gap]) -> list[MediaEvent]:
        events: list[MediaEvent] = []
        for item in ready:
            events += self._conceal(item) if isinstance(item, Gap) else self._deliver(item)
        return events

    def _deliver(self, media: _MediaBody) -> list[MediaEvent]:
        if not media.payload:
            return []
        self._frame_bytes = len(media.payload)
        return [self._frame(media.payload, media.chunk)]

    def _conceal(self, gap: Gap) -> list[MediaEvent]:
        """Silence for lost frames, taken to be as long as the one before them."""
        size_bytes = gap.count * self._frame_bytes
        if size_bytes * 1000 > CONCEALED_MS * self._bytes_per_s:
            self._heard_bytes += size_bytes
            return []
        return [self._frame(SILENCE_BYTE[self._format.encoding] * size_bytes, gap.first)]

    def _frame(self, data: bytes, number: int) -> MediaReceived:
        size_bytes = len(data)
        if size_bytes != self._usual_bytes:
            self._usual_bytes = size_bytes
            self._usual_ms = size_bytes * 1000 // self._bytes_per_s
        start_ms = self._heard_bytes * 1000 // self._bytes_per_s
        self._heard_bytes += size_bytes
        return MediaReceived(
            AudioFrame(data, self._format, start_ms, self._usual_ms, _REMOTE), number
        )


def _media_format(told: _Format) -> MediaFormat:
    if told.encoding not in FORMATS:
        raise ProtocolError("telnyx.unsupported_format", "start.media_format.encoding")
    encoding, sample_rates_hz = FORMATS[told.encoding]
    if told.sample_rate not in sample_rates_hz:
        raise ProtocolError("telnyx.unsupported_format", "start.media_format.sample_rate")
    if told.channels != 1:
        raise ProtocolError("telnyx.unsupported_format", "start.media_format.channels")
    return MediaFormat(encoding, told.sample_rate)


def _parameters(body: _StartBody) -> dict[str, str]:
    """The user's own, and `from` and `to` for a call that begins with its socket."""
    own = body.custom_parameters if isinstance(body.custom_parameters, dict) else {}
    told = [*own.items(), ("from", body.from_), ("to", body.to)]  # which may be null
    return {name: value for name, value in told if isinstance(value, str)}


def _digit(told: str) -> str:
    digit = told.upper()
    if digit not in DIGITS:
        raise ProtocolError("telnyx.malformed", "dtmf.digit")
    return digit


def _faulted(told: _ErrorBody) -> StreamFaulted:
    """A title is one of a few fixed words; anything that looks otherwise is not passed on."""
    title = told.title if _TITLE.fullmatch(told.title) else "unknown_error"
    return StreamFaulted(f"telnyx.{told.code}", title)


def _explain(message: str, fault: Exception) -> ProtocolError:
    """What is wrong with a message that could not be decoded, without a word of its content."""
    try:
        kind = _decode_kind(message).event
    except msgspec.ValidationError:
        return ProtocolError("telnyx.malformed", "event")
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ProtocolError("telnyx.not_json")
    if kind not in _KINDS:
        return ProtocolError("telnyx.unknown_event", "event")
    found = (_FAULTY_FIELD.search(str(fault)), _MISSING_FIELD.search(str(fault)))
    return ProtocolError("telnyx.malformed", ".".join(f[1] for f in found if f))
