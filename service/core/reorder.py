"""Puts numbered frames in order, waits a little for the missing ones, then goes on without them.

Pure: time is handed in with each frame, nothing runs between frames. Use:

    order = Reorder[Frame]()
    if order.in_turn(number):            # nearly always: one comparison, nothing is stored
        return [deliver(frame)]
    for ready in order.push(number, frame, now_ms):
        conceal(ready.count) if isinstance(ready, Gap) else deliver(ready)
    ...
    for ready in order.flush(): ...      # at the stream's end: what is still held

A counter that jumps is treated as in RFC 3550, appendix A.1.
"""

from collections import deque
from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")

WINDOW_FRAMES = 10  # held at most while one is missing
WAIT_MS = 100  # waited at most for a missing one
MAX_AHEAD_FRAMES = 500  # 10 s: what is further ahead is no gap but a counter gone astray
RESTART_FRAMES = 50  # 1 s of such frames, one after the other: the counter goes on from there
REMEMBERED_GAPS = 16


class Gap(Struct, frozen=True, gc=False):
    """`count` frames from number `first` on did not come; a frame always follows."""

    first: int
    count: int


class Reorder(Generic[T]):
    """One stream's order. `first` is the number it should begin with; it may begin elsewhere.

    `lost` counts frames given up, `late` those that came after they had been given up (or from a
    counter gone astray), `duplicate` repeated ones. Late and repeated frames are dropped.
    """

    def __init__(
        self, first: int = 1, *, window: int = WINDOW_FRAMES, wait_ms: int = WAIT_MS
    ) -> None:
        self.lost = 0
        self.late = 0
        self.duplicate = 0
        self._window = window
        self._wait_ms = wait_ms
        self._begun = False  # a frame has been delivered
        self._next = first
        self._straight: int | None = None  # the next number, None while `push` has to look
        self._held: dict[int, tuple[T, int]] = {}  # number -> frame, when it came
        self._given_up: deque[range] = deque(maxlen=REMEMBERED_GAPS)
        self._astray = (0, 0)  # the number that would go on a run of astray frames, `_next` then
        self._astray_run = 0

    def in_turn(self, number: int) -> bool:
        """Whether this is the very next frame and none is held: it is booked, deliver it."""
        if number != self._straight:
            return False
        self._straight = self._next = number + 1
        return True

    def push(self, number: int, item: T, now_ms: int) -> list[T | Gap]:
        """Hand in a frame; returns the frames whose turn has come, and the gaps between them."""
        ready: list[T | Gap] = []
        ahead = number - self._next
        if not self._begun and not self._held and not 0 <= ahead < self._window:
            self._next = number
        elif not 0 <= ahead <= MAX_AHEAD_FRAMES:
            if not self._restarts_at(number):
                self._count_dropped(number)
                return ready
            ready = self.flush()
            self._next = number
        if number in self._held:
            self.duplicate += 1
            return ready
        self._held[number] = (item, now_ms)
        self._deliver(ready)
        while self._held and self._out_of_patience(now_ms):
            self._give_up(ready)
            self._deliver(ready)
        return ready

    def flush(self) -> list[T | Gap]:
        """Everything that is still held, with its gaps: nothing more is coming."""
        ready: list[T | Gap] = []
        while self._held:
            self._give_up(ready)
            self._deliver(ready)
        return ready

    def _deliver(self, ready: list[T | Gap]) -> None:
        while found := self._held.pop(self._next, None):
            ready.append(found[0])
            self._begun = True
            self._next += 1
        self._straight = self._next if self._begun and not self._held else None

    def _out_of_patience(self, now_ms: int) -> bool:
        if len(self._held) >= self._window:
            return True
        return now_ms - min(came_ms for _, came_ms in self._held.values()) >= self._wait_ms

    def _give_up(self, ready: list[T | Gap]) -> None:
        missing = range(self._next, min(self._held))
        self._next = missing.stop
        self._given_up.append(missing)
        if self._begun:  # before its first frame a stream has no gap, it began later
            self.lost += len(missing)
            ready.append(Gap(missing.start, len(missing)))

    def _restarts_at(self, number: int) -> bool:
        goes_on = (number, self._next) == self._astray  # and no frame was in turn meanwhile
        self._astray_run = self._astray_run + 1 if goes_on else 1
        self._astray = (number + 1, self._next)
        return self._astray_run >= RESTART_FRAMES

    def _count_dropped(self, number: int) -> None:
        if number > self._next or any(number in gap for gap in self._given_up):
            self.late += 1
        else:
            self.duplicate += 1
