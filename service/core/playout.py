"""The ledger of one stream's outgoing sound: what was sent, what was truly heard.

Heard is never more than sent, never less than the last honest mark says, and between the two it
follows the clock it is handed. A mark that comes back after a clear proves nothing, since both
carriers return outstanding marks also on clear: its name carries the generation it was set in.
Positions are milliseconds of sound since the ledger was opened.
"""

from msgspec import Struct

from service.core.events import TurnId

MARK_GRACE_MS = 1000
"""How long after its time a mark may be missing before the clock is believed without it."""

MARKS_KEPT = 64
"""Marks on their way: half a minute's."""

SPANS_KEPT = 64
"""Stretches of sound remembered; a conversation asks only about the newest few."""


class Span(Struct):
    """A stretch of one turn's sound, `start_ms` to `end_ms` as positions in the ledger."""

    turn_id: TurnId
    start_ms: int
    end_ms: int


class PendingMark(Struct, frozen=True):
    """A mark on its way: what it would prove, and when it should be back."""

    position_ms: int
    expected_ms: int


class Playout:
    """Books sound sent, marks and clears; answers how much of a turn was heard."""

    def __init__(self) -> None:
        self.generation = 0
        self.position_ms = 0
        self._marks_set = 0
        self._runs_dry_ms = 0  # when the carrier has nothing left to play, by the clock
        self._proven_ms = 0
        self._spans: list[Span] = []
        self._pending: dict[str, PendingMark] = {}
        self._first_sent: dict[TurnId, int] = {}
        self._first_mark: dict[TurnId, int] = {}

    def sent(self, turn_id: TurnId, duration_ms: int, now_ms: int) -> None:
        """This much sound of the turn goes out now."""
        start_ms = self.position_ms
        self.position_ms = end_ms = start_ms + duration_ms
        if self._runs_dry_ms < now_ms:
            self._runs_dry_ms = now_ms
        self._runs_dry_ms += duration_ms
        last = self._spans[-1] if self._spans else None
        if last is not None and last.turn_id == turn_id and last.end_ms == start_ms:
            last.end_ms = end_ms
            return
        self._spans.append(Span(turn_id, start_ms, end_ms))
        self._first_sent.setdefault(turn_id, now_ms)
        self._forget_old()

    def set_mark(self) -> str:
        """The name for a mark behind everything sent so far."""
        self._marks_set += 1
        name = f"{self.generation}/{self._marks_set}"
        self._pending[name] = PendingMark(self.position_ms, self._runs_dry_ms)
        if len(self._pending) > MARKS_KEPT:  # a peer that never returns any
            del self._pending[next(iter(self._pending))]
        return name

    def mark_returned(self, name: str, now_ms: int) -> bool:
        """Book a mark that came back; False when it proves nothing (cleared, foreign, repeated)."""
        mark = self._pending.pop(name, None)
        if mark is None:
            return False
        self._prove(mark.position_ms, now_ms)
        self._runs_dry_ms = now_ms + self.position_ms - self._proven_ms
        return True

    def clear(self, now_ms: int) -> int:
        """Everything not heard by now is dropped: here, on the way, and at the carrier.

        Returns how much of what was sent that is.
        """
        heard_ms = self.heard_position_ms(now_ms)
        unheard_ms = self.position_ms - heard_ms
        for span in self._spans:
            span.end_ms = max(span.start_ms, min(span.end_ms, heard_ms))
        self.position_ms = self._proven_ms = heard_ms
        self._runs_dry_ms = now_ms
        self._pending.clear()
        self.generation += 1
        return unheard_ms

    def ahead_ms(self, now_ms: int) -> int:
        """How much sound the carrier still has to play, by the clock."""
        return max(0, self._runs_dry_ms - now_ms)

    def heard_position_ms(self, now_ms: int) -> int:
        """How much of everything sent was heard."""
        by_clock = self.position_ms - self.ahead_ms(now_ms)
        for mark in self._pending.values():  # in the order set: the first one limits the most
            if now_ms < mark.expected_ms + MARK_GRACE_MS:
                by_clock = min(by_clock, mark.position_ms)
                break
        return max(by_clock, self._proven_ms)

    def heard_ms(self, turn_id: TurnId, now_ms: int) -> int:
        """How much of this turn was heard."""
        heard_ms = self.heard_position_ms(now_ms)
        return sum(
            max(0, min(span.end_ms, heard_ms) - span.start_ms)
            for span in self._spans
            if span.turn_id == turn_id
        )

    def first_sent_ms(self, turn_id: TurnId) -> int | None:
        """When the turn's first sound went out; None: none has, or it is long past."""
        return self._first_sent.get(turn_id)

    def first_mark_ms(self, turn_id: TurnId) -> int | None:
        """When a mark first proved that some of the turn was heard; None: none has yet."""
        return self._first_mark.get(turn_id)

    def runs_dry_ms(self) -> int:
        """When the carrier has played everything sent, by the clock."""
        return self._runs_dry_ms

    def settled_ms(self) -> int:
        """When everything sent counts as heard even if no mark comes back any more."""
        return self._runs_dry_ms + MARK_GRACE_MS

    def _prove(self, position_ms: int, now_ms: int) -> None:
        for span in self._spans:
            if self._proven_ms < span.end_ms and span.start_ms < position_ms:
                self._first_mark.setdefault(span.turn_id, now_ms)
        self._proven_ms = max(self._proven_ms, position_ms)

    def _forget_old(self) -> None:
        while len(self._spans) > SPANS_KEPT:
            turn_id = self._spans.pop(0).turn_id
            self._first_sent.pop(turn_id, None)
            self._first_mark.pop(turn_id, None)
