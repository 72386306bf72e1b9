"""The line test: every frame goes straight back, byte for byte when the formats are equal.

One endless turn. It hears nothing, says nothing of its own and cannot be interrupted.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from service.ai.base import Brief, Emit
from service.core.audio import AudioFrame, Party
from service.core.commands import EngineCommand, Hear
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
        yield LoopbackTalk(brief, emit, TurnId(self._new_id("turn")))


class LoopbackTalk:
    """One call's line test."""

    def __init__(self, brief: Brief, emit: Emit, turn_id: TurnId) -> None:
        self._emit = emit
        self._turn_id = turn_id
        self._started = False
        self._converter = Converter(brief.hears, brief.speaks)
        self._framer = Framer(brief.speaks, Party.AGENT)

    def do(self, command: EngineCommand, now_ms: int) -> None:  # noqa: ARG002
        """Send a heard frame back; every other command means nothing here."""
        if type(command) is not Hear:
            return
        if not self._started:
            self._started = True
            self._emit(TurnStarted(self._turn_id))
        if self._converter.identity:
            self._emit(TurnAudio(self._turn_id, command.frame))
        else:
            self._send_converted(command.frame)

    def _send_converted(self, frame: AudioFrame) -> None:
        for converted in self._framer.push(self._converter.convert(frame.data)):
            self._emit(TurnAudio(self._turn_id, converted))
