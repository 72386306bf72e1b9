"""A carrier's socket and an engine, small enough to see through."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.agents import Agent
from service.ai.base import Brief, Emit
from service.ai.spoken import Spoken
from service.bridge.link import NORMAL
from service.core.audio import PCMU_8K, AudioFrame, Party
from service.core.commands import CarrierCommand, EngineCommand, PlayAudio, TellAudible
from service.core.errors import EngineError, ProtocolError
from service.core.events import (
    EngineEvent,
    MediaEvent,
    TurnAudio,
    TurnEnded,
    TurnId,
    TurnStarted,
    TurnText,
)

GARBAGE = "not a number"


class FakeCarrier:
    """Link and wire in one: a message is the number of an event, or of a command."""

    def __init__(self) -> None:
        self.sent: list[CarrierCommand] = []
        self.closed_with: int | None = None
        self.reads = asyncio.Event()
        self.answers_close = True
        self.reads.set()
        self._events: list[MediaEvent] = []
        self._rendered: list[CarrierCommand] = []
        self._messages: asyncio.Queue[str | None] = asyncio.Queue()

    def tell(self, *events: MediaEvent) -> None:
        for event in events:
            self._messages.put_nowait(str(len(self._events)))
            self._events.append(event)

    def babble(self) -> None:
        self._messages.put_nowait(GARBAGE)

    def vanish(self) -> None:
        self._messages.put_nowait(None)

    def sound(self) -> list[bytes]:
        return [c.frame.data for c in self.sent if isinstance(c, PlayAudio)]

    async def receive(self) -> str | None:
        return await self._messages.get()

    async def send(self, message: str | bytes) -> None:
        await self.reads.wait()
        self.sent.append(self._rendered[int(message)])

    async def close(self, code: int = NORMAL) -> None:
        self.closed_with = code
        self.vanish()
        if not self.answers_close:
            await asyncio.Event().wait()

    def parse(self, message: str | bytes, now_ms: int) -> list[MediaEvent]:
        if message == GARBAGE:
            raise ProtocolError("fake.garbage", "not a number")
        return [self._events[int(message)]]

    def render(self, command: CarrierCommand, now_ms: int) -> list[str | bytes]:
        self._rendered.append(command)
        return [str(len(self._rendered) - 1)]


class FakeEngine:
    """Says what the test says, and remembers what it was told."""

    def __init__(self, name: str = "echo") -> None:
        self.name = name  # agent files may name no others than there are
        self.told: list[EngineCommand] = []
        self.briefs: list[Brief] = []
        self.emit: Emit
        self.trouble: Exception | None = None
        self.may_open = asyncio.Event()
        self.may_open.set()
        self.is_open = False
        self.last_words: list[EngineEvent] = []
        self.last_words_after_s = 0.0
        self.closes_in_s = 0.0

    @asynccontextmanager
    async def open(self, brief: Brief, emit: Emit) -> AsyncIterator["FakeEngine"]:
        self.briefs.append(brief)
        self.emit = emit
        await self.may_open.wait()
        if self.trouble is not None:
            raise self.trouble
        self.is_open = True
        try:
            yield self
        finally:
            await asyncio.sleep(self.closes_in_s)
            self.is_open = False

    async def speak(self, text: str, agent: Agent) -> Spoken:
        raise EngineError("fake.no_voice", "")

    def do(self, command: EngineCommand, now_ms: int) -> None:
        if not isinstance(command, TellAudible):
            self.told.append(command)

    async def hear_out(self) -> None:
        await asyncio.sleep(self.last_words_after_s)
        for event in self.last_words:
            self.emit(event)

    def say(self, name: str, ms: int, *, text: str = "Hello.", byte: int = 1) -> None:
        """A whole turn, in frames of 20 ms."""
        turn_id = TurnId(name)
        self.emit(TurnStarted(turn_id))
        self.emit(TurnText(turn_id, text, 0))
        for start_ms in range(0, ms, 20):
            data = bytes([byte]) * 160
            self.emit(TurnAudio(turn_id, AudioFrame(data, PCMU_8K, start_ms, 20, Party.AGENT)))
        self.emit(TurnEnded(turn_id))


def broken_engine(code: str) -> FakeEngine:
    engine = FakeEngine()
    engine.trouble = EngineError(code)
    return engine
