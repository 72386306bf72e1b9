"""Whose turn is heard: turns in the order in which they were released, one after the other. Pure.

A turn is made while another is still being made, or before it is certain that it is wanted at all;
what is told of it waits until it has the floor.
"""

from collections import deque
from collections.abc import Callable

from msgspec import Struct

from service.core.events import EngineEvent, TurnId


class Waiting(Struct):
    """A turn that has not left, and what was told of it that nobody has heard of."""

    turn_id: TurnId
    untold: list[EngineEvent] = []
    over: bool = False


class Floor:
    """One call's. `goes_on` is told whose turn is heard from now on, before anything of it is."""

    def __init__(
        self, emit: Callable[[EngineEvent], None], goes_on: Callable[[TurnId], None]
    ) -> None:
        self._emit = emit
        self._goes_on = goes_on
        self._line: deque[Waiting] = deque()
        self._held: dict[TurnId, Waiting] = {}

    @property
    def holder(self) -> TurnId | None:
        """Whose turn is heard."""
        return self._line[0].turn_id if self._line else None

    def enter(self, turn_id: TurnId, *, held: bool) -> None:
        """A turn is being made; `held`: it must not be heard before it is released."""
        self._held[turn_id] = Waiting(turn_id)
        if not held:
            self.release(turn_id)

    def release(self, turn_id: TurnId) -> None:
        """It may be heard, once those before it are over."""
        waiting = self._held.pop(turn_id, None)
        if waiting is not None:
            self._line.append(waiting)
            if len(self._line) == 1:
                self._begin()

    def tell(self, turn_id: TurnId, event: EngineEvent) -> bool:
        """Something of a turn; False: the turn has left or was dropped, and nobody hears of it."""
        if self.holder == turn_id:
            self._emit(event)
            return True
        waiting = self._find(turn_id)
        if waiting is not None:
            waiting.untold.append(event)
        return waiting is not None

    def leave(self, turn_id: TurnId) -> None:
        """All of it has been told."""
        waiting = self._find(turn_id)
        if waiting is not None:
            waiting.over = True
        self._go_on()

    def drop(self, turn_id: TurnId) -> None:
        """It is not to be heard, or no more of it."""
        self._held.pop(turn_id, None)
        had_floor = self.holder == turn_id
        self._line = deque(each for each in self._line if each.turn_id != turn_id)
        if had_floor:
            self._begin()

    def _find(self, turn_id: TurnId) -> Waiting | None:
        every = (*self._line, *self._held.values())
        return next((waiting for waiting in every if waiting.turn_id == turn_id), None)

    def _go_on(self) -> None:
        if self._line and self._line[0].over:
            self._line.popleft()
            self._begin()

    def _begin(self) -> None:
        if not self._line:
            return
        first = self._line[0]
        self._goes_on(first.turn_id)
        for event in first.untold:
            self._emit(event)
        self._go_on()
