"""The agent's half of a conversation: answers, the tools they call, and sentences that are given.

Each turn is a task of its own, in which the model writes and the voice reads; `Floor` sees to it
that they are heard one after the other.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Protocol

import structlog
from openai.types.chat import ChatCompletionMessageParam

from service.ai.base import Brief, Emit
from service.ai.captions import first_weight_ms
from service.ai.errands import Errands
from service.ai.openai.errors import OpenAIFault
from service.ai.openai_pipeline.floor import Floor
from service.ai.openai_pipeline.memory import Memory, ToolUse
from service.ai.openai_pipeline.model import LanguageModel, Refused, ToolAsked
from service.ai.openai_pipeline.narration import Narration
from service.ai.openai_pipeline.readable import readable
from service.ai.openai_pipeline.sentences import Sentences
from service.ai.openai_pipeline.speculation import Speculation
from service.ai.openai_pipeline.speech import Voice
from service.ai.openai_pipeline.turn import Effect, Turn
from service.core.commands import Interrupt
from service.core.events import (
    DigitsRequested,
    EngineEvent,
    EngineFailed,
    TurnEnded,
    TurnId,
    TurnStarted,
)
from service.tools import TOOLS_IN_A_ROW, Toolbox, ToolResult

KNOWN_MOST = 16
"""Turns remembered: the caller hears at most a few minutes later what was made."""

Work = Callable[[], Awaitable[None]]

log = structlog.get_logger()


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
        self._new_id = new_id
        self._model = model
        self._voice = voice
        self._memory = memory
        self._toolbox = toolbox
        self._surroundings = surroundings
        self._floor = Floor(emit, self._goes_on)
        self._speculation = Speculation()
        self._errands = Errands(toolbox, emit)
        self._turns: OrderedDict[TurnId, Turn] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._weight_ms = first_weight_ms(brief.agent.pipeline.speech.speed)
        self._heard = 0  # so often the caller has said something
        self._tools_in_a_row = 0
        self._silent = False  # nobody is there to be answered

    # What is wanted ----------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Say exactly this."""
        if self._silent:
            return
        turn = self._new_turn(exact=True)
        self._start(turn, lambda: self._recite(turn, text))

    def heard(self, text: str) -> None:
        """The caller said this."""
        self._memory.heard(text)
        self._heard += 1
        self._tools_in_a_row = 0

    def prepare(self, heard: str) -> None:
        """The caller's turn may be over, and this is what they said: make the answer, unheard."""
        if self._silent or self._speculation.fits(heard):
            return
        self.throw_away()
        turn = self._new_turn()
        self._speculation.begin(turn.turn_id, heard)
        messages = self._memory.messages(heard)
        self._start(turn, lambda: self._answer(turn, messages), held=True)

    def throw_away(self) -> None:
        """It is not over: what was prepared is void."""
        turn_id = self._speculation.end()
        if turn_id is not None:
            self._drop(self._turns[turn_id])

    def answer(self, heard: str) -> None:
        """It is over, and this is what they said; they have been `heard`."""
        self._drop_what_has_not_begun()
        if self._silent:
            return
        if self._speculation.fits(heard):
            self._want(self._turns[self._speculation.end() or TurnId("")])
            return
        self.throw_away()
        self._ask()

    def excuse(self) -> None:
        """They said something, and nobody knows what."""
        agent = self._brief.agent
        self.say(agent.fill(agent.not_understood, self._brief.variables))

    def fail(self, code: str, detail: str) -> None:
        """The conversation cannot go on."""
        self._surroundings.fail(code, detail)

    def go_on(self) -> None:
        """Answer what was said last, before this conversation."""
        self._ask()

    def yield_floor(self) -> None:
        """The caller speaks: what has not begun is not said."""
        self.throw_away()
        self._drop_what_has_not_begun()

    def interrupt(self, command: Interrupt) -> None:
        """The caller heard no more than this of a turn: nor does the model remember more."""
        turn = self._turns.get(command.turn_id)
        if turn is not None and not turn.cut:
            self._drop(turn, command.heard_text)

    def tell_words(self) -> None:
        """Time has passed: words whose sound may be heard soon are told."""
        holder = self._floor.holder
        if holder is not None:
            self._turns[holder].narration.tell_words()

    def fall_silent(self) -> None:
        """Nobody is there for an answer any more."""
        self._silent = True
        for task in self._tasks:
            task.cancel()

    async def aclose(self) -> None:
        """Leave no task behind."""
        self.fall_silent()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._errands.aclose()

    # Turns -------------------------------------------------------------------------------------

    def _ask(self, effect: Effect | None = None) -> None:
        turn = self._new_turn(effect=effect)
        messages = self._memory.messages()
        self._start(turn, lambda: self._answer(turn, messages))

    def _new_turn(self, *, exact: bool = False, effect: Effect | None = None) -> Turn:
        self._forget_old()
        turn_id = TurnId(self._new_id("turn"))

        def tell(event: EngineEvent) -> None:
            self._floor.tell(turn_id, event)

        narration = Narration(
            turn_id, self._voice, self._brief.speaks, tell, weight_ms=self._weight_ms
        )
        turn = self._turns[turn_id] = Turn(turn_id, narration, exact=exact, effect=effect)
        return turn

    def _start(self, turn: Turn, work: Work, *, held: bool = False) -> None:
        turn.task = asyncio.get_running_loop().create_task(self._carry(turn, work))
        self._tasks.add(turn.task)
        turn.task.add_done_callback(self._done)
        self._floor.enter(turn.turn_id, held=held)
        if not held:
            turn.wanted.set()

    async def _carry(self, turn: Turn, work: Work) -> None:
        """Write and read a turn, and tell its end."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(turn.narration.run())
                await work()
        except* OpenAIFault as faults:
            self._failed(turn, faults.exceptions[0])
        else:
            self._complete(turn)

    def _complete(self, turn: Turn) -> None:
        turn.over = True
        self._weight_ms = turn.narration.weight_ms
        if turn.began:
            self._floor.tell(turn.turn_id, TurnEnded(turn.turn_id))
        if turn.effect is not None:
            self._floor.tell(turn.turn_id, turn.effect)
        self._floor.leave(turn.turn_id)

    def _goes_on(self, turn_id: TurnId) -> None:
        self._turns[turn_id].narration.go()

    def _want(self, turn: Turn) -> None:
        """What was prepared is wanted."""
        turn.wanted.set()
        if turn.text:
            self._memory.said(turn.turn_id, turn.text)
            self._surroundings.agent_says(turn.text)
        self._floor.release(turn.turn_id)

    def _drop(self, turn: Turn, heard_text: str = "") -> None:
        turn.stop()
        self._floor.drop(turn.turn_id)
        self._memory.cut(turn.turn_id, heard_text)

    def _drop_what_has_not_begun(self) -> None:
        holder = self._floor.holder
        for turn in [*self._turns.values()]:
            begun = turn.began and turn.turn_id == holder
            if turn.wanted.is_set() and not (turn.exact or turn.over or turn.cut or begun):
                self._drop(turn)

    def _forget_old(self) -> None:
        for turn_id in [*self._turns][:-KNOWN_MOST]:
            if self._turns[turn_id].over or self._turns[turn_id].cut:
                del self._turns[turn_id]

    # Writing and reading -----------------------------------------------------------------------

    async def _recite(self, turn: Turn, text: str) -> None:
        self._begin(turn)
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
                        self._begin(turn)
                        for sentence in sentences.push(piece):
                            self._add(turn, sentence)
                    case ToolAsked():
                        asked.append(piece)
                    case Refused():
                        refused = True
        for sentence in sentences.flush():
            self._add(turn, sentence)
        return asked if may_use_tools else [], refused

    def _begin(self, turn: Turn) -> None:
        if not turn.began:
            turn.began = True
            self._floor.tell(turn.turn_id, TurnStarted(turn.turn_id))

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
        uses = [ToolUse(tool.call_id, tool.name, tool.arguments) for tool in asked]
        self._memory.used(turn.turn_id, uses)
        heard = self._heard

        def done(results: Sequence[tuple[ToolAsked, ToolResult]]) -> None:
            effect = self._take_results(uses, [result for _, result in results])
            self._back_from_errands(turn, None if turn.cut else effect, heard=heard)

        self._errands.run(asked, done)

    def _take_results(self, uses: list[ToolUse], results: list[ToolResult]) -> Effect | None:
        effect: Effect | None = None
        for use, result in zip(uses, results, strict=True):
            use.result = result.text
            if isinstance(result.effect, DigitsRequested):
                self._emit(result.effect)
            elif result.effect is not None:
                effect = result.effect
        return effect

    def _back_from_errands(self, turn: Turn, effect: Effect | None, *, heard: int) -> None:
        if effect is not None and turn.text:
            self._follow(turn, effect)
        elif heard == self._heard and not (self._silent or self._surroundings.caller_speaks()):
            self._ask(effect)

    def _follow(self, turn: Turn, effect: Effect) -> None:
        """What a tool wanted happens once the words that go with it are made."""
        if not turn.over:
            turn.effect = effect
        elif not self._floor.tell(turn.turn_id, effect):
            self._emit(effect)

    # When it goes wrong ------------------------------------------------------------------------

    def _say_nothing_came_of_it(self, *, refused: bool) -> None:
        """A filter, or a model without a word: the caller is asked to say it another way."""
        code = "openai.refused" if refused else "openai.confused"
        self._emit(EngineFailed(code, "empty answer", fatal=False))
        self.excuse()

    def _failed(self, turn: Turn, fault: BaseException) -> None:
        if turn.cut or not isinstance(fault, OpenAIFault):
            return
        if turn.turn_id == self._speculation.turn_id:
            self.throw_away()  # asked for in earnest, it may succeed, or fail in earnest
        else:
            self._surroundings.fail(fault.code, fault.detail)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.error("Engine crashed", call_id=self._brief.call_id, exc_info=fault)
            self._surroundings.fail("engine.crashed", type(fault).__name__)
