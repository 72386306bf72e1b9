"""A call's slow life: its states, what moves it from one to the next, and how it ended.

`advance()` is pure and total: carriers tell late, twice and out of order, so every event is legal
in every state, and one that comes too late changes nothing.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, NewType

from msgspec import Struct

CallId = NewType("CallId", str)

EndedBy = Literal["caller", "agent", "api", "carrier", "limit", "bridge"]


class Direction(StrEnum):
    """Who dialled: INBOUND the person on the line, OUTBOUND we."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class CallState(StrEnum):
    """Forward only. A call is BRIDGED from the media stream's start."""

    QUEUED = "queued"
    RINGING = "ringing"
    ANSWERED = "answered"
    BRIDGED = "bridged"
    ENDED = "ended"


class Outcome(StrEnum):
    """How a call ended, for counting; `CallEnd.cause` is for reading."""

    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    REJECTED = "rejected"
    CANCELED = "canceled"
    CARRIER_FAILED = "carrier_failed"
    OUR_FAULT = "our_fault"


class CallEnd(Struct, frozen=True):
    """How a call ended. `cause` is short snake_case; `ended_by` says whose doing it was."""

    outcome: Outcome
    cause: str
    ended_by: EndedBy


class Call(Struct, frozen=True, kw_only=True):
    """One phone call, whatever sockets and instances it passes through."""

    call_id: CallId
    provider: str
    provider_call_id: str | None
    direction: Direction
    state: CallState
    to: str
    from_: str
    agent: str
    metadata: dict[str, str] = {}
    created_at: datetime
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    end: CallEnd | None = None
    duration_ms: int = 0  # from the answer to the end; 0 without an answer

    # Ours alone, not shown by the API:
    version: int = 0  # one more with each write
    owner: str | None = None  # the instance that holds its bridge
    attached: bool = False  # a media socket is open
    stream_started_at: datetime | None = None
    pending_end: CallEnd | None = None  # decided or told, but the media stream is still to stop
    variables: dict[str, str] = {}
    ring_timeout_s: int | None = None
    max_duration_s: int | None = None
    record: bool = False


# What moves a call -----------------------------------------------------------------------------


class CallRinging(Struct, frozen=True, kw_only=True):
    """The carrier rings the other end."""

    event_id: str  # the carrier's own, so that a repetition is known; unique for ours
    occurred_at: datetime
    provider_call_id: str | None = None


class CallPlaced(Struct, frozen=True, kw_only=True):
    """The carrier took our order to dial and names the call."""

    event_id: str
    occurred_at: datetime
    provider_call_id: str


class CallAnswered(Struct, frozen=True, kw_only=True):
    """Somebody, or a machine, picked up."""

    event_id: str
    occurred_at: datetime
    provider_call_id: str | None = None


class MediaAttached(Struct, frozen=True, kw_only=True):
    """A media stream started; `owner` is the instance that has the socket."""

    event_id: str
    occurred_at: datetime
    owner: str
    stream_id: str
    provider_call_id: str | None = None


class MediaLost(Struct, frozen=True, kw_only=True):
    """The media socket closed without `stop`; another one may come."""

    event_id: str
    occurred_at: datetime
    owner: str


class MediaStopped(Struct, frozen=True, kw_only=True):
    """The media stream is over for good."""

    event_id: str
    occurred_at: datetime
    owner: str


class CallEnding(Struct, frozen=True, kw_only=True):
    """Somebody decided that the call is to end, and the carrier has still to do it."""

    event_id: str
    occurred_at: datetime
    end: CallEnd


class CallEnded(Struct, frozen=True, kw_only=True):
    """The call is over: the carrier says so, or nobody is left who could."""

    event_id: str
    occurred_at: datetime
    end: CallEnd
    provider_call_id: str | None = None


class Noted(Struct, frozen=True, kw_only=True):
    """Something that changes no state: turns, digits, recordings, faults."""

    event_id: str
    occurred_at: datetime
    type: str
    data: dict[str, Any]
    provider_call_id: str | None = None


CallEvent = (
    CallRinging
    | CallPlaced
    | CallAnswered
    | MediaAttached
    | MediaLost
    | MediaStopped
    | CallEnding
    | CallEnded
    | Noted
)


class Entry(Struct, frozen=True):
    """One line of a call's record, before the store gives it an id (interface: Redis)."""

    type: str
    at: datetime
    data: dict[str, Any]


class Step(Struct, frozen=True):
    """What an event did: the call after it, and what is to be written down."""

    call: Call
    entries: tuple[Entry, ...]
