"""Twilio's callbacks with the fields it sends, and what we answer."""

from datetime import UTC, datetime
from urllib.parse import parse_qs, urlencode, urlsplit
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.twiml.voice_response import Connect, VoiceResponse

from providers.base import Notice, Offer, WebhookRequest
from providers.twilio.signature import SignatureCheck
from providers.twilio.webhooks import TwilioWebhooks
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
    CallState,
    Direction,
    Noted,
    Outcome,
)
from service.core.events import MachineDetected

PUBLIC = "https://bridge.example.org/phone"
CALL_SID = "CAffeeddccbbaa99887766554433221100"
RECEIVED = datetime(2026, 9, 1, 12, 0, 30, tzinfo=UTC)
TOLD = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)
STANDARD = {
    "AccountSid": "AC00112233445566778899aabbccddeeff",
    "ApiVersion": "2010-04-01",
    "CallSid": CALL_SID,
    "CallStatus": "ringing",
    "Direction": "inbound",
    "From": "+525512345678",
    "To": "+14155550123",
    "FromCity": "",
}
CALL = Call(
    call_id=CallId("call_01 &<'\"ñ"),
    provider="twilio",
    provider_call_id=CALL_SID,
    direction=Direction.INBOUND,
    state=CallState.QUEUED,
    to="+14155550123",
    from_="+525512345678",
    agent="default",
    created_at=TOLD,
)


@pytest.fixture
def webhooks() -> TwilioWebhooks:
    return TwilioWebhooks(public_url=PUBLIC, check=SignatureCheck(PUBLIC, ("token",)))


def request(path: str, query: str = "", **fields: str) -> WebhookRequest:
    return WebhookRequest(
        "POST",
        path,
        query,
        {"content-type": "application/x-www-form-urlencoded; charset=UTF-8"},
        urlencode(fields).encode(),
        RECEIVED.timestamp(),
    )


def told(
    webhooks: TwilioWebhooks, path: str, query: str = "call_id=call_1", **fields: str
) -> Notice:
    return webhooks.parse(request(path, query, **STANDARD | fields))


def only(notice: Notice) -> CallEvent:
    [event] = notice.events
    return event


def status(webhooks: TwilioWebhooks, call_status: str, number: int = 3, **fields: str) -> Notice:
    return told(
        webhooks,
        "/twilio/status",
        CallStatus=call_status,
        SequenceNumber=str(number),
        Timestamp="Tue, 01 Sep 2026 12:00:00 +0000",
        CallbackSource="call-progress-events",
        **fields,
    )


# What they say ---------------------------------------------------------------------------------


def test_a_call_that_rings_is_offered(webhooks: TwilioWebhooks) -> None:
    assert told(webhooks, "/twilio/voice", "agent=night%20desk") == Notice(
        provider_call_id=CALL_SID,
        agent="night desk",
        offer=Offer(provider_call_id=CALL_SID, to="+14155550123", from_="+525512345678"),
    )


def test_a_get_request_says_the_same(webhooks: TwilioWebhooks) -> None:
    asked = WebhookRequest("GET", "/twilio/voice", urlencode(STANDARD | {"agent": "day"}), {})
    notice = webhooks.parse(asked)
    assert notice.offer is not None
    assert notice.agent == "day"
    asked = WebhookRequest(
        "GET",
        "/twilio/status",
        urlencode({"call_id": "call_1", "CallSid": CALL_SID, "CallStatus": "busy"}),
        {},
    )
    notice = webhooks.parse(asked)
    assert notice.call_id == "call_1"
    assert isinstance(only(notice), CallEnded)


def test_a_withheld_number_is_offered_as_it_comes(webhooks: TwilioWebhooks) -> None:
    notice = told(webhooks, "/twilio/voice", "", From="anonymous")
    assert notice.offer is not None
    assert notice.offer.from_ == "anonymous"


def test_a_call_we_dialled_asks_for_its_stream_when_answered(webhooks: TwilioWebhooks) -> None:
    notice = told(webhooks, "/twilio/voice", CallStatus="in-progress", Direction="outbound-api")
    assert (notice.offer, notice.asks_stream, notice.call_id) == (None, True, "call_1")
    event = only(notice)
    assert isinstance(event, CallAnswered)
    assert event.occurred_at == RECEIVED
    assert event.provider_call_id == CALL_SID


def test_a_machine_that_was_heard_before_the_answer_is_noted(webhooks: TwilioWebhooks) -> None:
    notice = told(
        webhooks, "/twilio/voice", CallStatus="in-progress", AnsweredBy="machine_end_beep"
    )
    [_, event] = notice.events
    assert isinstance(event, Noted)
    assert (event.type, event.data["result"]) == ("machine.detected", "machine")


def test_a_status_callback_sent_to_the_voice_url_is_no_new_call(webhooks: TwilioWebhooks) -> None:
    for fields in (
        {"CallStatus": "completed"},
        {"CallStatus": "ringing", "CallbackSource": "call-progress-events"},
    ):
        notice = told(webhooks, "/twilio/voice", "", **fields)
        assert notice.offer is None
        assert not notice.asks_stream
        assert len(notice.events) == 1


def test_the_end_of_a_stream_asks_what_comes_next(webhooks: TwilioWebhooks) -> None:
    notice = told(webhooks, "/twilio/connect-done", CallStatus="in-progress")
    assert notice == Notice(provider_call_id=CALL_SID, call_id=CallId("call_1"), asks_stream=True)


def test_the_end_of_a_stream_because_the_person_hung_up_ends_the_call(
    webhooks: TwilioWebhooks,
) -> None:
    notice = told(webhooks, "/twilio/connect-done", CallStatus="completed")
    assert not notice.asks_stream
    assert isinstance(only(notice), CallEnded)


def test_ringing_and_answer_are_told_with_twilio_s_time(webhooks: TwilioWebhooks) -> None:
    ringing, answered = only(status(webhooks, "ringing", 1)), only(status(webhooks, "in-progress"))
    assert isinstance(ringing, CallRinging)
    assert isinstance(answered, CallAnswered)
    assert ringing.occurred_at == answered.occurred_at == TOLD


@pytest.mark.parametrize("call_status", ["queued", "initiated", "", "new-status"])
def test_a_status_that_moves_nothing_has_no_event(
    webhooks: TwilioWebhooks, call_status: str
) -> None:
    assert status(webhooks, call_status).events == ()


@pytest.mark.parametrize(
    ("call_status", "sip_code", "end"),
    [
        ("completed", "200", CallEnd(Outcome.COMPLETED, "hung_up", "caller")),
        ("busy", "486", CallEnd(Outcome.BUSY, "busy", "caller")),
        ("no-answer", "487", CallEnd(Outcome.NO_ANSWER, "no_answer", "caller")),
        ("failed", "404", CallEnd(Outcome.CARRIER_FAILED, "sip_404", "carrier")),
        ("failed", "", CallEnd(Outcome.CARRIER_FAILED, "failed", "carrier")),
        ("failed", "+14155550123", CallEnd(Outcome.CARRIER_FAILED, "failed", "carrier")),
        ("canceled", "487", CallEnd(Outcome.CANCELED, "canceled", "carrier")),
    ],
)
def test_how_a_call_ended(
    webhooks: TwilioWebhooks, call_status: str, sip_code: str, end: CallEnd
) -> None:
    event = only(status(webhooks, call_status, SipResponseCode=sip_code))
    assert isinstance(event, CallEnded)
    assert event.end == end
    assert event.occurred_at == TOLD


def test_a_repetition_has_the_event_id_of_the_first_and_another_event_has_not(
    webhooks: TwilioWebhooks,
) -> None:
    notices = [
        status(webhooks, "ringing", 1),
        status(webhooks, "in-progress", 2),
        status(webhooks, "completed", 3),
        told(webhooks, "/twilio/voice", CallStatus="in-progress"),
        told(webhooks, "/twilio/amd", AnsweredBy="human"),
        told(webhooks, "/twilio/connect-done", CallStatus="completed"),
        told(webhooks, "/twilio/stream-status", StreamEvent="stream-error", StreamSid="MZ1"),
        told(webhooks, "/twilio/stream-status", StreamEvent="stream-error", StreamSid="MZ2"),
        told(webhooks, "/twilio/recording", RecordingSid="RE1", RecordingUrl="https://x/RE1"),
        told(webhooks, "/twilio/recording", RecordingSid="RE2", RecordingUrl="https://x/RE2"),
    ]
    ids = [only(notice).event_id for notice in notices]
    assert len(set(ids)) == len(ids)
    assert only(status(webhooks, "ringing", 1)).event_id == ids[0]
    assert only(told(webhooks, "/twilio/amd", AnsweredBy="human")).event_id == ids[4]


@pytest.mark.parametrize("timestamp", ["", "yesterday", "Tue, 99 Sep 2026 12:00:00 +0000", "0"])
def test_a_time_that_cannot_be_read_is_the_time_of_arrival(
    webhooks: TwilioWebhooks, timestamp: str
) -> None:
    event = only(told(webhooks, "/twilio/status", Timestamp=timestamp))
    assert isinstance(event, CallRinging)
    assert event.occurred_at == RECEIVED


def test_a_stream_that_could_not_be_opened_is_a_fault_without_its_address(
    webhooks: TwilioWebhooks,
) -> None:
    notice = told(
        webhooks,
        "/twilio/stream-status",
        StreamSid="MZ1",
        StreamEvent="stream-error",
        StreamError="31920 - Handshake Error: wss://bridge.example.org/twilio/stream/sesame",
        Timestamp="2026-09-01T12:00:00.123456789Z",
    )
    event = only(notice)
    assert isinstance(event, Noted)
    assert (event.type, event.data["code"]) == ("fault", "twilio.31920")
    assert event.occurred_at == TOLD.replace(microsecond=123456)
    assert "sesame" not in str(event)


@pytest.mark.parametrize("stream_event", ["stream-started", "stream-stopped", ""])
def test_a_stream_s_start_and_stop_are_no_news(webhooks: TwilioWebhooks, stream_event: str) -> None:
    notice = told(webhooks, "/twilio/stream-status", StreamEvent=stream_event)
    assert notice.events == ()
    assert notice.call_id == "call_1"


@pytest.mark.parametrize(
    ("answered_by", "result", "detail"),
    [
        ("human", "human", "human"),
        ("machine_start", "machine", "machine_start"),
        ("fax", "fax", "fax"),
        ("unknown", "unknown", "unknown"),
        ("<script>", "unknown", "unknown"),
    ],
)
def test_who_picked_up_is_noted(
    webhooks: TwilioWebhooks, answered_by: str, result: str, detail: str
) -> None:
    notice = told(webhooks, "/twilio/amd", AnsweredBy=answered_by, MachineDetectionDuration="1840")
    event = only(notice)
    assert isinstance(event, Noted)
    assert event.type == "machine.detected"
    assert event.data == {"result": result, "detail": detail, "detection_ms": 1840}


def test_a_recording_is_noted_with_where_it_lies(webhooks: TwilioWebhooks) -> None:
    notice = told(
        webhooks,
        "/twilio/recording",
        RecordingSid="RE1",
        RecordingUrl="https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1",
        RecordingStatus="completed",
        RecordingDuration="49",
    )
    event = only(notice)
    assert isinstance(event, Noted)
    assert event.type == "recording.saved"
    assert event.data == {
        "recording_id": "RE1",
        "urls": {"wav": "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1"},
        "duration_ms": 49_000,
    }


def test_a_recording_that_holds_nothing_is_a_fault(webhooks: TwilioWebhooks) -> None:
    event = only(told(webhooks, "/twilio/recording", RecordingSid="RE1", RecordingStatus="absent"))
    assert isinstance(event, Noted)
    assert (event.type, event.data["code"]) == ("fault", "twilio.recording_absent")


@pytest.mark.parametrize(
    "fields",
    [
        {"RecordingStatus": "in-progress", "RecordingSid": "RE1", "RecordingUrl": "https://x/"},
        {"RecordingStatus": "completed", "RecordingSid": "RE1", "RecordingUrl": "javascript:1"},
        {"RecordingStatus": "completed", "RecordingUrl": "https://x/"},
    ],
)
def test_a_recording_that_is_not_there_is_not_saved(
    webhooks: TwilioWebhooks, fields: dict[str, str]
) -> None:
    assert told(webhooks, "/twilio/recording", **fields).events == ()


@given(
    st.sampled_from(["POST", "GET", "PUT", ""]),
    st.sampled_from(["voice", "connect-done", "status", "stream-status", "amd", "recording", "x"]),
    st.text(max_size=30),
    st.binary(max_size=60),
    st.dictionaries(
        st.sampled_from(
            ["CallSid", "CallStatus", "Timestamp", "AnsweredBy", "RecordingUrl", "RecordingSid"]
        ),
        st.text(max_size=30) | st.sampled_from(["CA1", "ringing", "failed", "https://x/"]),
    ),
)
def test_whatever_comes_is_a_notice(
    method: str, path: str, query: str, body: bytes, fields: dict[str, str]
) -> None:
    webhooks = TwilioWebhooks(public_url=PUBLIC, check=SignatureCheck(PUBLIC, ("token",)))
    whole = body + b"&" + urlencode(fields, errors="replace").encode()
    for asked in (whole, body):
        webhooks.parse(WebhookRequest(method, f"/twilio/{path}", query, {}, asked))
    assert webhooks.parse(WebhookRequest("POST", f"/twilio/{path}", query, {}, b"")) == Notice()


def test_what_is_about_no_call_or_on_another_path_is_empty(webhooks: TwilioWebhooks) -> None:
    assert told(webhooks, "/twilio/voice", CallSid="") == Notice()
    assert told(webhooks, "/twilio/voice", CallSid="../../x") == Notice()
    assert told(webhooks, "/twilio/other") == Notice()
    assert told(webhooks, "/") == Notice()


# What we answer --------------------------------------------------------------------------------

STREAM = "wss://bridge.example.org/phone/twilio/stream/0123456789abcdef"


def test_connect_opens_one_stream_and_leaves_nothing_but_a_hang_up_behind_it(
    webhooks: TwilioWebhooks,
) -> None:
    answer = webhooks.connect(CALL, STREAM)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/xml")
    root = ElementTree.fromstring(answer.body)
    assert [verb.tag for verb in root] == ["Connect", "Hangup"]
    [stream] = root[0]
    assert stream.tag == "Stream"
    assert stream.attrib["url"] == STREAM
    assert "track" not in stream.attrib


def test_connect_s_callbacks_carry_the_call_and_our_public_address(
    webhooks: TwilioWebhooks,
) -> None:
    root = ElementTree.fromstring(webhooks.connect(CALL, STREAM).body)
    for url, path in (
        (root[0].attrib["action"], "/phone/twilio/connect-done"),
        (root[0][0].attrib["statusCallback"], "/phone/twilio/stream-status"),
    ):
        assert urlsplit(url).path == path
        assert urlsplit(url).netloc == "bridge.example.org"
        assert parse_qs(urlsplit(url).query) == {"call_id": [CALL.call_id]}


def canonical(xml: str | bytes) -> str:
    return ElementTree.canonicalize(xml)


def test_our_twiml_is_what_the_sdk_would_write(webhooks: TwilioWebhooks) -> None:
    expected = VoiceResponse()
    connect = Connect(action=webhooks.callback("connect-done", CALL.call_id), method="POST")
    connect.stream(
        url=STREAM,
        status_callback=webhooks.callback("stream-status", CALL.call_id),
        status_callback_method="POST",
    )
    expected.append(connect)
    expected.hangup()
    ours = webhooks.connect(CALL, STREAM).body
    assert canonical(ours.decode()) == canonical(str(expected))

    busy, over = VoiceResponse(), VoiceResponse()
    busy.reject(reason="busy")
    over.hangup()
    assert canonical(webhooks.refuse(Notice()).body.decode()) == canonical(str(busy))
    assert canonical(webhooks.let_go(Notice()).body.decode()) == canonical(str(over))


def test_an_acknowledgement_is_empty(webhooks: TwilioWebhooks) -> None:
    answer = webhooks.acknowledge(Notice())
    assert (answer.status, answer.body) == (204, b"")


# Handed over -----------------------------------------------------------------------------------


def dial_done(webhooks: TwilioWebhooks, dial_status: str, **fields: str) -> Notice:
    more = {"CallStatus": "in-progress", "DialCallStatus": dial_status, "DialCallSid": "CA2"}
    return told(webhooks, "/twilio/dial-done", **more | fields)


def test_a_transfer_that_was_talked_out_ends_the_call(webhooks: TwilioWebhooks) -> None:
    notice = dial_done(webhooks, "completed", DialCallDuration="12", DialBridged="true")
    event = only(notice)
    assert isinstance(event, CallEnded)
    assert event.end == CallEnd(Outcome.COMPLETED, "hung_up", "carrier")
    assert notice.asks_stream  # and is told to hang up, since the call is over
    assert not notice.returns


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("busy", "twilio.transfer_busy"),
        ("no-answer", "twilio.transfer_no_answer"),
        ("failed", "twilio.transfer_failed"),
        ("canceled", "twilio.transfer_canceled"),
        ("", "twilio.transfer_failed"),
        ("+14155550100", "twilio.transfer_failed"),
    ],
)
def test_a_transfer_that_nobody_took_gives_the_call_back(
    webhooks: TwilioWebhooks, word: str, code: str
) -> None:
    notice = dial_done(webhooks, word)
    event = only(notice)
    assert isinstance(event, CallReturned)
    assert (event.code, event.event_id) == (code, f"{CALL_SID}:dial:CA2")
    assert notice.returns
    assert notice.asks_stream


def test_a_person_who_hung_up_during_a_transfer_ended_the_call(webhooks: TwilioWebhooks) -> None:
    notice = dial_done(webhooks, "no-answer", CallStatus="completed")
    event = only(notice)
    assert isinstance(event, CallEnded)
    assert event.end.ended_by == "caller"
    assert not notice.asks_stream


def test_a_call_is_taken_back_as_it_was_taken(webhooks: TwilioWebhooks) -> None:
    url = "wss://bridge.example.org/phone/twilio/stream/t"
    assert webhooks.take_back(CALL, url) == webhooks.connect(CALL, url)


@pytest.mark.parametrize(
    ("word", "machine"),
    [
        ("human", MachineDetected("human")),
        ("machine_start", MachineDetected("machine")),
        ("machine_end_beep", MachineDetected("machine", greeting_over=True)),
        ("machine_end_silence", MachineDetected("machine", greeting_over=True)),
        ("fax", MachineDetected("machine")),
        ("unknown", MachineDetected("unknown")),
        ("", None),
    ],
)
def test_the_agent_is_told_who_picked_up(
    webhooks: TwilioWebhooks, word: str, machine: MachineDetected | None
) -> None:
    notice = told(webhooks, "/twilio/amd", AnsweredBy=word)
    assert notice.machine == machine
    assert notice.event_id == f"{CALL_SID}:amd"


@pytest.mark.parametrize("leg_status", ["completed", "canceled"])
def test_the_end_of_the_leg_that_took_the_call_lets_the_call_end(
    webhooks: TwilioWebhooks, leg_status: str
) -> None:
    fields = {"CallSid": "CA2", "ParentCallSid": CALL_SID, "CallStatus": leg_status}
    notice = told(webhooks, "/twilio/dial-status", **fields)
    event = only(notice)
    assert isinstance(event, CallEnding)
    assert event.end == CallEnd(Outcome.COMPLETED, "hung_up", "carrier")
    assert (notice.call_id, notice.provider_call_id) == ("call_1", CALL_SID)
    assert not notice.asks_stream


@pytest.mark.parametrize("leg_status", ["busy", "no-answer", "failed", "in-progress", ""])
def test_a_leg_that_nobody_took_leaves_the_call_to_the_action(
    webhooks: TwilioWebhooks, leg_status: str
) -> None:
    fields = {"CallSid": "CA2", "ParentCallSid": CALL_SID, "CallStatus": leg_status}
    assert told(webhooks, "/twilio/dial-status", **fields).events == ()
