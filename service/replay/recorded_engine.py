"""An engine that says again what a cassette's engine said, so that a replay needs no other.

What answered a command answers today's after as long as then; what came of what was heard comes at
its own time in the conversation. It understands nothing and makes no sound of its own. Follows the
engine lane of `service/cassettes/engine_lane.py`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct

from service.agents import Agent
from service.ai.base import Brief, Emit, Engine
from service.ai.spoken import Spoken
from service.cassettes.cassette import Line
from service.cassettes.engine_lane import (
    ToldCommand,
    decode_engine_event,
    engine_command_line,
    talk_closed_line,
    talk_opened_line,
)
from service.core.audio import PCMU_8K, AudioFrame, MediaFormat, Party
from service.core.commands import (
    EngineCommand,
    Hear,
    Instruct,
    Interrupt,
    StartTurn,
    TellAudible,
    TellDigit,
)
from service.core.errors import EngineError
from service.core.events import (
    EngineEvent,
    EngineFailed,
    SpeechDismissed,
    SpeechStarted,
    SpeechStopped,
    SpeechSuspected,
    Transcribed,
    TurnAudio,
    TurnEnded,
    TurnId,
    TurnStarted,
    TurnText,
)
from service.engines import NAMES
from service.media.convert import Converter

_BEHIND_S = 0.0004
"""What is due in the same millisecond as a frame comes after it: it may follow from it."""

NOT_RECORDED = EngineFailed(
    "recorded.no_answer", "the cassette's engine was not asked for this turn", fatal=False
)


Tap = Callable[[Line], None]
"""Sees what the engine is told, as a line of a cassette that lacks its time."""


def _nobody(_line: Line) -> None:
    """Whoever does not listen."""


class Said(Struct, frozen=True):
    """What an engine said, this long after what it followed from."""

    after_ms: int
    event: EngineEvent


class Recorded(Struct, frozen=True):
    """One conversation of a cassette: what came of its opening, and of each command."""

    engine: str
    opening: list[Said]
    turns: deque[list[Said]]  # by the turns that were asked for
    digits: deque[list[Said]]


class RecordedEngine:
    """Has the conversations of a cassette, one after the other."""

    name = "recorded"

    def __init__(self, lines: Iterable[Line]) -> None:
        self.tap: Tap = _nobody
        self._conversations = deque(recorded_in(lines))
        self._names = [conversation.engine for conversation in self._conversations]

    def under_all_names(self) -> dict[str, Engine]:
        """This engine, under every name by which an agent may ask for one."""
        return dict.fromkeys([*sorted(NAMES), *self._names], self)

    @asynccontextmanager
    async def open(self, brief: Brief, emit: Emit) -> AsyncIterator["RecordedTalk"]:
        """The cassette's next conversation; EngineError when it has no more."""
        if not self._conversations:
            raise EngineError("recorded.no_talk", "the cassette has no further conversation")
        self.tap(talk_opened_line(0, self._conversations[0].engine, brief.history))
        talk = RecordedTalk(self._conversations.popleft(), brief.speaks, emit, self._told)
        try:
            yield talk
        finally:
            talk.close()
            self.tap(talk_closed_line(0))

    async def speak(self, _text: str, _agent: Agent) -> Spoken:
        """EngineError, always: it has no sound but the cassette's."""
        raise EngineError("recorded.no_voice", "a cassette says nothing new")

    def _told(self, command: ToldCommand) -> None:
        self.tap(engine_command_line(0, command))


def needs_no_engine(lines: Sequence[Line]) -> bool:
    """Whether the recorded engine is enough: its lane is there, or no stream ever began."""
    has_lane = any(line.lane == "engine" for line in lines)
    return has_lane or not any(_is_start(line) for line in lines)


def _is_start(line: Line) -> bool:
    return line.message is not None and line.message.get("event") == "start"


class RecordedTalk:
    """Says what was said, in the format that the line speaks today."""

    def __init__(
        self,
        recorded: Recorded,
        speaks: MediaFormat,
        emit: Emit,
        told: Callable[[ToldCommand], None],
    ) -> None:
        self._recorded = recorded
        self._told = told
        self._line = _ForTheLine(speaks)
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._speeches: list[_Speech] = []
        self._opening = self._begin(recorded.opening, int(self._loop.time() * 1000))

    def do(self, command: EngineCommand, now_ms: int) -> None:
        """Take a command; what answered it then is said again."""
        if isinstance(command, Hear):
            self._say_due(self._opening, now_ms)
        if isinstance(command, Hear | TellAudible):
            return
        self._told(command)
        match command:
            case StartTurn() if self._recorded.turns:
                self._begin(self._recorded.turns.popleft(), now_ms)
            case StartTurn():
                self._emit(NOT_RECORDED)
            case TellDigit() if self._recorded.digits:
                self._begin(self._recorded.digits.popleft(), now_ms)
            case TellDigit() | Interrupt() | Instruct():
                pass  # what was said in spite of an interruption is in the cassette

    async def hear_out(self) -> None:
        """The caller's last words are told at their time, too."""
        await self._opening.over.wait()

    def close(self) -> None:
        """Say nothing more."""
        for speech in self._speeches:
            speech.said.clear()
            if speech.timer is not None:
                speech.timer.cancel()

    def _begin(self, said: list[Said], now_ms: int) -> "_Speech":
        speech = _Speech(now_ms, deque(said), asyncio.Event())
        self._speeches.append(speech)
        self._go_on(speech)
        return speech

    def _go_on(self, speech: "_Speech") -> None:
        self._say_due(speech, int(self._loop.time() * 1000))
        if speech.said:
            due_s = (speech.began_ms + speech.said[0].after_ms) / 1000 + _BEHIND_S
            speech.timer = self._loop.call_at(due_s, self._go_on, speech)

    def _say_due(self, speech: "_Speech", now_ms: int) -> None:
        while speech.said and speech.began_ms + speech.said[0].after_ms <= now_ms:
            for event in self._line.convert(speech.said.popleft().event):
                self._emit(event)
        if not speech.said:
            speech.over.set()


class _Speech(Struct):
    """What is still to be said of what came of one thing."""

    began_ms: int
    said: deque[Said]
    over: asyncio.Event
    timer: asyncio.TimerHandle | None = None


class _ForTheLine:
    """Makes a cassette's sound that of the line; a turn's last bit comes with its end."""

    def __init__(self, speaks: MediaFormat) -> None:
        self._speaks = speaks
        self._converters: dict[TurnId, Converter] = {}

    def convert(self, event: EngineEvent) -> list[EngineEvent]:
        """The event as it may be said."""
        if self._speaks == PCMU_8K:
            return [event]
        if isinstance(event, TurnAudio):
            converter = self._converters.setdefault(event.turn_id, Converter(PCMU_8K, self._speaks))
            return self._sound(
                event.turn_id, event.frame.start_ms, converter.convert(event.frame.data)
            )
        if isinstance(event, TurnEnded) and event.turn_id in self._converters:
            rest = self._converters.pop(event.turn_id).flush()
            return [*self._sound(event.turn_id, 0, rest), event]
        return [event]

    def _sound(self, turn_id: TurnId, start_ms: int, data: bytes) -> list[EngineEvent]:
        if not data:
            return []
        length_ms = self._speaks.duration_ms(len(data))
        frame = AudioFrame(data, self._speaks, start_ms, length_ms, Party.AGENT)
        return [TurnAudio(turn_id, frame)]


def recorded_in(lines: Iterable[Line]) -> list[Recorded]:
    """The conversations of a cassette; CassetteError when an engine's line cannot be read."""
    readers: list[_Reader] = []
    for line in lines:
        if line.lane != "engine" or line.event is None:
            continue
        if line.from_ == "bridge" and line.event.type == "open":
            readers.append(_Reader(line.at_ms, str(line.event.data.get("engine", ""))))
        elif readers and line.from_ == "bridge":
            readers[-1].told(line.at_ms, line.event.type)
        elif readers:
            readers[-1].said(line.at_ms, decode_engine_event(line.event))
    return [reader.recorded for reader in readers]


class _Cause(Struct, frozen=True):
    """Something happened, and this came of it."""

    at_ms: int
    said: list[Said]


class _Reader:
    """Finds out of one conversation what followed from what."""

    def __init__(self, opened_ms: int, engine: str) -> None:
        self._opening = self._latest = self._asked = _Cause(opened_ms, [])
        self._turns: dict[TurnId, _Cause] = {}
        self.recorded = Recorded(engine, self._opening.said, deque(), deque())

    def told(self, at_ms: int, kind: str) -> None:
        """The engine was told something: what it says next may be the answer."""
        asked = {"start_turn": self.recorded.turns, "tell_digit": self.recorded.digits}.get(kind)
        if asked is not None:
            self._latest = self._asked = _Cause(at_ms, [])
            asked.append(self._asked.said)

    def said(self, at_ms: int, event: EngineEvent) -> None:
        """The engine said something."""
        self._latest = cause = self._cause(event)
        cause.said.append(Said(at_ms - cause.at_ms, event))

    def _cause(self, event: EngineEvent) -> _Cause:
        match event:
            case SpeechSuspected() | SpeechDismissed() | SpeechStarted():
                return self._opening
            case SpeechStopped() | Transcribed():
                self._asked = self._opening  # a turn that begins now answers the caller
                return self._opening
            case TurnStarted(turn_id):
                self._turns[turn_id] = self._asked
                return self._asked
            case TurnText(turn_id) | TurnAudio(turn_id) | TurnEnded(turn_id):
                return self._turns.get(turn_id, self._latest)
            case _:
                return self._latest
