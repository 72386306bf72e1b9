"""A call's slow life: its states, what moves it from one to the next, and how it ended.

`advance()` is pure and total: carriers tell late, twice and out of order, so every event is legal
in every state, and one that comes too late changes nothing.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, NewType, assert_never

from msgspec import Struct
from msgspec.structs import replace

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
    rang_at: datetime | None = None  # at the far end; one that comes to us rings from the start
    attached: bool = False  # a media socket is open
    stream_started_at: datetime | None = None
    stream_lost_at: datetime | None = None  # the socket is gone and may come back
    stream_stopped_at: datetime | None = None  # for good
    transferred_at: datetime | None = None  # the carrier was told to connect somebody else
    returned: bool = False  # nobody took it, and the next stream has still to start
    pending_end: CallEnd | None = None  # decided or told, but the media stream is still to stop
    variables: dict[str, str] = {}
    overrides: dict[str, Any] = {}  # what this call has otherwise than its agent's file says
    ring_timeout_s: int | None = None
    max_duration_s: int | None = None
    record: bool = False
    record_cassette: bool = False
    detect_machine: bool = False  # the carrier is to find out whether a machine picked up

    @property
    def our_number(self) -> str:
        """The number of ours in this call; "" when the carrier told none."""
        return self.to if self.direction is Direction.INBOUND else self.from_


# What moves a call -----------------------------------------------------------------------------


class CallRinging(Struct, frozen=True, kw_only=True):
    """The carrier rings the other end."""

    event_id: str  # the carrier's own, so that a repetition is known; unique for ours
    occurred_at: datetime
    provider_call_id: str | None = None


class CallPlaced(Struct, frozen=True, kw_only=True):
    """The carrier took our order to dial and names the call.

    `renames`: this name counts from now on, whatever the call was named before.
    """

    event_id: str
    occurred_at: datetime
    provider_call_id: str
    renames: bool = False


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


class CallTransferred(Struct, frozen=True, kw_only=True):
    """The carrier took our order to connect the person with somebody else: we are out of it."""

    event_id: str
    occurred_at: datetime
    owner: str


class CallReturned(Struct, frozen=True, kw_only=True):
    """Nobody took the call that we handed over: the person is to have the agent again.

    `code` says why, such as "twilio.transfer_busy".
    """

    event_id: str
    occurred_at: datetime
    code: str
    provider_call_id: str | None = None


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
    | CallTransferred
    | CallReturned
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


# The table -------------------------------------------------------------------------------------

_LATER = frozenset({"recording.saved", "fault"})
"""What may still be written down when the call is over."""

_ORDER = {state: place for place, state in enumerate(CallState)}


def advance(call: Call, event: CallEvent) -> Step:
    """The call after `event`, and what is to be written down about it.

    | event           | moves the call                     | writes                               |
    |-----------------|------------------------------------|--------------------------------------|
    | CallPlaced      | learns the carrier's id            |                                      |
    | CallRinging     | queued -> ringing                  | call.ringing, once, however late     |
    | CallAnswered    | queued, ringing -> answered        | call.answered                        |
    | MediaAttached   | any -> bridged, has an owner       | call.answered, stream.started, once  |
    | MediaLost       | waits; ends if an end is pending   |                                      |
    | MediaStopped    | waits; ends if an end is pending   | stream.stopped, once                 |
    | CallTransferred | nobody's; ends if an end is        | stream.stopped                       |
    |                 | pending                            |                                      |
    | CallReturned    | a transferred one waits for its    | fault; stream.started once more when |
    |                 | socket as if that had been lost    | that has come                        |
    | CallEnding      | an end is pending, the first wins  |                                      |
    | CallEnded       | ended; pending while a socket is   | stream.stopped if due, call.ended    |
    |                 | attached, whose owner speaks last  |                                      |
    | Noted           |                                    | what it says                         |

    An ended call learns the carrier's id and takes notes of recordings and faults, nothing else.
    """
    call = _named(call, event)
    if call.state is CallState.ENDED:
        return _after_end(call, event)
    match event:
        case CallPlaced():
            return Step(call, ())
        case CallRinging():
            return _ring(call, event.occurred_at)
        case CallAnswered():
            return _answer(call, event.occurred_at)
        case MediaAttached():
            return _attach(call, event)
        case MediaLost() | MediaStopped() | CallTransferred():
            return _detach(call, event)
        case CallReturned():
            return _return(call, event)
        case CallEnding():
            return Step(_ending(call, event.end), ())
        case CallEnded():
            call = _ending(call, event.end)
            return Step(call, ()) if call.attached else _end(call, event.occurred_at)
        case Noted():
            return Step(call, (Entry(event.type, event.occurred_at, event.data),))
        case _ as unknown:
            assert_never(unknown)


def describe_end(call: Call) -> dict[str, Any] | None:
    """How the call ended as the outside sees it; None while it lives."""
    if call.end is None:
        return None
    return {
        "outcome": str(call.end.outcome),
        "cause": call.end.cause,
        "ended_by": call.end.ended_by,
        "duration_ms": call.duration_ms,
    }


def _named(call: Call, event: CallEvent) -> Call:
    if isinstance(event, MediaLost | MediaStopped | CallTransferred | CallEnding):
        return call
    renamed = isinstance(event, CallPlaced) and event.renames
    if event.provider_call_id is None or (call.provider_call_id is not None and not renamed):
        return call
    return replace(call, provider_call_id=event.provider_call_id)


def _after_end(call: Call, event: CallEvent) -> Step:
    if isinstance(event, Noted) and event.type in _LATER:
        return Step(call, (Entry(event.type, event.occurred_at, event.data),))
    return Step(call, ())


def _ring(call: Call, at: datetime) -> Step:
    """News of the ringing may come after that of the answer: it moves nothing, but it is news."""
    if call.rang_at is not None or call.direction is Direction.INBOUND:
        return Step(call, ())
    at = _not_before(call, at)
    state = CallState.RINGING if call.state is CallState.QUEUED else call.state
    return Step(replace(call, state=state, rang_at=at), (Entry("call.ringing", at, {}),))


def _answer(call: Call, at: datetime) -> Step:
    if _ORDER[call.state] >= _ORDER[CallState.ANSWERED]:
        return Step(call, ())
    at = _not_before(call, at)
    answered = replace(call, state=CallState.ANSWERED, answered_at=at)
    return Step(answered, (Entry("call.answered", at, {}),))


def _attach(call: Call, event: MediaAttached) -> Step:
    if call.stream_stopped_at is not None:
        return Step(call, ())  # told late: that stream is over, and its stop is written down
    call, entries = _unpack(_answer(call, event.occurred_at))
    if call.stream_started_at is None or call.returned:
        at = _not_before(call, event.occurred_at)
        entries += (Entry("stream.started", at, {"stream_id": event.stream_id}),)
        first_at = call.stream_started_at or at
        call = replace(call, state=CallState.BRIDGED, stream_started_at=first_at, returned=False)
    return Step(replace(call, owner=event.owner, attached=True, stream_lost_at=None), entries)


def _detach(call: Call, event: MediaLost | MediaStopped | CallTransferred) -> Step:
    """Only the owner of the newest socket has a say: an older one was replaced."""
    if call.owner != event.owner or call.stream_stopped_at is not None:
        return Step(call, ())
    at = _not_before(call, event.occurred_at)
    entries: tuple[Entry, ...] = ()
    if not isinstance(event, MediaLost):
        call, entries = _unpack(_stop(call, at))
    elif call.attached:
        call = replace(call, attached=False, stream_lost_at=at)
    if isinstance(event, CallTransferred):
        call = replace(call, owner=None, transferred_at=at)
    if call.pending_end is None:
        return Step(call, entries)
    ended = _end(call, at)
    return Step(ended.call, entries + ended.entries)


def _stop(call: Call, at: datetime) -> Step:
    call = replace(call, attached=False, stream_lost_at=None, stream_stopped_at=at)
    return Step(call, (Entry("stream.stopped", at, {}),))


def _return(call: Call, event: CallReturned) -> Step:
    """Too late once an end is pending, and told twice when nobody has the call."""
    if call.transferred_at is None or call.pending_end is not None:
        return Step(call, ())
    at = _not_before(call, event.occurred_at)
    call = replace(
        call, transferred_at=None, returned=True, stream_stopped_at=None, stream_lost_at=at
    )
    fault = {"code": event.code, "detail": "nobody took the call that was handed over"}
    return Step(call, (Entry("fault", at, fault),))


def _ending(call: Call, end: CallEnd) -> Call:
    return call if call.pending_end is not None else replace(call, pending_end=end)


def _end(call: Call, at: datetime) -> Step:
    entries: tuple[Entry, ...] = ()
    ended_at = _not_before(call, at)
    streaming = call.stream_started_at is not None and call.stream_stopped_at is None
    if streaming and not call.returned:
        call, entries = _unpack(_stop(call, ended_at))
    answered_at = call.answered_at or ended_at
    call = replace(
        call,
        state=CallState.ENDED,
        ended_at=ended_at,
        end=_truth(call),
        pending_end=None,
        attached=False,
        duration_ms=round((ended_at - answered_at).total_seconds() * 1000),
    )
    return Step(call, (*entries, Entry("call.ended", ended_at, describe_end(call) or {})))


def _not_before(call: Call, at: datetime) -> datetime:
    """Carriers tell times to the second: nothing lies before what is known to come before it."""
    known = (call.created_at, call.answered_at, call.stream_started_at, call.stream_stopped_at)
    return max(at, *(moment for moment in known if moment is not None))


def _truth(call: Call) -> CallEnd | None:
    """The pending end; a call that was answered while we canceled it was completed."""
    end = call.pending_end
    if end is not None and end.outcome is Outcome.CANCELED and call.answered_at is not None:
        return replace(end, outcome=Outcome.COMPLETED)
    return end


def _unpack(step: Step) -> tuple[Call, tuple[Entry, ...]]:
    return step.call, step.entries
