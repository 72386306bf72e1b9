"""The line test: every frame goes straight back, byte for byte when the formats are equal.
Frames too short for a carrier wait until they are 20 ms.

One endless turn, or the next one where a turn is cut off. It hears nothing and says nothing of its
own.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from service.agents import Agent
from service.ai.base import Brief, Emit
from service.ai.spoken import Spoken
from service.core.audio import FRAME_MS, AudioFrame, Party
from service.core.commands import EngineCommand, Hear, Interrupt
from service.core.errors import EngineError
from service.core.events import TurnAudio, TurnId, TurnStarted
from service.media.convert import Converter
from service.media.frames import Framer


class LoopbackEngine:
    """Opens line tests. `new_id` makes a new name from a prefix."""

    name = "loopback"

    def __init__(self, new_id: Callable[[str], str]) -> None:
        self._new_id = new_id

    @asynccontextmanager
    async def open(self, brief: Brief, emit: Emit) -> AsyncIterator["LoopbackTalk"]:
        """A line test of one call."""
        yield LoopbackTalk(brief, emit, self._new_id)

    async def speak(self, _text: str, _agent: Agent) -> Spoken:
        """EngineError, always."""
        raise EngineError("engine.cannot_speak", "a line test has no voice")


class LoopbackTalk:
    """One call's line test."""

    def __init__(self, brief: Brief, emit: Emit, new_id: Callable[[str], str]) -> None:
        self._emit = emit
        self._new_id = new_id
        self._turn_id: TurnId | None = None
        self._converter = Converter(brief.hears, brief.speaks)
        self._framer = Framer(brief.speaks, Party.AGENT)
        self._as_they_are = self._converter.identity  # until a frame is too short to be sent

    def do(self, command: EngineCommand, now_ms: int) -> None:  # noqa: ARG002
        """Send a heard frame back; a turn that was cut off is followed by another."""
        if type(command) is Hear:
            self._send_back(command.frame)
        elif isinstance(command, Interrupt):
            self._turn_id = None

    async def hear_out(self) -> None:
        """A line test understands nothing, so there is nothing left to tell."""

    def _send_back(self, frame: AudioFrame) -> None:
        turn_id = self._turn_id or self._begin()
        if frame.duration_ms < FRAME_MS:
            self._as_they_are = False  # Telnyx takes 20 ms and more
        if self._as_they_are:
            self._emit(TurnAudio(turn_id, frame))
            return
        for converted in self._framer.push(self._converter.convert(frame.data)):
            self._emit(TurnAudio(turn_id, converted))

    def _begin(self) -> TurnId:
        self._turn_id = turn_id = TurnId(self._new_id("turn"))
        self._emit(TurnStarted(turn_id))
        return turn_id
