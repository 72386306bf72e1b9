"""One call's conversation by three servers: the bridge's commands in, its events out.

Here the parts meet: the caller's half, the agent's half, and what both remember.
"""

import asyncio
from collections.abc import Callable

from service.ai.base import Brief, Emit
from service.ai.keys import Keys
from service.ai.openai_pipeline.hearing import Hearing
from service.ai.openai_pipeline.memory import Memory
from service.ai.openai_pipeline.model import LanguageModel
from service.ai.openai_pipeline.recognition import House, Recogniser
from service.ai.openai_pipeline.speaking import Speaking
from service.ai.openai_pipeline.speech import Voice
from service.core.commands import (
    EngineCommand,
    Hear,
    Instruct,
    Interrupt,
    StartTurn,
    TellAudible,
    TellDigit,
)
from service.core.events import EngineFailed
from service.media.voice import Judge
from service.tools import Toolbox


class PipelineTalk:
    """A conversation, once it is open."""

    def __init__(
        self,
        brief: Brief,
        emit: Emit,
        new_id: Callable[[str], str],
        *,
        recogniser: Callable[[House], Recogniser],
        model: LanguageModel,
        voice: Voice,
        toolbox: Toolbox,
        judge: Judge | None,
    ) -> None:
        self._brief = brief
        self._emit = emit
        agent = brief.agent
        instructions = agent.fill(agent.instructions, brief.variables)
        self._memory = Memory(instructions, brief.instructions, brief.history)
        self._speaking = Speaking(
            brief,
            emit,
            new_id,
            model=model,
            voice=voice,
            memory=self._memory,
            toolbox=toolbox,
            surroundings=self,
        )
        self._hearing = Hearing(brief, emit, recogniser, answerer=self._speaking, judge=judge)
        self._keys = Keys(toolbox, self._hearing.pressed)
        self._failed = False

    async def open(self) -> None:
        """Ready to hear; EngineError when it cannot be in time."""
        await self._hearing.open()
        if self._brief.unanswered:
            self._speaking.go_on()

    async def aclose(self) -> None:
        """Leave no task, no timer and no socket behind."""
        self._failed = True
        self._keys.close()
        await asyncio.gather(self._speaking.aclose(), self._hearing.aclose())

    # What the bridge wants ---------------------------------------------------------------------

    def do(self, command: EngineCommand, now_ms: int) -> None:  # noqa: ARG002
        """Take a command; returns at once."""
        match command:
            case Hear(frame):
                self._hearing.hear(frame)
                self._speaking.tell_words()
            case TellAudible(audible):
                self._hearing.tell_audible(audible)
            case StartTurn(text):
                self._speaking.say(text)
            case Interrupt():
                self._speaking.interrupt(command)
            case TellDigit(digit):
                self._keys.press(digit)
            case Instruct(text):
                self._memory.mind(text)

    async def hear_out(self) -> None:
        """Tell what was heard to the last; nobody is there for an answer any more."""
        self._speaking.fall_silent()
        await self._hearing.hear_out()

    # What the halves must know of each other ---------------------------------------------------

    def caller_speaks(self) -> bool:
        """Whether the caller has the floor."""
        return self._hearing.speaking

    def agent_says(self, text: str) -> None:
        """This is about to be heard."""
        self._hearing.said(text)

    def fail(self, code: str, detail: str) -> None:
        """The conversation cannot go on; said once."""
        if not self._failed:
            self._failed = True
            self._speaking.fall_silent()
            self._emit(EngineFailed(code, detail))
