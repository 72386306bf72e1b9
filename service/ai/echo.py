"""Says back each utterance after its end: a person hears how the line treats their voice.

It does not interrupt itself: while its own voice may still be on the line it does not listen.
It understands nothing and remembers one utterance at most.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from service.ai.base import Brief, Emit
from service.ai.spoken import Speak, turn_of
from service.core.audio import AudioFrame, Party
from service.core.commands import EngineCommand, Hear, Interrupt, StartTurn
from service.core.errors import EngineError
from service.core.events import (
    EngineFailed,
    SpeechStarted,
    SpeechStopped,
    TurnAudio,
    TurnEnded,
    TurnId,
    TurnStarted,
)
from service.media.convert import Converter
from service.media.frames import Framer
from service.media.vad import Detector

UTTERANCE_MOST_MS = 30_000
LEAD_IN_MS = 500
"""Sound kept from before speech is certain, which takes the detector 120 to 200 ms."""
MARGIN_MS = 120
"""Sound left standing on both sides of an utterance."""
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


class EchoTalk:
    """One call's echo."""

    def __init__(
        self, brief: Brief, emit: Emit, new_id: Callable[[str], str], *, speak: Speak
    ) -> None:
        self._brief = brief
        self._emit = emit
        self._new_id = new_id
        self._speak = speak
        self._detector = Detector(brief.hears)
        self._kept: deque[AudioFrame] = deque()
        self._heard_ms = 0  # media time up to which the person was heard
        self._voice_ends_ms = 0  # media time at which our own voice falls silent
        self._saying: set[asyncio.Task[None]] = set()

    def do(self, command: EngineCommand, now_ms: int) -> None:  # noqa: ARG002
        """Take a command; returns at once."""
        match command:
            case Hear(frame):
                self._hear(frame)
            case StartTurn(text):
                task = asyncio.get_running_loop().create_task(self._say(text))
                self._saying.add(task)
                task.add_done_callback(self._saying.discard)
            case Interrupt():
                self._voice_ends_ms = self._heard_ms
            case _:
                pass

    async def aclose(self) -> None:
        """Say nothing more."""
        for task in self._saying:
            task.cancel()
        await asyncio.gather(*self._saying, return_exceptions=True)

    async def _say(self, text: str) -> None:
        turn_id = self._begin_turn()
        try:
            spoken = await self._speak(text)
        except EngineError as error:
            self._emit(EngineFailed(error.code, error.detail, fatal=False))
            self._emit(TurnEnded(turn_id))
            return
        self._own_voice(spoken.duration_ms)
        for event in turn_of(spoken, turn_id, self._brief.speaks):
            self._emit(event)

    def _hear(self, frame: AudioFrame) -> None:
        self._heard_ms = frame.start_ms + frame.duration_ms
        if self._voice_ends_ms and frame.start_ms < self._voice_ends_ms + OWN_VOICE_MS:
            return
        self._keep(frame)
        event = self._detector.hear(frame)
        if event is not None:
            self._emit(event)
        if isinstance(event, SpeechStarted):
            self._forget_before(event.start_ms - MARGIN_MS)
        elif isinstance(event, SpeechStopped):
            self._say_back(event.end_ms + MARGIN_MS)
        elif self._heard_ms - self._kept[0].start_ms >= UTTERANCE_MOST_MS:
            self._detector = Detector(self._brief.hears)
            self._emit(SpeechStopped(self._heard_ms))
            self._say_back(self._heard_ms)

    def _keep(self, frame: AudioFrame) -> None:
        self._kept.append(frame)
        if not self._detector.speaking:
            self._forget_before(self._heard_ms - LEAD_IN_MS)

    def _forget_before(self, media_ms: int) -> None:
        while len(self._kept) > 1 and self._kept[1].start_ms <= media_ms:
            self._kept.popleft()

    def _say_back(self, end_ms: int) -> None:
        frames = [frame for frame in self._kept if frame.start_ms < end_ms]
        self._kept.clear()
        self._own_voice(sum(frame.duration_ms for frame in frames))
        turn_id = self._begin_turn()
        for frame in self._as_ours(frames):
            self._emit(TurnAudio(turn_id, frame))
        self._emit(TurnEnded(turn_id))

    def _as_ours(self, frames: list[AudioFrame]) -> list[AudioFrame]:
        converter = Converter(self._brief.hears, self._brief.speaks)
        framer = Framer(self._brief.speaks, Party.AGENT)
        heard = b"".join(frame.data for frame in frames)
        return [
            *framer.push(converter.convert(heard)),
            *framer.push(converter.flush()),
            *framer.flush(),
        ]

    def _begin_turn(self) -> TurnId:
        turn_id = TurnId(self._new_id("turn"))
        self._emit(TurnStarted(turn_id))
        return turn_id

    def _own_voice(self, duration_ms: int) -> None:
        self._voice_ends_ms = max(self._voice_ends_ms, self._heard_ms) + duration_ms
