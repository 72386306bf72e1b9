"""A deadline that moves: rung once when what is expected does not come in time.

One timer of the loop however often it is moved, since it is moved with every piece of sound.
"""

import asyncio
from collections.abc import Callable


class Watch:
    """`late` is called with the name of the stage that took too long."""

    def __init__(self, late: Callable[[str], None]) -> None:
        self._late = late
        self._stage = ""
        self._due_s: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def expect(self, stage: str, within_s: float) -> None:
        """Something is to come within this time; takes the place of what was expected before."""
        loop = asyncio.get_running_loop()
        self._stage = stage
        self._due_s = loop.time() + within_s
        if self._timer is not None and self._timer.when() > self._due_s:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = loop.call_at(self._due_s, self._look)

    def rest(self) -> None:
        """Nothing is expected."""
        self._due_s = None

    def close(self) -> None:
        """Leave no timer behind."""
        self._due_s = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._due_s is None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._due_s:
            self._timer = loop.call_at(self._due_s, self._look)
            return
        self._due_s = None
        self._late(self._stage)
