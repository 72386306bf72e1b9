"""Calls and events as tests want them: real values, with what matters set and the rest usual."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace
from ulid import ULID

from service.clock import Clock
from service.core.calls import (
    Call,
    CallAnswered,
    CallEnd,
    CallEnded,
    CallId,
    CallState,
    CallTransferred,
    Direction,
    EndedBy,
    MediaAttached,
    MediaStopped,
    Noted,
    Outcome,
)

START = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
_numbers = itertools.count()


class StoppedClock(Clock):
    """Time goes on only when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.moment = START

    def utc(self) -> datetime:
        return self.moment

    def pass_ms(self, ms: int) -> None:
        self.moment += timedelta(milliseconds=ms)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def inbound(provider_call_id: str | None = "CA1", **changes: Any) -> Call:
    call = Call(
        call_id=CallId(f"call_{str(ULID.from_datetime(START))[:10]}{next(_numbers):016d}"),
        provider="acme",
        provider_call_id=provider_call_id,
        direction=Direction.INBOUND,
        state=CallState.RINGING,
        to="+14155550123",
        from_="+525512345678",
        agent="receptionist",
        metadata={"order": "42"},
        created_at=START,
    )
    return replace(call, **changes)


def outbound(**changes: Any) -> Call:
    changes = {"state": CallState.QUEUED, "direction": Direction.OUTBOUND} | changes
    return inbound(None, **changes)


def end(
    outcome: Outcome = Outcome.COMPLETED, cause: str = "hangup", ended_by: EndedBy = "caller"
) -> CallEnd:
    return CallEnd(outcome, cause, ended_by)


def answered(seconds: float = 1, event_id: str = "answered") -> CallAnswered:
    return CallAnswered(event_id=event_id, occurred_at=at(seconds))


def attached(seconds: float = 2, event_id: str = "attached", owner: str = "A") -> MediaAttached:
    return MediaAttached(event_id=event_id, occurred_at=at(seconds), owner=owner, stream_id="MZ1")


def stopped(seconds: float = 8, event_id: str = "stopped", owner: str = "A") -> MediaStopped:
    return MediaStopped(event_id=event_id, occurred_at=at(seconds), owner=owner)


def ended(seconds: float = 9, event_id: str = "ended", how: CallEnd | None = None) -> CallEnded:
    return CallEnded(event_id=event_id, occurred_at=at(seconds), end=how or end())


def noted(
    event_id: str = "note", kind: str = "turn.user", seconds: float = 3, **data: Any
) -> Noted:
    return Noted(event_id=event_id, occurred_at=at(seconds), type=kind, data=data)


def transferred(seconds: float = 7, owner: str = "A") -> CallTransferred:
    return CallTransferred(event_id="transferred", occurred_at=at(seconds), owner=owner)
