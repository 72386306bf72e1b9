"""The engine lane: what an engine said and what it was told, as lines of a cassette and back.

Sound is PCMU at 8 kHz in every cassette, whatever the call's own format; `Telephone` makes it so.
What an engine hears is not here: that is the carrier's media in the stream lane. Names and fields
are those of `service/core/events.py` and `commands.py`.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Any, get_args

import msgspec
from msgspec.structs import replace

from service.cassettes.cassette import CassetteError, Happening, Line
from service.core.audio import PCMU_8K, AudioFrame, Party
from service.core.commands import Instruct, Interrupt, StartTurn, TellDigit
from service.core.errors import MediaError
from service.core.events import EngineEvent, TurnAudio, TurnEnded, TurnId
from service.core.turns import PastTurn
from service.media.convert import Converter

ToldCommand = TellDigit | StartTurn | Instruct | Interrupt
"""What an engine is told, save for the sound on the line."""


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


_EVENTS: dict[str, Any] = {_snake(kind.__name__): kind for kind in get_args(EngineEvent)}
_COMMANDS: dict[str, Any] = {_snake(kind.__name__): kind for kind in get_args(ToldCommand)}


class Telephone:
    """Turns a talk's sound into what a cassette holds; a turn's last bit comes with its end."""

    def __init__(self) -> None:
        self._converters: dict[TurnId, tuple[Converter, AudioFrame]] = {}

    def convert(self, event: EngineEvent) -> list[EngineEvent]:
        """The event as it may be written: one as a rule, and one more for what was held back."""
        if isinstance(event, TurnAudio):
            return [TurnAudio(event.turn_id, self._frame(event))]
        if isinstance(event, TurnEnded) and (last := self._last(event.turn_id)) is not None:
            return [last, event]
        return [event]

    def _frame(self, event: TurnAudio) -> AudioFrame:
        frame = event.frame
        if frame.format == PCMU_8K:
            return frame
        known = self._converters.get(event.turn_id)
        converter = Converter(frame.format, PCMU_8K) if known is None else known[0]
        self._converters[event.turn_id] = converter, frame
        return replace(frame, data=converter.convert(frame.data), format=PCMU_8K)

    def _last(self, turn_id: TurnId) -> TurnAudio | None:
        known = self._converters.pop(turn_id, None)
        if known is None or not (data := known[0].flush()):
            return None
        end_ms = known[1].start_ms + known[1].duration_ms
        length_ms = PCMU_8K.duration_ms(len(data))
        return TurnAudio(turn_id, AudioFrame(data, PCMU_8K, end_ms, length_ms, Party.AGENT))


def engine_event_line(at_ms: int, event: EngineEvent) -> Line:
    """What an engine said. Its sound must be PCMU at 8 kHz: MediaError otherwise."""
    data = _audio(event) if isinstance(event, TurnAudio) else _fields(event)
    happened = Happening(_snake(type(event).__name__), data)
    return Line(at_ms=at_ms, lane="engine", from_="engine", event=happened)


def engine_event_lines(at_ms: int, telephone: Telephone, event: EngineEvent) -> list[Line]:
    """The same of an event whose sound is in the call's own format."""
    return [engine_event_line(at_ms, each) for each in telephone.convert(event)]


def engine_command_line(at_ms: int, command: ToldCommand) -> Line:
    """What an engine was told."""
    return _told(at_ms, _snake(type(command).__name__), _fields(command))


def talk_opened_line(at_ms: int, engine: str, history: Iterable[PastTurn]) -> Line:
    """A talk with this engine begins; `history` is what was said on the call before."""
    said = [_fields(turn) for turn in history]
    return _told(at_ms, "open", {"engine": engine, "history": said})


def talk_closed_line(at_ms: int) -> Line:
    """The talk is over."""
    return _told(at_ms, "close", {})


def decode_engine_event(happening: Happening) -> EngineEvent:
    """The event of a line from an engine; CassetteError when there is no such event."""
    kind, fields = _known(happening, _EVENTS)
    try:
        if kind is TurnAudio:
            fields = _frame_fields(fields)
        event: EngineEvent = msgspec.convert(fields, kind)
    except (msgspec.ValidationError, KeyError, ValueError) as error:
        raise _fault(happening, error) from None
    return event


def decode_engine_command(happening: Happening) -> ToldCommand:
    """The command of a line to an engine, but not `open` or `close`; CassetteError if none."""
    kind, fields = _known(happening, _COMMANDS)
    try:
        command: ToldCommand = msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise _fault(happening, error) from None
    return command


def _told(at_ms: int, kind: str, data: dict[str, Any]) -> Line:
    return Line(at_ms=at_ms, lane="engine", from_="bridge", event=Happening(kind, data))


def _fields(struct: msgspec.Struct) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(struct)
    return {name: value for name, value in fields.items() if value is not None}


def _audio(event: TurnAudio) -> dict[str, Any]:
    frame = event.frame
    if frame.format != PCMU_8K:
        raise MediaError("media.unsupported_format", f"{frame.format.encoding} in a cassette")
    return {
        "turn_id": event.turn_id,
        "audio": b64encode(frame.data).decode(),
        "start_ms": frame.start_ms,
        "duration_ms": frame.duration_ms,
    }


def _frame_fields(fields: dict[str, Any]) -> dict[str, Any]:
    frame = {
        "data": b64decode(fields["audio"], validate=True),
        "format": PCMU_8K,
        "start_ms": fields["start_ms"],
        "duration_ms": fields["duration_ms"],
        "party": Party.AGENT,
    }
    return {"turn_id": fields["turn_id"], "frame": msgspec.convert(frame, AudioFrame)}


def _known(happening: Happening, kinds: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    kind = kinds.get(happening.type)
    if kind is None:
        raise CassetteError("cassette.engine_lane", f"unknown type {happening.type}")
    return kind, happening.data


def _fault(happening: Happening, error: Exception) -> CassetteError:
    what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
    return CassetteError("cassette.engine_lane", f"{happening.type}: {what}")
