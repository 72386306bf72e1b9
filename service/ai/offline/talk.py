"""One call's conversation with the offline engine.

One thing is made at a time. What the person says while an answer is still being made takes its
place; what has been emitted is the bridge's to stop.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Protocol

from service.agents import Voice
from service.agents.words import plain
from service.ai.base import Brief, Emit
from service.ai.offline.messages import Recognise
from service.ai.offline.script import Line, Script
from service.ai.spoken import Spoken, tell, turn_of
from service.ai.utterance import Utterances
from service.core.audio import FRAME_MS, PCM16_8K, AudioFrame
from service.core.commands import (
    EngineCommand,
    Hear,
    Instruct,
    Interrupt,
    StartTurn,
    TellAudible,
    TellDigit,
)
from service.core.errors import EngineError, TextRefused
from service.core.events import (
    EndRequested,
    EngineFailed,
    SpeechStarted,
    SpeechStopped,
    Transcribed,
    TurnId,
)
from service.media.convert import Converter

UTTERANCE_MOST_MS = 15_000


class Speak(Protocol):
    """Makes text into sound."""

    async def __call__(self, text: str, voice: Voice | None = None) -> Spoken:
        """EngineError when it cannot be made."""
        ...


class OfflineTalk:
    """Follows the agent's script."""

    def __init__(
        self,
        brief: Brief,
        emit: Emit,
        new_id: Callable[[str], str],
        *,
        speak: Speak,
        recognise: Callable[[Recognise], Awaitable[str]],
    ) -> None:
        self._brief = brief
        self._emit = emit
        self._new_id = new_id
        self._speak = speak
        self._recognise = recognise
        self._script = Script(brief.agent, brief.variables)
        answer = None
        for turn in brief.history:  # a call taken over goes on at the step it had come to
            if turn.who == "caller":
                answer = self._script.hear(plain(turn.text))  # another engine's words
        self._utterances = Utterances(brief.hears, most_ms=UTTERANCE_MOST_MS)
        self._unanswered: list[AudioFrame] = []
        self._telling = asyncio.Lock()  # one turn after the other
        self._answer: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers = True
        if brief.unanswered and answer is not None:
            self._start(self._say(answer))

    def do(self, command: EngineCommand, now_ms: int) -> None:  # noqa: ARG002
        """Take a command; returns at once."""
        match command:
            case Hear(frame):
                self._hear(frame)
            case TellDigit(digit):
                self._press(digit)
            case StartTurn(text):
                self._script.said(text)
                self._start(self._say(Line(text)))
            case TellAudible() | Instruct():
                pass  # the script minds neither
            case Interrupt():
                pass  # a turn that has begun has been emitted whole

    async def hear_out(self) -> None:
        """Tell what was heard to the last; nobody is there for an answer any more."""
        self._answers = False
        event = self._utterances.end()
        if event is not None:
            self._emit(event)
            self._understand_more()
        if self._answer is not None:
            await asyncio.wait({self._answer})

    async def aclose(self) -> None:
        """Say nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _hear(self, frame: AudioFrame) -> None:
        event = self._utterances.hear(frame)
        if event is None:
            return
        self._emit(event)
        if isinstance(event, SpeechStarted):
            self._drop_answer()
        elif isinstance(event, SpeechStopped):
            self._understand_more()

    def _understand_more(self) -> None:
        self._unanswered += self._utterances.frames
        self._answer = self._start(self._understand())

    def _press(self, digit: str) -> None:
        if self._script.takes_keys:
            self._drop_answer()
            self._unanswered.clear()
            self._answer = self._start(self._say(self._script.press(digit)))

    def _drop_answer(self) -> None:
        if self._answer is not None:
            self._answer.cancel()
            self._answer = None

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._emit(EngineFailed("engine.crashed", type(fault).__name__))

    async def _understand(self) -> None:
        request = Recognise(
            self._pcm(self._unanswered), self._script.phrases, self._brief.agent.pronounce
        )
        try:
            phrase = await self._recognise(request)
        except EngineError as error:
            self._emit(EngineFailed(error.code, error.detail))
            return
        self._unanswered.clear()
        self._emit(Transcribed(phrase))
        if self._answers:
            await self._say(self._script.hear(phrase))

    async def _say(self, line: Line) -> None:
        try:
            spoken = await self._speak(line.text, self._brief.agent.voice)
        except EngineError as error:
            fatal = not isinstance(error, TextRefused)
            self._emit(EngineFailed(error.code, error.detail, fatal=fatal))
            return
        if asyncio.current_task() is self._answer:
            self._answer = None  # from here on it is the bridge's to stop
        async with self._telling:
            turn_id = TurnId(self._new_id("turn"))
            await tell(turn_of(spoken, turn_id, self._brief.speaks), self._emit)
            if line.end:
                self._emit(EndRequested("script_ended"))

    def _pcm(self, frames: list[AudioFrame]) -> bytes:
        converter = Converter(self._brief.hears, PCM16_8K)
        heard = b"".join(frame.data for frame in frames[-UTTERANCE_MOST_MS // FRAME_MS :])
        return converter.convert(heard) + converter.flush()
