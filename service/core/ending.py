"""How a call is to end: at once, or once everything said before has been heard.

Pure. The engine may want to hang up or to hand the call over, and the person may talk it out of
that; what comes from outside stays. A call ends once.
"""

from service.core.calls import CallEnd, Outcome
from service.core.commands import Command, EndCall, Transfer
from service.core.events import EndRequested, HangUpRequested, TransferRequested

ENGINE_FAILED = CallEnd(Outcome.OUR_FAULT, "engine_failed", "bridge")
VOICEMAIL = CallEnd(Outcome.COMPLETED, "voicemail", "agent")
IDLE = CallEnd(Outcome.COMPLETED, "idle", "agent")


class Ending:
    """One call's way to its end."""

    def __init__(self, max_duration_ms: int | None) -> None:
        self.handed_over = False  # the carrier was told to take the call elsewhere
        self._max_duration_ms = max_duration_ms
        self._ends_ms: int | None = None
        self._end: CallEnd | None = None
        self._transfer: TransferRequested | None = None
        self._over = False

    @property
    def is_near(self) -> bool:
        """Whether there is a last step, once everything has been heard."""
        return not self._over and (self._end is not None or self._transfer is not None)

    def started(self, now_ms: int) -> None:
        """The stream has begun: from here on the time is counted."""
        if self._ends_ms is None and self._max_duration_ms is not None:
            self._ends_ms = now_ms + self._max_duration_ms

    def is_overdue(self, now_ms: int) -> bool:
        """Whether the call has lasted for as long as it may."""
        return not self._over and self._ends_ms is not None and now_ms >= self._ends_ms

    def wanted(self, wish: EndRequested | TransferRequested) -> None:
        """The engine, or for a transfer somebody outside, wants this."""
        if isinstance(wish, TransferRequested):
            self._transfer = wish
        else:
            self.will_be(CallEnd(Outcome.COMPLETED, wish.cause, "agent"))

    def will_be(self, end: CallEnd) -> None:
        """This is how it ends."""
        self._end = end

    def goes_to(self, number: str) -> None:
        """Before it ends, this number may take it."""
        self._transfer = TransferRequested(number, from_outside=True)

    def interrupted(self) -> None:
        """The person has more to say: what the engine wanted is off."""
        if self._end is not None and self._end.ended_by == "agent":
            self._end = None
        if self._transfer is not None and not self._transfer.from_outside:
            self._transfer = None

    def not_handed_over(self) -> None:
        """The carrier did not take the order."""
        self.handed_over = False

    def last_step(self) -> list[Command]:
        """Everything has been said and heard."""
        if self._transfer is not None:
            self.handed_over, to, self._transfer = True, self._transfer.to, None
            return [Transfer(to)]
        if self.handed_over or self._end is None:
            return []
        return self._finish(self._end)

    def at_once(self, order: HangUpRequested) -> list[Command]:
        """Somebody outside, or a limit, ends it without waiting."""
        outcome = Outcome.OUR_FAULT if order.ended_by == "bridge" else Outcome.COMPLETED
        return self._finish(CallEnd(outcome, order.cause, order.ended_by))

    def _finish(self, end: CallEnd) -> list[Command]:
        if self._over:
            return []
        self._over = True
        return [EndCall(end)]
