"""Telnyx's Call Control webhooks (API version 2): what each one says, in our words.

Telnyx takes its orders by REST and ignores the body of our replies, so every Answer is a 200 and
perhaps a flow. Parsing never raises: what is no event, or none of ours, gives an empty Notice.
No URL that opens a recording and no text of the carrier's goes on from here.
Telnyx documentation, "Receiving Webhooks for Programmable Voice".
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct
from msgspec.structs import replace

from providers.base import Answer, Notice, Offer, WebhookRequest
from providers.telnyx import client_state, signature
from providers.telnyx.rest import TelnyxRest
from service.core.calls import (
    Call,
    CallAnswered,
    CallEnd,
    CallEnded,
    CallEvent,
    CallReturned,
    CallRinging,
    EndedBy,
    Noted,
    Outcome,
)
from service.core.events import MachineDetected

MAX_TEXT_CHARS = 512  # of an id, a number, a URL

_WORD = re.compile(r"[a-z0-9_]{1,64}")
_DIGIT = re.compile(r"[0-9*#A-D]")

_ENDS: dict[str, tuple[Outcome, EndedBy]] = {
    "normal_clearing": (Outcome.COMPLETED, "caller"),
    "time_limit": (Outcome.COMPLETED, "limit"),
    "timeout": (Outcome.NO_ANSWER, "caller"),
    "no_answer": (Outcome.NO_ANSWER, "caller"),
    "user_busy": (Outcome.BUSY, "caller"),
    "busy": (Outcome.BUSY, "caller"),
    "originator_cancel": (Outcome.CANCELED, "caller"),
    "call_rejected": (Outcome.REJECTED, "caller"),
    "not_found": (Outcome.REJECTED, "carrier"),
    "unallocated_number": (Outcome.REJECTED, "carrier"),
    "unspecified": (Outcome.CARRIER_FAILED, "carrier"),
}
"""What hangup_cause means; the list is open. It does not say which side is the person, for the
event has no direction: an end that we decided was booked before, so what is left is theirs."""

_TALKED_OR_LEFT = frozenset({"normal_clearing", "originator_cancel", "time_limit"})
"""How the other leg of a transfer ends when the person does not come back to us."""

_MACHINES = {
    "human": "human",
    "human_residence": "human",
    "human_business": "human",
    "machine": "machine",
    "beep_detected": "machine",
    "no_beep_detected": "machine",
    "prompt_ended": "machine",
    "ended": "machine",
    "screening": "machine",
    "fax_detected": "fax",
}
"""Who picked up, by the `result` of any of the detection events."""

_GREETING_OVER = frozenset({"beep_detected", "no_beep_detected", "prompt_ended", "ended"})

URL_LIMIT = 4096


class _Told(Struct, frozen=True):
    """One webhook that is an event."""

    kind: str
    event_id: str
    occurred_at: datetime
    control_id: str | None
    payload: dict[str, Any]

    def noted(self, what: str, data: dict[str, Any]) -> Noted:
        return Noted(
            event_id=self.event_id,
            occurred_at=self.occurred_at,
            provider_call_id=self.control_id,
            type=what,
            data=data,
        )


class TelnyxWebhooks:
    """The one callback URL of a Call Control application."""

    paths: tuple[str, ...] = ("/webhook",)

    def __init__(self, key: Ed25519PublicKey, rest: TelnyxRest) -> None:
        self._key = key
        self._rest = rest

    def verify(self, request: WebhookRequest, now_s: float) -> None:
        """Raise SignatureInvalid unless Telnyx signed this body just now."""
        signature.verify(request.body, request.headers, self._key, now_s)

    def parse(self, request: WebhookRequest) -> Notice:
        """What it says; an empty Notice for what is no event."""
        told = _told(request)
        if told is None:
            return Notice()
        if client_state.is_transferred(told.payload.get("client_state")):
            return _others_leg(told)
        digit = _text(told.payload, "digit") or ""
        pressed = told.kind == "call.dtmf.received" and _DIGIT.fullmatch(digit)
        return Notice(
            event_id=told.event_id,
            provider_call_id=told.control_id,
            call_id=client_state.unpack(told.payload.get("client_state")),
            agent=_agent(request.query),
            offer=_offer(told),
            events=_EVENTS.get(told.kind, _nothing)(told),
            digit=digit if pressed else None,
            machine=_found(told),
        )

    def connect(self, call: Call, stream_url: str) -> Answer:
        """Answer the call with its media socket in the same command."""
        return Answer(200, flow=partial(self._rest.answer, call, stream_url))

    def take_back(self, call: Call, stream_url: str) -> Answer:
        """Open the media socket of a call that nobody took."""
        return Answer(200, flow=partial(self._rest.stream, call, stream_url))

    def refuse(self, notice: Notice) -> Answer:
        """Reject the call that is offered as busy."""
        if notice.offer is None:
            return self.acknowledge(notice)
        return Answer(200, flow=partial(self._rest.reject, notice.offer.provider_call_id))

    def let_go(self, notice: Notice) -> Answer:
        """Hang up the call that the notice is about."""
        if notice.provider_call_id is None:
            return self.acknowledge(notice)
        return Answer(200, flow=partial(self._rest.drop, notice.provider_call_id))

    def acknowledge(self, notice: Notice) -> Answer:
        """Heard: 200, or 204 for what was no event. Other statuses would have it sent again."""
        return Answer(204 if notice.event_id is None else 200)


def _told(request: WebhookRequest) -> _Told | None:
    try:
        data = _object(_object(msgspec.json.decode(request.body)).get("data"))
    except (msgspec.DecodeError, RecursionError):
        return None
    kind, event_id = _text(data, "event_type"), _text(data, "id")
    if kind is None or event_id is None:
        return None
    payload = _object(data.get("payload"))
    return _Told(
        kind=kind.replace("_", "."),  # some integrations report streaming_failed for its dots
        event_id=event_id,
        occurred_at=_moment(data.get("occurred_at"))
        or datetime.fromtimestamp(request.received_s, UTC),
        control_id=_text(payload, "call_control_id"),
        payload=payload,
    )


def _offer(told: _Told) -> Offer | None:
    """Only an incoming leg may be answered: `answer` on an outgoing one is error 90102."""
    incoming = told.payload.get("direction") == "incoming"
    if told.kind != "call.initiated" or not incoming or told.control_id is None:
        return None
    return Offer(
        provider_call_id=told.control_id,
        to=_text(told.payload, "to") or "",
        from_=_text(told.payload, "from") or "",
    )


def _agent(query: str) -> str | None:
    try:
        asked = parse_qs(query, max_num_fields=20).get("agent")
    except ValueError:
        return None
    return asked[0][:MAX_TEXT_CHARS] if asked else None


# What each event means to a call ---------------------------------------------------------------


def _nothing(_told: _Told) -> tuple[CallEvent, ...]:
    return ()


def _others_leg(told: _Told) -> Notice:
    """What became of whom the call was handed to. Their leg is not the call: it names nothing.

    Once the two have been connected they hang up together, and the person's own leg tells that.
    """
    about = Notice(
        event_id=told.event_id, call_id=client_state.unpack(told.payload.get("client_state"))
    )
    cause = _word(told.payload.get("hangup_cause"))
    if told.kind != "call.hangup" or cause in _TALKED_OR_LEFT:
        return about
    returned = CallReturned(
        event_id=told.event_id, occurred_at=told.occurred_at, code=f"telnyx.transfer_{cause}"
    )
    return replace(about, asks_stream=True, returns=True, events=(returned,))


def _ringing(told: _Told) -> tuple[CallEvent, ...]:
    """Telnyx has no event for ringing: an outgoing leg that exists is as near as it gets."""
    if told.payload.get("direction") != "outgoing":
        return ()
    ringing = CallRinging(
        event_id=told.event_id, occurred_at=told.occurred_at, provider_call_id=told.control_id
    )
    return (ringing,)


def _answered(told: _Told) -> tuple[CallEvent, ...]:
    """At `occurred_at`: the payload's start_time is when the call was made."""
    answered = CallAnswered(
        event_id=told.event_id, occurred_at=told.occurred_at, provider_call_id=told.control_id
    )
    return (answered,)


def _ended(told: _Told) -> tuple[CallEvent, ...]:
    cause = _word(told.payload.get("hangup_cause"))
    outcome, ended_by = _ENDS.get(cause, (Outcome.CARRIER_FAILED, "carrier"))
    ended = CallEnded(
        event_id=told.event_id,
        occurred_at=told.occurred_at,
        provider_call_id=told.control_id,
        end=CallEnd(outcome, cause, ended_by),
    )
    return (ended,)


def _found(told: _Told) -> MachineDetected | None:
    """Who picked up, for the agent, to whom a fax is a machine like any other."""
    if _EVENTS.get(told.kind) is not _machine:
        return None
    word = _word(told.payload.get("result"))
    result = _MACHINES.get(word, "unknown")
    over = word in _GREETING_OVER
    return MachineDetected("machine" if result == "fax" else result, greeting_over=over)


def _machine(told: _Told) -> tuple[CallEvent, ...]:
    word = _word(told.payload.get("result"))
    data = {"result": _MACHINES.get(word, "unknown"), "detail": word}
    return (told.noted("machine.detected", data),)


def _recorded(told: _Told) -> tuple[CallEvent, ...]:
    """Where to fetch the recording. The URLs are signed and hold for ten minutes: be quick."""
    urls = {
        form: url
        for form, url in _object(told.payload.get("recording_urls")).items()
        if form in ("mp3", "wav") and _is_https(url)
    }
    data = {
        "recording_id": _text(told.payload, "recording_id"),
        "urls": urls,
        "duration_ms": _between_ms(told.payload, "recording_started_at", "recording_ended_at"),
        "channels": _text(told.payload, "channels"),
        "format": _text(told.payload, "format"),
    }
    return (told.noted("recording.saved", data),)


def _stream_failed(told: _Told) -> tuple[CallEvent, ...]:
    reason = _word(told.payload.get("failure_reason"))
    return (told.noted("fault", {"code": "telnyx.streaming_failed", "detail": reason}),)


def _recording_failed(told: _Told) -> tuple[CallEvent, ...]:
    reason = _word(told.payload.get("reason"))
    return (told.noted("fault", {"code": "telnyx.recording_failed", "detail": reason}),)


_EVENTS: dict[str, Callable[[_Told], tuple[CallEvent, ...]]] = {
    "call.initiated": _ringing,
    "call.answered": _answered,
    "call.hangup": _ended,
    "call.machine.detection.ended": _machine,
    "call.machine.greeting.ended": _machine,
    "call.machine.premium.detection.ended": _machine,
    "call.machine.premium.greeting.ended": _machine,
    "call.machine.premium.call.screening.detected": _machine,
    "call.recording.saved": _recorded,
    "call.recording.error": _recording_failed,
    "streaming.failed": _stream_failed,
}
"""By `event_type`, underscores read as dots. What is not here changes nothing."""


# Reading what anybody could have written ---------------------------------------------------------


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    return value if isinstance(value, str) and 0 < len(value) <= MAX_TEXT_CHARS else None


def _word(value: object) -> str:
    """A short snake_case word as it is; "unknown" for anything else."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else "unknown"


def _moment(value: object) -> datetime | None:
    """A time as Telnyx writes it, or nearly so; UTC when it does not say."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _between_ms(fields: dict[str, Any], start: str, end: str) -> int | None:
    began, ended = _moment(fields.get(start)), _moment(fields.get(end))
    if began is None or ended is None or ended < began:
        return None
    return (ended - began) // timedelta(milliseconds=1)


def _is_https(value: object) -> bool:
    if not isinstance(value, str) or len(value) > URL_LIMIT:
        return False
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname)
