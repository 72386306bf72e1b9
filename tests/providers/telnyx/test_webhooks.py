"""What webhooks say: events as they were captured, and as they might be broken."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.base import Answer, HttpResponse, Notice, Offer, WebhookRequest
from providers.telnyx import client_state
from providers.telnyx.rest import TelnyxRest
from providers.telnyx.signature import sign
from providers.telnyx.webhooks import TelnyxWebhooks
from service.core.calls import (
    Call,
    CallAnswered,
    CallEnd,
    CallEnded,
    CallId,
    CallReturned,
    CallRinging,
    CallState,
    Direction,
    EndedBy,
    Noted,
    Outcome,
)
from service.core.errors import CallGone, SignatureInvalid
from service.core.events import MachineDetected

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
WEBHOOKS = TelnyxWebhooks(
    KEY.public_key(),
    TelnyxRest(
        api_key="KEY0",
        connection_id="1000000000000000001",
        api_base="https://api.telnyx.com/v2",
        webhook_url="https://bridge.example/telnyx/webhook",
    ),
)
AT = datetime(2026, 1, 1, 12, 0, 1, 250_000, UTC)
OURS = base64.b64encode(b'{"call_id":"call_01J9"}').decode()
CALL = Call(
    call_id=CallId("call_01J9"),
    provider="telnyx",
    provider_call_id="v3:AbC",
    direction=Direction.INBOUND,
    state=CallState.RINGING,
    to="+15550100002",
    from_="+15550100001",
    agent="receptionist",
    created_at=AT,
)


def envelope(event_type: str, **payload: Any) -> dict[str, Any]:
    return {
        "data": {
            "record_type": "event",
            "event_type": event_type,
            "id": "8f0c7c0e-0d5a-4f5e-9a53-1b6f0f4f9a11",
            "occurred_at": "2026-01-01T12:00:01.250000Z",
            "payload": {
                "call_control_id": "v3:AbC",
                "call_leg_id": "1f2e",
                "connection_id": "1000000000000000001",
                "client_state": None,
                "from": "+15550100001",
                "to": "+15550100002",
                **payload,
            },
        },
        "meta": {"attempt": 1, "delivered_to": "https://bridge.example/telnyx/webhook"},
    }


def request(body: bytes, query: str = "", headers: dict[str, str] | None = None) -> WebhookRequest:
    return WebhookRequest("POST", "/telnyx/webhook", query, headers or {}, body)


def heard(event: dict[str, Any], query: str = "") -> Notice:
    return WEBHOOKS.parse(request(json.dumps(event).encode(), query))


def noted(event: dict[str, Any]) -> Noted:
    (entry,) = heard(event).events
    assert isinstance(entry, Noted)
    return entry


# Calls -----------------------------------------------------------------------------------------


def test_an_incoming_call_is_an_offer() -> None:
    notice = heard(envelope("call.initiated", direction="incoming", state="parked"))
    assert notice.offer == Offer(provider_call_id="v3:AbC", to="+15550100002", from_="+15550100001")
    assert notice.events == ()
    assert notice.provider_call_id == "v3:AbC"
    assert notice.call_id is None
    assert notice.agent is None


def test_the_webhook_url_asks_for_an_agent() -> None:
    event = envelope("call.initiated", direction="incoming")
    assert heard(event, "agent=front%20desk&x=1").agent == "front desk"
    assert heard(event, "agent=").agent is None
    assert heard(event, "&".join("x=1" for _ in range(50))).agent is None


def test_a_withheld_number_is_still_an_offer() -> None:
    offer = heard(envelope("call.initiated", direction="incoming", **{"from": None})).offer
    assert offer == Offer(provider_call_id="v3:AbC", to="+15550100002", from_="")


def test_an_outgoing_leg_rings_and_is_no_offer() -> None:
    notice = heard(envelope("call.initiated", direction="outgoing", client_state=OURS))
    assert notice.offer is None
    assert notice.call_id == "call_01J9"
    assert notice.events == (
        CallRinging(
            event_id="8f0c7c0e-0d5a-4f5e-9a53-1b6f0f4f9a11",
            occurred_at=AT,
            provider_call_id="v3:AbC",
        ),
    )


@pytest.mark.parametrize("direction", [None, "sideways"])
def test_a_leg_of_unknown_direction_is_neither_answered_nor_ringing(direction: str | None) -> None:
    notice = heard(envelope("call.initiated", direction=direction))
    assert (notice.offer, notice.events) == (None, ())


def test_a_call_is_answered_when_it_occurred_not_when_the_call_was_made() -> None:
    event = envelope("call.answered", start_time="2026-01-01T11:59:50Z", client_state=OURS)
    notice = heard(event)
    assert notice.call_id == "call_01J9"
    assert notice.events == (
        CallAnswered(
            event_id="8f0c7c0e-0d5a-4f5e-9a53-1b6f0f4f9a11",
            occurred_at=AT,
            provider_call_id="v3:AbC",
        ),
    )


@pytest.mark.parametrize(
    ("hangup_cause", "outcome", "ended_by"),
    [
        ("normal_clearing", Outcome.COMPLETED, "caller"),
        ("time_limit", Outcome.COMPLETED, "limit"),
        ("timeout", Outcome.NO_ANSWER, "caller"),
        ("no_answer", Outcome.NO_ANSWER, "caller"),
        ("user_busy", Outcome.BUSY, "caller"),
        ("busy", Outcome.BUSY, "caller"),
        ("originator_cancel", Outcome.CANCELED, "caller"),
        ("call_rejected", Outcome.REJECTED, "caller"),
        ("not_found", Outcome.REJECTED, "carrier"),
        ("unallocated_number", Outcome.REJECTED, "carrier"),
        ("unspecified", Outcome.CARRIER_FAILED, "carrier"),
        ("solar_flare", Outcome.CARRIER_FAILED, "carrier"),
    ],
)
@pytest.mark.parametrize("hangup_source", ["caller", "callee", "unknown"])
def test_how_a_call_ended(
    hangup_cause: str, outcome: Outcome, ended_by: EndedBy, hangup_source: str
) -> None:
    event = envelope(
        "call.hangup",
        hangup_cause=hangup_cause,
        hangup_source=hangup_source,
        sip_hangup_cause="200",
        call_quality_stats=None,
    )
    (ended,) = heard(event).events
    assert isinstance(ended, CallEnded)
    assert ended.occurred_at == AT
    assert ended.end == CallEnd(outcome, hangup_cause, ended_by)


@pytest.mark.parametrize("cause", [None, 16, "", "Called +15550100002", "x" * 65, {"a": 1}])
def test_a_call_that_ended_for_no_readable_cause_has_ended(cause: object) -> None:
    (ended,) = heard(envelope("call.hangup", hangup_cause=cause)).events
    assert isinstance(ended, CallEnded)
    assert ended.end == CallEnd(Outcome.CARRIER_FAILED, "unknown", "carrier")


# Other news ------------------------------------------------------------------------------------


@pytest.mark.parametrize("digit", list("0123456789*#ABCD"))
def test_a_key_press_is_told_with_the_id_by_which_a_repetition_is_known(digit: str) -> None:
    notice = heard(envelope("call.dtmf.received", digit=digit))
    assert notice.digit == digit
    assert notice.event_id == "8f0c7c0e-0d5a-4f5e-9a53-1b6f0f4f9a11"
    assert notice.events == ()


@pytest.mark.parametrize("digit", [None, "", "12", "E", 5, "\u0661"])
def test_what_is_no_key_is_no_key_press(digit: object) -> None:
    assert heard(envelope("call.dtmf.received", digit=digit)).digit is None


@pytest.mark.parametrize(
    ("event_type", "word", "result"),
    [
        ("call.machine.detection.ended", "human", "human"),
        ("call.machine.detection.ended", "machine", "machine"),
        ("call.machine.detection.ended", "not_sure", "unknown"),
        ("call.machine.greeting.ended", "beep_detected", "machine"),
        ("call.machine.premium.detection.ended", "human_residence", "human"),
        ("call.machine.premium.detection.ended", "fax_detected", "fax"),
        ("call.machine.premium.detection.ended", "silence", "unknown"),
        ("call.machine.premium.greeting.ended", "prompt_ended", "machine"),
        ("call.machine.premium.call_screening.detected", "screening", "machine"),
    ],
)
def test_who_picked_up(event_type: str, word: str, result: str) -> None:
    entry = noted(envelope(event_type, result=word))
    assert entry.type == "machine.detected"
    assert entry.data == {"result": result, "detail": word}


def test_a_recording_is_told_with_the_urls_that_open_it() -> None:
    event = envelope(
        "call.recording.saved",
        channels="dual",
        recording_id="r1",
        format="wav",
        recording_started_at="2026-01-01T12:00:02Z",
        recording_ended_at="2026-01-01T12:01:02.500Z",
        recording_urls={
            "wav": "https://s3.example/a/b.wav?X-Amz-Signature=5ecret&X-Amz-Expires=600#f",
            "mp3": "ftp://s3.example/a/b.mp3",
            "ogg": 7,
        },
        public_recording_urls={"wav": "https://s3.example/p.wav?5ecret"},
    )
    entry = noted(event)
    assert entry.type == "recording.saved"
    assert entry.data == {
        "recording_id": "r1",
        "urls": {"wav": "https://s3.example/a/b.wav?X-Amz-Signature=5ecret&X-Amz-Expires=600#f"},
        "duration_ms": 60_500,
        "channels": "dual",
        "format": "wav",
    }


@pytest.mark.parametrize("urls", [None, [], {"wav": None}, {"wav": "https://[broken"}, {"wav": ""}])
def test_a_recording_without_readable_urls_is_still_saved(urls: object) -> None:
    assert noted(envelope("call.recording.saved", recording_urls=urls)).data["urls"] == {}


@pytest.mark.parametrize(
    ("event", "code", "detail"),
    [
        (
            envelope("streaming.failed", failure_reason="connection_failed"),
            "telnyx.streaming_failed",
            "connection_failed",
        ),
        (
            envelope("streaming.failed", failure_reason="no wss://x/t0k3n"),
            "telnyx.streaming_failed",
            "unknown",
        ),
        (
            envelope("call.recording.error", reason="Failed for +15550100002"),
            "telnyx.recording_failed",
            "unknown",
        ),
    ],
)
def test_trouble_at_telnyx_is_a_fault(event: dict[str, Any], code: str, detail: str) -> None:
    entry = noted(event)
    assert entry.type == "fault"
    assert entry.data == {"code": code, "detail": detail}


def test_names_with_underscores_are_the_names_with_dots() -> None:
    assert noted(envelope("streaming_failed")).type == "fault"
    (ended,) = heard(envelope("call_hangup", hangup_cause="normal_clearing")).events
    assert isinstance(ended, CallEnded)


@pytest.mark.parametrize(
    "event_type",
    [
        "call.playback.ended",
        "streaming.started",
        "call.bridged",
        "call.cost",
        "conference.whatever",
    ],
)
def test_events_that_change_nothing_are_heard_in_silence(event_type: str) -> None:
    notice = heard(envelope(event_type, status="completed"))
    assert (notice.events, notice.offer, notice.digit) == ((), None, None)
    assert notice.provider_call_id == "v3:AbC"


@pytest.mark.parametrize("started_at", [None, "soon", "2026-01-01T12:00:03Z"])
def test_a_recordings_length_is_unknown_when_its_times_make_no_sense(started_at: object) -> None:
    event = envelope(
        "call.recording.saved",
        recording_started_at=started_at,
        recording_ended_at="2026-01-01T12:00:02Z",
    )
    assert noted(event).data["duration_ms"] is None


# Bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("occurred_at", "at"),
    [
        ("2026-01-01T12:00:01.250Z", AT),
        ("2026-01-01T12:00:01.250000999Z", AT),
        ("2026-01-01T14:00:01.25+02:00", AT),
        ("2026-01-01T12:00:01.250000", AT),
        ("yesterday", datetime(2026, 1, 1, tzinfo=UTC)),
        (1767225600, datetime(2026, 1, 1, tzinfo=UTC)),
        (None, datetime(2026, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00+05:00", datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_leniently_and_else_is_when_it_came(
    occurred_at: object, at: datetime
) -> None:
    event = envelope("call.answered")
    event["data"]["occurred_at"] = occurred_at
    body = json.dumps(event).encode()
    came = msgspec.structs.replace(request(body), received_s=1767225600.0)
    (answered,) = WEBHOOKS.parse(came).events
    assert answered.occurred_at == at


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        b"CallSid=CA1&From=%2B15550100001",
        b'{"data":null}',
        b'{"data":{"event_type":"call.hangup"}}',
        b'{"data":{"id":"e1","occurred_at":"2026-01-01T00:00:00Z"}}',
        b'{"data":{"id":7,"event_type":"call.hangup","occurred_at":"2026-01-01T00:00:00Z"}}',
        b'{"data":' + b"[" * 60_000,
    ],
)
def test_what_is_no_event_is_an_empty_notice(body: bytes) -> None:
    assert WEBHOOKS.parse(request(body)) == Notice()


def test_an_event_without_payload_names_no_call() -> None:
    event = envelope("call.hangup")
    event["data"]["payload"] = None
    assert heard(event).provider_call_id is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = ["call_control_id", "client_state", "from", "to", "direction", "digit", "hangup_cause"]
FIELDS += ["result", "recording_urls", "failure_reason", "reason", "recording_id"]
KINDS = ["call.initiated", "call.answered", "call.hangup", "call.dtmf.received", "streaming.failed"]
KINDS += ["call.recording.saved", "call.recording.error", "call.machine.detection.ended"]


@given(
    kind=st.sampled_from(KINDS),
    changed=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4),
    outside=st.dictionaries(st.sampled_from(["id", "occurred_at", "payload"]), JSON, max_size=2),
    query=st.text(max_size=20),
)
@settings(max_examples=200, deadline=None)
def test_no_content_however_strange_makes_parsing_raise(
    kind: str, changed: dict[str, Any], outside: dict[str, Any], query: str
) -> None:
    event = envelope(kind, **changed)
    event["data"].update(outside)
    notice = heard(event, query)
    msgspec.json.encode(notice.events)  # what goes to the store can be written


@given(body=st.binary(max_size=80))
def test_no_bytes_make_parsing_raise(body: bytes) -> None:
    assert WEBHOOKS.parse(request(body)) == Notice()


# Answers ---------------------------------------------------------------------------------------


def commanded(answer: Answer) -> tuple[str, dict[str, Any]]:
    """The one command of an answer: the end of its URL and its body."""
    assert answer.status == 200
    assert answer.flow is not None
    first, flow = next(answer.flow()), answer.flow()
    command = next(flow)
    assert first == command  # which tells the carrier that a second attempt is none of its own
    with pytest.raises(StopIteration):
        flow.send(HttpResponse(200, {}, b'{"data":{"result":"ok"}}'))
    return command.url.removeprefix("https://api.telnyx.com/v2/calls/"), json.loads(command.body)


def test_a_call_is_taken_by_answering_with_its_stream() -> None:
    action, body = commanded(WEBHOOKS.connect(CALL, "wss://bridge.example/telnyx/stream/t0k3n"))
    assert action == "v3%3AAbC/actions/answer"
    assert body["stream_url"] == "wss://bridge.example/telnyx/stream/t0k3n"
    assert body["client_state"] == OURS


def test_a_caller_who_left_before_the_answer_is_gone() -> None:
    answer = WEBHOOKS.connect(CALL, "wss://bridge.example/telnyx/stream/t0k3n")
    assert answer.flow is not None
    flow = answer.flow()
    next(flow)
    with pytest.raises(CallGone):
        flow.send(HttpResponse(422, {}, b'{"errors":[{"code":"90018","title":"T"}]}'))


def test_a_full_house_rejects_the_offer_as_busy() -> None:
    notice = heard(envelope("call.initiated", direction="incoming"))
    action, body = commanded(WEBHOOKS.refuse(notice))
    assert action == "v3%3AAbC/actions/reject"
    assert body["cause"] == "USER_BUSY"


def test_letting_go_hangs_up() -> None:
    action, _ = commanded(WEBHOOKS.let_go(heard(envelope("call.answered"))))
    assert action == "v3%3AAbC/actions/hangup"


def test_a_notice_about_no_call_is_only_acknowledged() -> None:
    for say in (WEBHOOKS.refuse, WEBHOOKS.let_go, WEBHOOKS.acknowledge):
        assert say(Notice()) == Answer(204)
    assert WEBHOOKS.acknowledge(heard(envelope("call.cost"))) == Answer(200)


def test_only_a_signed_webhook_is_verified() -> None:
    body = json.dumps(envelope("call.answered")).encode()
    signed = request(body, headers=sign(body, KEY, 1767225600))
    WEBHOOKS.verify(signed, 1767225600.0)
    with pytest.raises(SignatureInvalid):
        WEBHOOKS.verify(signed, 1767225600.0 + 301)
    with pytest.raises(SignatureInvalid):
        WEBHOOKS.verify(request(body), 1767225600.0)


# Handed over -------------------------------------------------------------------------------------

THEIRS = client_state.pack(CALL.call_id, client_state.TRANSFERRED)


def others_leg(event_type: str, **payload: Any) -> Notice:
    ids = {"call_control_id": "v3:other", "client_state": THEIRS}
    return heard(envelope(event_type, **ids | payload))


@pytest.mark.parametrize(
    ("event_type", "payload"),
    [
        ("call.initiated", {"direction": "outgoing"}),
        ("call.initiated", {"direction": "incoming"}),
        ("call.answered", {}),
        ("call.bridged", {}),
        ("call.dtmf.received", {"digit": "5"}),
        ("call.hangup", {"hangup_cause": "normal_clearing"}),
        ("call.hangup", {"hangup_cause": "originator_cancel"}),
    ],
)
def test_the_leg_that_a_call_is_handed_to_is_not_the_call(
    event_type: str, payload: dict[str, Any]
) -> None:
    notice = others_leg(event_type, **payload)
    assert notice == Notice(call_id=CALL.call_id, event_id=notice.event_id)


@pytest.mark.parametrize("cause", ["user_busy", "timeout", "call_rejected", "not_found"])
def test_a_call_that_nobody_took_is_given_back(cause: str) -> None:
    notice = others_leg("call.hangup", hangup_cause=cause)
    assert notice.returns
    assert notice.asks_stream
    assert notice.provider_call_id is None
    [event] = notice.events
    assert isinstance(event, CallReturned)
    assert event.code == f"telnyx.transfer_{cause}"


def test_a_call_is_taken_back_by_streaming_again() -> None:
    name, body = commanded(WEBHOOKS.take_back(CALL, "wss://bridge.example/s/t"))
    assert name.endswith("/streaming_start")
    assert body["stream_url"] == "wss://bridge.example/s/t"


@pytest.mark.parametrize(
    ("event_type", "word", "machine"),
    [
        ("call.machine.detection.ended", "human", MachineDetected("human")),
        ("call.machine.detection.ended", "machine", MachineDetected("machine")),
        ("call.machine.detection.ended", "not_sure", MachineDetected("unknown")),
        (
            "call.machine.greeting.ended",
            "beep_detected",
            MachineDetected("machine", greeting_over=True),
        ),
        ("call.machine.greeting.ended", "ended", MachineDetected("machine", greeting_over=True)),
        ("call.answered", "machine", None),
    ],
)
def test_the_agent_is_told_who_picked_up(
    event_type: str, word: str, machine: MachineDetected | None
) -> None:
    assert heard(envelope(event_type, result=word)).machine == machine
