"""What a call waits for, how long at most, and how it ends when that does not come.

Pure: the store turns the waiting time into a lease, the sweep asks for the verdict.
"""

from datetime import datetime, timedelta
from enum import Enum, auto
from typing import assert_never

from msgspec import Struct

from service.core.calls import (
    Call,
    CallEnd,
    CallEnded,
    CallEvent,
    CallState,
    Direction,
    MediaLost,
    Outcome,
)

RING_MS = 60_000
"""How long an outbound call rings when its order does not say."""

TRANSFERRED_MS = 14_400_000
"""How long a call that was handed over may last where nothing limits it: as carriers have it."""

GRACE_MS = 10_000
"""How long after the carrier should have told us something we give up waiting for it."""


class Limits(Struct, frozen=True, kw_only=True):
    """The waiting times that are settings."""

    attach_ms: int = 20_000
    reattach_ms: int = 5000
    lease_ms: int = 15_000


class Phase(Enum):
    """What a call waits for."""

    DIALLING = auto()  # the person, to pick up
    WAITING = auto()  # the carrier, to open its media socket
    ATTACHED = auto()  # the instance that holds the socket, to say that it lives
    LOST = auto()  # the carrier, to open another socket
    TRANSFERRED = auto()  # those on the line, to have talked
    STOPPED = auto()  # the carrier, to tell how it ended
    ENDING = auto()  # the carrier, to end it as it was told to
    OVER = auto()


def phase(call: Call) -> Phase:
    """What this call waits for."""
    if call.state is CallState.ENDED:
        return Phase.OVER
    if call.attached:
        return Phase.ATTACHED
    if call.pending_end is not None:
        return Phase.ENDING
    if call.transferred_at is not None:
        return Phase.TRANSFERRED
    if call.stream_stopped_at is not None:
        return Phase.STOPPED
    if call.stream_lost_at is not None:
        return Phase.LOST
    if call.direction is Direction.OUTBOUND and call.answered_at is None:
        return Phase.DIALLING
    return Phase.WAITING


def patience_ms(call: Call, limits: Limits) -> int | None:
    """How long the call may stay in its phase; None: for ever."""
    match phase(call):
        case Phase.OVER:
            return None
        case Phase.ATTACHED:
            return limits.lease_ms
        case Phase.LOST:
            return limits.reattach_ms
        case Phase.TRANSFERRED:
            return _transferred_ms(call)
        case Phase.STOPPED | Phase.ENDING:
            return GRACE_MS
        case Phase.DIALLING:
            ring_ms = RING_MS if call.ring_timeout_s is None else call.ring_timeout_s * 1000
            return ring_ms + GRACE_MS
        case Phase.WAITING:
            return limits.attach_ms
        case _ as unknown:
            assert_never(unknown)


def _transferred_ms(call: Call) -> int:
    """What is left of the call's longest duration when it is handed over."""
    if call.max_duration_s is None or call.transferred_at is None:
        return TRANSFERRED_MS
    lasted = call.transferred_at - (call.answered_at or call.created_at)
    return max(call.max_duration_s * 1000 - round(lasted.total_seconds() * 1000), 0)


def _talks_on(call: Call, now: datetime) -> bool:
    """A call that was handed over, and may still last."""
    if phase(call) is not Phase.TRANSFERRED or call.transferred_at is None:
        return False
    return now < call.transferred_at + timedelta(milliseconds=_transferred_ms(call))


_ENDS = {
    Phase.DIALLING: CallEnd(Outcome.NO_ANSWER, "ring_timeout", "limit"),
    Phase.WAITING: CallEnd(Outcome.NO_ANSWER, "no_stream", "caller"),
    Phase.ATTACHED: CallEnd(Outcome.OUR_FAULT, "instance_lost", "bridge"),
    Phase.LOST: CallEnd(Outcome.CARRIER_FAILED, "stream_lost", "carrier"),
    Phase.TRANSFERRED: CallEnd(Outcome.COMPLETED, "max_duration", "limit"),
    Phase.STOPPED: CallEnd(Outcome.COMPLETED, "stream_stopped", "caller"),
    Phase.ENDING: CallEnd(Outcome.COMPLETED, "hung_up", "bridge"),
}
"""How a call ends when what it waits for does not come, and nobody has said otherwise."""


def verdict(call: Call, now: datetime) -> tuple[CallEvent, ...]:
    """What happened to a call whose patience ran out; nothing to one that is over.

    Nor to one that was handed over before its time has come: whoever held it may have renewed, and
    so shortened, its lease once more.
    """
    now_phase = phase(call)
    if now_phase is Phase.OVER or _talks_on(call, now):
        return ()
    # The same name for the same verdict on the same version, whoever passes it.
    name = f"sweep.{call.version}"
    end = call.pending_end or _ENDS[now_phase]
    ended = CallEnded(event_id=f"{name}.ended", occurred_at=now, end=end)
    if call.owner is None or now_phase is not Phase.ATTACHED:
        return (ended,)
    return MediaLost(event_id=f"{name}.lost", occurred_at=now, owner=call.owner), ended
