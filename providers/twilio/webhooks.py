"""Twilio's HTTP callbacks: what each one says, in our words, and the TwiML that answers.

Parsing never raises: what is no event gives an empty Notice. Fields come as a form or, by GET, as
a query; new ones may appear at any time and are ignored. No text of the carrier's goes on from here
but ids, numbers dialled and the address of a recording.
Twilio documentation: "TwiML Voice", "Call resource" (StatusCallback), "TwiML Voice: <Stream>".
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace

from providers.base import Answer, Notice, Offer, WebhookRequest
from providers.twilio import twiml
from providers.twilio.signature import SignatureCheck, form_fields
from service.core.calls import (
    Call,
    CallAnswered,
    CallEnd,
    CallEnded,
    CallEnding,
    CallEvent,
    CallId,
    CallReturned,
    CallRinging,
    EndedBy,
    Noted,
    Outcome,
)
from service.core.events import MachineDetected

MAX_TEXT_CHARS = 512  # of an id, a number, an address

_SID = re.compile(r"[A-Za-z0-9_-]{1,64}")  # not only "CA" and hex: compatible carriers use UUIDs
_STREAM_FAULT = re.compile(r"\b319\d\d\b")
_SIP_CODE = re.compile(r"[1-6]\d\d")

_ENDS: dict[str, tuple[Outcome, str, EndedBy]] = {
    "completed": (Outcome.COMPLETED, "hung_up", "caller"),
    "busy": (Outcome.BUSY, "busy", "caller"),
    "no-answer": (Outcome.NO_ANSWER, "no_answer", "caller"),
    "failed": (Outcome.CARRIER_FAILED, "failed", "carrier"),
    "canceled": (Outcome.CANCELED, "canceled", "carrier"),
}
"""What a final CallStatus means. Twilio does not tell who hung up: an end that we decided was
booked before, so what is left is the person's, and a canceling not ours is the carrier's."""

_PARTED = CallEnd(Outcome.COMPLETED, "hung_up", "carrier")
"""How a call ends that was handed over: which of the two hung up Twilio does not tell."""

_ANSWERED_BY = {
    "human": "human",
    "fax": "fax",
    "machine_start": "machine",
    "machine_end_beep": "machine",
    "machine_end_silence": "machine",
    "machine_end_other": "machine",
}


class _Told(Struct, frozen=True):
    """One webhook about a call."""

    call_sid: str
    fields: Mapping[str, str]
    received_at: datetime

    def at(self) -> datetime:
        return _moment(self.fields.get("Timestamp", "")) or self.received_at

    def status(self) -> str:
        return self.fields.get("CallStatus", "")

    def noted(self, event_id: str, what: str, data: dict[str, object]) -> Noted:
        return Noted(
            event_id=event_id,
            occurred_at=self.at(),
            provider_call_id=self.call_sid,
            type=what,
            data=data,
        )


class TwilioWebhooks:
    """The callback URLs that we give to Twilio, each with `?call_id=` but for an inbound call."""

    paths: tuple[str, ...] = (
        "/voice",
        "/connect-done",
        "/dial-done",
        "/dial-status",
        "/status",
        "/stream-status",
        "/amd",
        "/recording",
    )

    def __init__(self, *, public_url: str, check: SignatureCheck) -> None:
        self._public_url = public_url.rstrip("/")
        self._check = check

    def verify(self, request: WebhookRequest, now_s: float) -> None:  # noqa: ARG002
        """Raise SignatureInvalid unless Twilio signed it; Twilio's signatures do not grow old."""
        self._check.webhook(request)

    def parse(self, request: WebhookRequest) -> Notice:
        """What it says; an empty Notice for what is no event."""
        query = _first_of_each(form_fields(request.query))
        fields = query
        if request.method == "POST":
            fields = _first_of_each(form_fields(request.body.decode("utf-8", "replace")))
        call_sid = fields.get("CallSid", "")
        if not _SID.fullmatch(call_sid):
            return Notice()
        told = _Told(call_sid, fields, datetime.fromtimestamp(request.received_s, UTC))
        about = Notice(
            provider_call_id=call_sid,
            call_id=CallId(query["call_id"]) if query.get("call_id") else None,
            agent=query.get("agent") or None,
        )
        match request.path.rstrip("/").rpartition("/")[2]:
            case "voice":
                return _voice(told, about)
            case "connect-done":
                return _connect_done(told, about)
            case "dial-done":
                return _dial_done(told, about)
            case "dial-status":
                return _leg_ended(told, about)
            case "amd":
                return replace(
                    about,
                    events=_detected(told),
                    machine=_machine(told),
                    event_id=f"{call_sid}:amd",
                )
            case path if path in _EVENTS:
                return replace(about, events=_EVENTS[path](told))
            case _:
                return Notice()

    def connect(self, call: Call, stream_url: str) -> Answer:
        """Have Twilio open the media socket."""
        return _answer(
            twiml.connect_stream(
                stream_url,
                done_url=self.callback("connect-done", call.call_id),
                status_url=self.callback("stream-status", call.call_id),
            )
        )

    def take_back(self, call: Call, stream_url: str) -> Answer:
        """Open the media socket once more."""
        return self.connect(call, stream_url)

    def refuse(self, notice: Notice) -> Answer:  # noqa: ARG002
        """Decline the call before it is answered: the caller hears busy."""
        return _answer(twiml.REJECT_BUSY)

    def let_go(self, notice: Notice) -> Answer:  # noqa: ARG002
        """Hang up."""
        return _answer(twiml.HANG_UP)

    def acknowledge(self, notice: Notice) -> Answer:  # noqa: ARG002
        """Heard."""
        return Answer(204)

    def callback(self, path: str, call_id: CallId) -> str:
        """One of our callback URLs, about one call."""
        return f"{self._public_url}/twilio/{path}?{urlencode({'call_id': call_id})}"


def _answer(verbs: str) -> Answer:
    return Answer(200, {"content-type": "text/xml; charset=utf-8"}, twiml.response(verbs))


# What each path tells --------------------------------------------------------------------------


def _voice(told: _Told, about: Notice) -> Notice:
    """A call wants instructions: one that came in, or one that we dialled and was answered."""
    if told.fields.get("CallbackSource") == "call-progress-events" or told.status() in _ENDS:
        return replace(about, events=_moved(told))  # a number may have this URL for its status too
    if about.call_id is None:
        to, from_ = told.fields.get("To", ""), told.fields.get("From", "")
        return replace(about, offer=Offer(provider_call_id=told.call_sid, to=to, from_=from_))
    answered = CallAnswered(
        event_id=f"{told.call_sid}:answered",
        occurred_at=told.at(),
        provider_call_id=told.call_sid,
    )
    return replace(about, asks_stream=True, events=(answered, *_detected(told)))


def _connect_done(told: _Told, about: Notice) -> Notice:
    """The stream is over. What next, if the call still lives?

    An inbound call has no other callback that tells its end, unless its number is set to one.
    """
    if told.status() in _ENDS:
        return replace(about, events=_moved(told))
    return replace(about, asks_stream=True)


def _dial_done(told: _Told, about: Notice) -> Notice:
    """A transfer is over: both have talked, or nobody took the call and the person still waits.

    An inbound call may have no other callback that tells its end.
    """
    if told.status() in _ENDS:
        return replace(about, events=_moved(told))
    word = told.fields.get("DialCallStatus", "")
    if word in ("completed", "answered"):
        ended = CallEnded(
            event_id=f"{told.call_sid}:dial-done",
            occurred_at=told.at(),
            provider_call_id=told.call_sid,
            end=_PARTED,
        )
        return replace(about, asks_stream=True, events=(ended,))
    why = word.replace("-", "_") if word in _ENDS else "failed"
    returned = CallReturned(
        event_id=f"{told.call_sid}:dial:{told.fields.get('DialCallSid') or told.at().isoformat()}",
        occurred_at=told.at(),
        provider_call_id=told.call_sid,
        code=f"twilio.transfer_{why}",
    )
    return replace(about, asks_stream=True, returns=True, events=(returned,))


def _leg_ended(told: _Told, about: Notice) -> Notice:
    """The other leg of a transfer was hung up, or not waited for, and so is the call.

    What comes next is /dial-done's to say, but whether Twilio asks for that when it was the person
    who hung up is not documented: without that word the call ends a little later.
    """
    about = replace(about, provider_call_id=told.fields.get("ParentCallSid") or None)
    if told.status() not in ("completed", "canceled"):
        return about  # nobody took it: the person is still there
    ending = CallEnding(event_id=f"{told.call_sid}:leg-ended", occurred_at=told.at(), end=_PARTED)
    return replace(about, events=(ending,))


# What the fields mean to a call ----------------------------------------------------------------


def _moved(told: _Told) -> tuple[CallEvent, ...]:
    """The step of a call's life that a CallStatus tells; none for queued and initiated."""
    status, sid, at = told.status(), told.call_sid, told.at()
    event_id = f"{sid}:{told.fields.get('SequenceNumber') or status}"
    match status:
        case "ringing":
            return (CallRinging(event_id=event_id, occurred_at=at, provider_call_id=sid),)
        case "in-progress":
            return (CallAnswered(event_id=event_id, occurred_at=at, provider_call_id=sid),)
        case _ if status in _ENDS:
            end = _end(told)
            return (CallEnded(event_id=event_id, occurred_at=at, provider_call_id=sid, end=end),)
        case _:
            return ()


def _stream_failed(told: _Told) -> tuple[CallEvent, ...]:
    """Only a fault is news: the socket itself tells when it starts and stops."""
    if told.fields.get("StreamEvent") != "stream-error":
        return ()
    number = _STREAM_FAULT.search(told.fields.get("StreamError", ""))
    data: dict[str, object] = {
        "code": f"twilio.{number[0]}" if number else "twilio.stream_error",
        "detail": "the media stream failed",
    }
    event_id = f"{told.call_sid}:stream-error:{told.fields.get('StreamSid', '')}"
    return (told.noted(event_id, "fault", data),)


def _end(told: _Told) -> CallEnd:
    outcome, cause, ended_by = _ENDS[told.status()]
    sip_code = told.fields.get("SipResponseCode", "")
    if outcome is Outcome.CARRIER_FAILED and _SIP_CODE.fullmatch(sip_code):
        cause = f"sip_{sip_code}"
    return CallEnd(outcome, cause, ended_by)


def _detected(told: _Told) -> tuple[CallEvent, ...]:
    """Who picked up, where answering machine detection ran."""
    word = told.fields.get("AnsweredBy", "")
    if not word:
        return ()
    known = _ANSWERED_BY.get(word)
    data: dict[str, object] = {
        "result": known or "unknown",
        "detail": word if known else "unknown",
        "detection_ms": _number(told.fields.get("MachineDetectionDuration", "")),
    }
    return (told.noted(f"{told.call_sid}:amd", "machine.detected", data),)


def _machine(told: _Told) -> MachineDetected | None:
    """The same for the agent, to whom a fax is a machine like any other."""
    word = told.fields.get("AnsweredBy", "")
    if not word:
        return None
    result = _ANSWERED_BY.get(word, "unknown")
    over = word.startswith("machine_end")
    return MachineDetected("machine" if result == "fax" else result, greeting_over=over)


def _recorded(told: _Told) -> tuple[CallEvent, ...]:
    sid = told.fields.get("RecordingSid", "")
    status = told.fields.get("RecordingStatus", "completed")
    event_id = f"{told.call_sid}:recording:{sid}:{status}"
    if status == "absent":
        fault: dict[str, object] = {
            "code": "twilio.recording_absent",
            "detail": "there was nothing to record",
        }
        return (told.noted(event_id, "fault", fault),)
    url = told.fields.get("RecordingUrl", "")
    if status != "completed" or not _SID.fullmatch(sid) or not url.startswith(("https:", "http:")):
        return ()
    seconds = _number(told.fields.get("RecordingDuration", ""))
    data: dict[str, object] = {
        "recording_id": sid,
        "urls": {"wav": url},  # what the bare address gives; it takes our credentials to open
        "duration_ms": None if seconds is None else seconds * 1000,
    }
    return (told.noted(event_id, "recording.saved", data),)


_EVENTS: dict[str, Callable[[_Told], tuple[CallEvent, ...]]] = {
    "status": _moved,
    "stream-status": _stream_failed,
    "recording": _recorded,
}
"""By path. The other paths say more than events."""


# Reading what anybody could have written -------------------------------------------------------


def _first_of_each(fields: list[tuple[str, str]]) -> dict[str, str]:
    return {name: value[:MAX_TEXT_CHARS] for name, value in reversed(fields)}


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _moment(text: str) -> datetime | None:
    """A time as RFC 2822 writes it (calls) or ISO 8601 (streams); without a zone it is UTC."""
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text)
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            return aware.astimezone(UTC)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None
