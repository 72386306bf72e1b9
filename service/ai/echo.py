"""Says back each utterance after its end: a person hears how the line treats their voice.

It does not interrupt itself: while its own voice may still be on the line it does not listen.
It understands nothing and remembers one utterance at most.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager

from service.agents import Agent
from service.ai.base import Brief, Emit
from service.ai.spoken import Speak, Spoken, tell, turn_of
from service.ai.utterance import Utterances
from service.core.audio import AudioFrame, Party
from service.core.commands import EngineCommand, Hear, Interrupt, StartTurn
from service.core.errors import EngineError, TextRefused
from service.core.events import (
    EngineEvent,
    EngineFailed,
    SpeechStopped,
    TurnAudio,
    TurnEnded,
    TurnId,
    TurnStarted,
)
from service.media.convert import Converter
from service.media.frames import Framer

UTTERANCE_MOST_MS = 30_000
OWN_VOICE_MS = 700
"""How long after its last sound the engine's voice may still come back from a slow line."""


class EchoEngine:
    """Opens echo conversations; `speak` says greetings, `new_id` makes a name from a prefix."""

    name = "echo"

    def __init__(self, new_id: Callable[[str], str], speak: Speak) -> None:
        self._new_id = new_id
        self._speak = speak

    @asynccontextmanager
    async def open(self, brief: Brief, emit: Emit) -> AsyncIterator["EchoTalk"]:
        """One call's echo."""
        talk = EchoTalk(brief, emit, self._new_id, speak=self._speak)
        try:
            yield talk
        finally:
            await talk.aclose()

    async def speak(self, text: str, _agent: Agent) -> Spoken:
        """The text in the voice that says greetings."""
        return await self._speak(text)


class EchoTalk:
    """One call's echo."""

    def __init__(
        self, brief: Brief, emit: Emit, new_id: Callable[[str], str], *, speak: Speak
    ) -> None:
        self._brief = brief
        self._emit = emit
        self._new_id = new_id
        self._speak = speak
        self._utterances = Utterances(brief.hears, most_ms=UTTERANCE_MOST_MS)
        self._heard_ms = 0  # media time up to which the person was heard
        self._deaf_until_ms = 0  # media time at which our own voice is off the line
        self._telling = asyncio.Lock()  # one turn after the other
        self._tasks: set[asyncio.Task[None]] = set()

    def do(self, command: EngineCommand, now_ms: int) -> None:  # noqa: ARG002
        """Take a command; returns at once."""
        match command:
            case Hear(frame):
                self._hear(frame)
            case StartTurn(text):
                self._start(self._say(text))
            case Interrupt():
                self._deaf_until_ms = self._heard_ms + OWN_VOICE_MS
            case _:
                pass

    async def hear_out(self) -> None:
        """An echo understands nothing, so there is nothing left to tell."""

    async def aclose(self) -> None:
        """Say nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._emit(EngineFailed("engine.crashed", type(fault).__name__))

    def _hear(self, frame: AudioFrame) -> None:
        self._heard_ms = frame.start_ms + frame.duration_ms
        if frame.start_ms < self._deaf_until_ms:
            return
        event = self._utterances.hear(frame)
        if event is not None:
            self._emit(event)
        if isinstance(event, SpeechStopped):
            frames = self._utterances.frames
            self._begin_own_voice(sum(frame.duration_ms for frame in frames))
            self._start(self._tell(self._echo_of(frames)))

    async def _say(self, text: str) -> None:
        try:
            spoken = await self._speak(text)
        except EngineError as error:
            fatal = not isinstance(error, TextRefused)
            self._emit(EngineFailed(error.code, error.detail, fatal=fatal))
            return
        self._begin_own_voice(spoken.duration_ms)
        await self._tell(turn_of(spoken, self._turn_id(), self._brief.speaks))

    async def _tell(self, turn: Iterator[EngineEvent]) -> None:
        async with self._telling:
            await tell(turn, self._emit)

    def _echo_of(self, frames: list[AudioFrame]) -> Iterator[EngineEvent]:
        turn_id = self._turn_id()
        converter = Converter(self._brief.hears, self._brief.speaks)
        framer = Framer(self._brief.speaks, Party.AGENT)
        yield TurnStarted(turn_id)
        for heard in frames:
            for frame in framer.push(converter.convert(heard.data)):
                yield TurnAudio(turn_id, frame)
        for frame in [*framer.push(converter.flush()), *framer.flush()]:
            yield TurnAudio(turn_id, frame)
        yield TurnEnded(turn_id)

    def _turn_id(self) -> TurnId:
        return TurnId(self._new_id("turn"))

    def _begin_own_voice(self, duration_ms: int) -> None:
        begins_ms = max(self._deaf_until_ms - OWN_VOICE_MS, self._heard_ms)
        self._deaf_until_ms = begins_ms + duration_ms + OWN_VOICE_MS
