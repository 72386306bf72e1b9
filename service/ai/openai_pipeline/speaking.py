"""The agent's half of a conversation: answers, the tools they call, and sentences that are given.

`Turns` makes them heard; this says which there are to be, what they say, and what follows.
"""

from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Protocol

from openai.types.chat import ChatCompletionMessageParam

from service.ai.base import Brief, Emit
from service.ai.errands import Errands
from service.ai.openai.errors import OpenAIFault
from service.ai.openai_pipeline.memory import Memory, ToolUse
from service.ai.openai_pipeline.model import LanguageModel, Refused, ToolAsked
from service.ai.openai_pipeline.readable import readable
from service.ai.openai_pipeline.sentences import Sentences
from service.ai.openai_pipeline.speculation import Speculation
from service.ai.openai_pipeline.speech import Voice
from service.ai.openai_pipeline.turn import Effect, Turn
from service.ai.openai_pipeline.turns import Turns
from service.core.commands import Interrupt
from service.core.events import DigitsRequested, EngineFailed
from service.tools import TOOLS_IN_A_ROW, Toolbox, ToolResult


class Surroundings(Protocol):
    """What the agent must know of the rest of the conversation."""

    def caller_speaks(self) -> bool:
        """Whether the caller has the floor."""

    def agent_says(self, text: str) -> None:
        """This is about to be heard."""

    def fail(self, code: str, detail: str) -> None:
        """The conversation cannot go on."""


class Speaking:
    """One call's agent."""

    def __init__(
        self,
        brief: Brief,
        emit: Emit,
        new_id: Callable[[str], str],
        *,
        model: LanguageModel,
        voice: Voice,
        memory: Memory,
        toolbox: Toolbox,
        surroundings: Surroundings,
    ) -> None:
        self._brief = brief
        self._emit = emit
        self._model = model
        self._memory = memory
        self._toolbox = toolbox
        self._surroundings = surroundings
        self._turns = Turns(brief, emit, new_id, voice=voice, house=self)
        self._speculation = Speculation()
        self._errands = Errands(toolbox, emit)
        self._tools_in_a_row = 0
        self._silent = False  # nobody is there to be answered

    # What is wanted ----------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Say exactly this."""
        if not self._silent:
            self._turns.begin(lambda turn: self._recite(turn, text), exact=True)

    def heard(self, text: str) -> None:
        """The caller said this."""
        self._memory.heard(text)
        self._tools_in_a_row = 0

    def prepare(self, heard: str) -> None:
        """The caller's turn may be over, and this is what they said: make the answer, unheard."""
        if self._silent or self._speculation.fits(heard):
            return
        self.throw_away()
        messages = self._memory.messages(heard)
        turn = self._turns.begin(lambda turn: self._answer(turn, messages), held=True)
        self._speculation.begin(turn.turn_id, heard)

    def throw_away(self) -> None:
        """It is not over: what was prepared is void."""
        self._drop(self._prepared())

    def answer(self, heard: str) -> None:
        """It is over, and this is what they said; they have been `heard`."""
        self._drop(*self._turns.answers_not_begun())
        fits = self._speculation.fits(heard)
        prepared = self._prepared()
        if prepared is None or not fits:
            self._drop(prepared)
            self.go_on()
            return
        if prepared.text:
            self._memory.said(prepared.turn_id, prepared.text)
            self._surroundings.agent_says(prepared.text)
        self._turns.want(prepared)

    def excuse(self) -> None:
        """They said something, and nobody knows what."""
        agent = self._brief.agent
        self.say(agent.fill(agent.not_understood, self._brief.variables))

    def go_on(self, effect: Effect | None = None) -> None:
        """Answer the conversation as it stands; `effect` follows."""
        if not self._silent:
            messages = self._memory.messages()
            self._turns.begin(lambda turn: self._answer(turn, messages), effect=effect)

    def yield_floor(self) -> None:
        """The caller speaks: what has not begun is not said."""
        self._drop(self._prepared(), *self._turns.answers_not_begun())

    def interrupt(self, command: Interrupt) -> None:
        """The caller heard no more than this of a turn: nor does the model remember more."""
        turn = self._turns.find(command.turn_id)
        if turn is not None and not turn.cut:
            self._turns.drop(turn)
            self._memory.cut(turn.turn_id, command.heard_text)

    def tell_words(self) -> None:
        """Time has passed: words whose sound may be heard soon are told."""
        self._turns.tell_words()

    def fall_silent(self) -> None:
        """Nobody is there for an answer any more."""
        self._silent = True
        self._turns.stop()

    async def aclose(self) -> None:
        """Leave no task behind."""
        self.fall_silent()
        await self._turns.aclose()
        await self._errands.aclose()

    def _prepared(self) -> Turn | None:
        """The answer that was prepared, which it is no longer."""
        turn_id = self._speculation.end()
        return self._turns.find(turn_id) if turn_id is not None else None

    def _drop(self, *turns: Turn | None) -> None:
        for turn in turns:
            if turn is not None:
                self._turns.drop(turn)
                self._memory.cut(turn.turn_id, "")

    # Writing -----------------------------------------------------------------------------------

    async def _recite(self, turn: Turn, text: str) -> None:
        self._turns.started(turn)
        sentences = Sentences()
        for sentence in [*sentences.push(text), *sentences.flush()]:
            self._add(turn, sentence)
        turn.narration.finish()

    async def _answer(self, turn: Turn, messages: Sequence[ChatCompletionMessageParam]) -> None:
        asked, refused = await self._write(turn, messages)
        turn.narration.finish()
        await turn.wanted.wait()
        if asked:
            self._run_errands(turn, asked)
        elif not turn.text and turn.effect is None:
            self._say_nothing_came_of_it(refused=refused)

    async def _write(
        self, turn: Turn, messages: Sequence[ChatCompletionMessageParam]
    ) -> tuple[list[ToolAsked], bool]:
        """The model's answer, read as it comes; gives the tools it calls, and if it was refused."""
        may_use_tools = self._tools_in_a_row < TOOLS_IN_A_ROW
        pieces = self._model.answer(messages, self._toolbox.specs, may_use_tools=may_use_tools)
        sentences, asked, refused = Sentences(), list[ToolAsked](), False
        async with aclosing(pieces):
            async for piece in pieces:
                match piece:
                    case str():
                        self._turns.started(turn)
                        for sentence in sentences.push(piece):
                            self._add(turn, sentence)
                    case ToolAsked():
                        asked.append(piece)
                    case Refused():
                        refused = True
        for sentence in sentences.flush():
            self._add(turn, sentence)
        return asked if may_use_tools else [], refused

    def _add(self, turn: Turn, sentence: str) -> None:
        text = readable(sentence)
        if not text:
            return
        turn.add(text)
        if turn.wanted.is_set():
            self._memory.said(turn.turn_id, turn.text)
            self._surroundings.agent_says(text)

    # Tools -------------------------------------------------------------------------------------

    def _run_errands(self, turn: Turn, asked: Sequence[ToolAsked]) -> None:
        self._tools_in_a_row += len(asked)
        self._memory.uses([ToolUse(tool.call_id, tool.name, tool.arguments) for tool in asked])

        def done(results: Sequence[tuple[ToolAsked, ToolResult]]) -> None:
            self._back_from_errands(turn, results)

        self._errands.run(asked, done)

    def _back_from_errands(
        self, turn: Turn, results: Sequence[tuple[ToolAsked, ToolResult]]
    ) -> None:
        self._memory.used([ToolUse(t.call_id, t.name, t.arguments, r.text) for t, r in results])
        effect = self._effect_of([result for _, result in results])
        if effect is not None and turn.text and not turn.cut:
            self._turns.follow(turn, effect)
            return
        self._drop(self._prepared(), *self._turns.answers_not_begun())  # they do not know of it
        if not self._surroundings.caller_speaks():
            self.go_on(None if turn.cut else effect)

    def _effect_of(self, results: Sequence[ToolResult]) -> Effect | None:
        """What is to follow the words; keys are pressed at once."""
        effect: Effect | None = None
        for result in results:
            if isinstance(result.effect, DigitsRequested):
                self._emit(result.effect)
            elif result.effect is not None:
                effect = result.effect
        return effect

    # When it goes wrong ------------------------------------------------------------------------

    def _say_nothing_came_of_it(self, *, refused: bool) -> None:
        """A filter, or a model without a word: the caller is asked to say it another way."""
        code = "openai.refused" if refused else "openai.confused"
        self._emit(EngineFailed(code, "empty answer", fatal=False))
        self.excuse()

    def fail(self, code: str, detail: str) -> None:
        """The conversation cannot go on."""
        self._surroundings.fail(code, detail)

    def failed(self, turn: Turn, fault: OpenAIFault) -> None:
        """A turn will not be completed."""
        if turn.turn_id == self._speculation.turn_id:
            self.throw_away()  # asked for in earnest, it may succeed, or fail in earnest
        else:
            self.fail(fault.code, fault.detail)

    def crashed(self, name: str) -> None:
        """Something is wrong with ourselves."""
        self.fail("engine.crashed", name)
