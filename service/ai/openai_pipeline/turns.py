"""One call's turns of the agent: begun, heard one after the other, dropped.

Each is a task of its own in which it is written and read; what it says is for others to know.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from service.ai.base import Brief, Emit
from service.ai.captions import first_weight_ms
from service.ai.openai.errors import OpenAIFault
from service.ai.openai_pipeline.floor import Floor
from service.ai.openai_pipeline.narration import Narration
from service.ai.openai_pipeline.speech import Voice
from service.ai.openai_pipeline.turn import Effect, Turn
from service.core.events import EngineEvent, TurnEnded, TurnId, TurnStarted

KNOWN_MOST = 16
"""Turns remembered: the caller hears at most a few minutes later what was made."""

Write = Callable[[Turn], Awaitable[None]]
"""Gives a turn its sentences, to the last."""

log = structlog.get_logger()


class House(Protocol):
    """Who wants to know when a turn cannot be made."""

    def failed(self, turn: Turn, fault: OpenAIFault) -> None:
        """It will not be completed."""

    def crashed(self, name: str) -> None:
        """Something is wrong with ourselves."""


class Turns:
    """`new_id` makes a name from a prefix."""

    def __init__(
        self, brief: Brief, emit: Emit, new_id: Callable[[str], str], *, voice: Voice, house: House
    ) -> None:
        self._call_id = brief.call_id
        self._line = brief.speaks
        self._emit = emit
        self._new_id = new_id
        self._voice = voice
        self._house = house
        self._floor = Floor(emit, self._goes_on)
        self._known: OrderedDict[TurnId, Turn] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._weight_ms = first_weight_ms(brief.agent.pipeline.speech.speed)

    def begin(
        self, write: Write, *, exact: bool = False, held: bool = False, effect: Effect | None = None
    ) -> Turn:
        """A turn is being made; `held`: unheard, until it is wanted."""
        self._forget_old()
        turn = self._new(exact=exact, effect=effect)
        turn.task = asyncio.get_running_loop().create_task(self._carry(turn, write))
        self._tasks.add(turn.task)
        turn.task.add_done_callback(self._done)
        self._floor.enter(turn.turn_id, held=held)
        if not held:
            turn.wanted.set()
        return turn

    def want(self, turn: Turn) -> None:
        """What was held may be heard."""
        turn.wanted.set()
        self._floor.release(turn.turn_id)

    def started(self, turn: Turn) -> None:
        """Its first token is there."""
        if not turn.began:
            turn.began = True
            self._floor.tell(turn.turn_id, TurnStarted(turn.turn_id))

    def follow(self, turn: Turn, effect: Effect) -> None:
        """This is to happen once all of it is told."""
        if not turn.over:
            turn.effect = effect
        elif not self._floor.tell(turn.turn_id, effect):
            self._emit(effect)

    def drop(self, turn: Turn) -> None:
        """No more of it is to be made, or told."""
        turn.stop()
        self._floor.drop(turn.turn_id)

    def find(self, turn_id: TurnId) -> Turn | None:
        """The turn of this name, while it is remembered."""
        return self._known.get(turn_id)

    def answers_not_begun(self) -> list[Turn]:
        """Answers that are wanted, and of which nothing has been told."""
        return [
            turn
            for turn in self._known.values()
            if turn.wanted.is_set()
            and not (turn.exact or turn.over or turn.cut)
            and not (turn.began and turn.heard)
        ]

    def tell_words(self) -> None:
        """Time has passed: words whose sound may be heard soon are told."""
        holder = self._floor.holder
        if holder is not None:
            self._known[holder].narration.tell_words()

    def stop(self) -> None:
        """Make nothing more."""
        for task in self._tasks:
            task.cancel()

    async def aclose(self) -> None:
        """Leave no task behind."""
        self.stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _new(self, *, exact: bool, effect: Effect | None) -> Turn:
        turn_id = TurnId(self._new_id("turn"))

        def tell(event: EngineEvent) -> None:
            self._floor.tell(turn_id, event)

        narration = Narration(turn_id, self._voice, self._line, tell, weight_ms=self._weight_ms)
        turn = self._known[turn_id] = Turn(turn_id, narration, exact=exact, effect=effect)
        return turn

    async def _carry(self, turn: Turn, write: Write) -> None:
        """Write and read a turn, and tell its end."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(turn.narration.run())
                await write(turn)
        except* OpenAIFault as faults:
            first = faults.exceptions[0]
            if isinstance(first, OpenAIFault) and not turn.cut:
                self._house.failed(turn, first)
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
        turn = self._known[turn_id]
        turn.heard = True
        turn.narration.go()

    def _forget_old(self) -> None:
        for turn_id in [*self._known][:-KNOWN_MOST]:
            turn = self._known[turn_id]
            if turn.cut or (turn.over and turn.heard):
                del self._known[turn_id]

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.error("Engine crashed", call_id=self._call_id, exc_info=fault)
            self._house.crashed(type(fault).__name__)
