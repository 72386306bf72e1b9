"""Steps that may be added to while a call goes on; in between the person is silent."""

from collections import deque
from collections.abc import Iterable, Iterator

from service.core.audio import FRAME_MS
from service.twin.caller import Silence, Step


class LiveSteps:
    """An iterable of steps; with `stay` it ends only with the call."""

    def __init__(self, steps: Iterable[Step] = (), *, stay: bool) -> None:
        self.stay = stay
        self._next = deque(steps)

    def put(self, step: Step) -> None:
        """One step more, after all that are there."""
        self._next.append(step)

    def __iter__(self) -> Iterator[Step]:
        while self._next or self.stay:
            yield self._next.popleft() if self._next else Silence(FRAME_MS)
