"""Whether this process takes one more call: refused before live ones suffer.

A call counts from the moment it is let in, not only once it talks or has a record, so that a burst
of announcements cannot fill the house twice.
"""

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator
from contextlib import contextmanager

from service.core.calls import CallId

LAG_WEIGHT = 0.03
"""Of the newest 20 ms tick in the mean lag: one that lasts shows within a second."""


class Admission:
    """Counts the calls that talk here and those that are expected to."""

    def __init__(
        self,
        *,
        max_calls: int,
        max_loop_lag_ms: int,
        live: Callable[[], Collection[CallId]],
        now_ms: Callable[[], int],
    ) -> None:
        self.draining = False
        self._max_calls = max_calls
        self._max_loop_lag_ms = max_loop_lag_ms
        self._live = live
        self._now_ms = now_ms
        self._expected: dict[CallId, int] = {}  # until when
        self._arriving: Counter[Hashable] = Counter()
        self._loop_lag_ms = 0.0

    def refusal(self, name: Hashable = None) -> str | None:
        """Why no further call can be taken now; None when one can.

        `name`: as in `arriving`, of a call that may be arriving already.
        """
        if self.draining:
            return "draining"
        if self._loop_lag_ms > self._max_loop_lag_ms:
            return "loop_lag"
        others = self._arriving.keys() - {name}
        if len(self._occupied()) + len(others) >= self._max_calls:
            return "max_calls"
        return None

    @contextmanager
    def arriving(self, name: Hashable = None) -> Iterator[None]:
        """A call was let in and has no record yet. One `name` counts once, however often."""
        name = object() if name is None else name
        self._arriving[name] += 1
        try:
            yield
        finally:
            self._arriving[name] -= 1
            if not self._arriving[name]:
                del self._arriving[name]

    def expect(self, call_id: CallId, *, for_ms: int) -> None:
        """This call was taken; its media socket is to come within `for_ms`."""
        self._expected[call_id] = self._now_ms() + for_ms

    def forget(self, call_id: CallId) -> None:
        """This call is expected no more: it is here, or it has ended."""
        self._expected.pop(call_id, None)

    def expected(self) -> frozenset[CallId]:
        """The calls that were taken and whose socket has still to come."""
        self._occupied()
        return frozenset(self._expected)

    @property
    def is_expecting(self) -> bool:
        """Whether a call is on its way to us."""
        return bool(self._arriving or self.expected())

    def lagged(self, seconds: float) -> None:
        """A tick of the event loop came this late.

        A stumble, as of a process that has just started, turns nobody away: only lag that lasts.
        """
        self._loop_lag_ms += (seconds * 1000 - self._loop_lag_ms) * LAG_WEIGHT

    def _occupied(self) -> set[CallId]:
        live = {*self._live()}
        now_ms = self._now_ms()
        self._expected = {
            call_id: until_ms
            for call_id, until_ms in self._expected.items()
            if until_ms > now_ms and call_id not in live
        }
        return live | self._expected.keys()
