"""Whole calls at the Twilio twin, with a small bridge in the same process on a virtual clock."""

import asyncio
import audioop
import base64
import itertools
import math
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from starlette.responses import Response

from service.media.g711 import decode_pcmu
from service.replay.virtual import VirtualLoop
from service.twin.behaviour import Delivery, Faults, Outcome, RestFault, Signing, forged
from service.twin.caller import (
    Disturb,
    DropSocket,
    Freeze,
    HangUp,
    InterruptAfter,
    Press,
    Raw,
    Redial,
    Say,
    Silence,
    Step,
    WaitForAgent,
)
from service.twin.record import CallRecord
from service.twin.twilio import TwilioTwin
from tests.twin.sounds import QUIET, tone
from tests.twin.twilio_bridge import (
    BASE,
    SID,
    TOKEN,
    Phone,
    Talk,
    TwilioBridge,
    new_twin,
    rest_of,
)

_TO, _FROM = "+14155550123", "+525512345678"
_CALLS = f"/2010-04-01/Accounts/{SID}/Calls"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


async def _listen(phone: Phone) -> None:
    await phone.until_closed()


async def _call(talk: Talk, *steps: Step, **options: Any) -> tuple[TwilioTwin, TwilioBridge]:
    bridge = TwilioBridge(talk)
    twin = new_twin(bridge, **options)
    await twin.call(_TO, _FROM, steps)
    return twin, bridge


async def test_the_bridge_hears_the_person_and_the_person_hears_the_bridge() -> None:
    async def talk(phone: Phone) -> None:
        await phone.next("start")
        await phone.play(tone(1000))
        await phone.until_closed()

    spoken = tone(500, hz=700)
    twin, bridge = await _call(
        talk, WaitForAgent(quiet_ms=200), Say(spoken), HangUp(), status_url=f"{BASE}/status"
    )
    [record] = twin.records
    assert bridge.bad_signatures == 0
    assert twin.warnings == []
    assert record.status == "completed"
    assert record.heard_pcmu()[: 1000 * 8] == tone(1000)
    media = [m for m in bridge.phones[0].received if m["event"] == "media"]
    assert [m["sequenceNumber"] for m in media] == [str(n) for n in range(2, len(media) + 2)]
    assert media[0]["media"]["timestamp"] == "155"
    assert bridge.phones[0].received[-1]["event"] == "stop"
    assert record.streams[0].ended == "hangup"
    assert [form["CallStatus"] for form in bridge.told("/status")] == ["completed"]


async def test_the_upgrade_looks_like_twilios() -> None:
    _, bridge = await _call(_listen, HangUp())
    [headers] = bridge.upgrade_headers
    assert headers["user-agent"] == "Twilio.TmeWs/1.0"
    assert not headers.keys() & {"origin", "sec-websocket-extensions", "sec-websocket-protocol"}


async def test_the_voice_webhook_has_blank_fields_and_they_are_signed() -> None:
    _, bridge = await _call(_listen, HangUp())
    [voice] = bridge.told("/voice")
    assert voice["FromCity"] == ""
    assert voice["CallStatus"] == "ringing"
    assert bridge.bad_signatures == 0


async def test_marks_come_back_in_order_as_the_sound_is_played() -> None:
    async def talk(phone: Phone) -> None:
        await phone.next("start")
        await phone.mark("at once")
        await phone.play(tone(300))
        await phone.mark("one")
        await phone.play(tone(300))
        await phone.mark("two")
        await phone.until_closed()

    twin, bridge = await _call(talk, Silence(1000), HangUp())
    echoes = twin.records[0].marks()
    assert [(echo.name, echo.cleared) for echo in echoes] == [
        ("at once", False),
        ("one", False),
        ("two", False),
    ]
    assert echoes[2].at_ms - echoes[1].at_ms == pytest.approx(300, abs=1)
    told = [m["mark"]["name"] for m in bridge.phones[0].received if m["event"] == "mark"]
    assert told == ["at once", "one", "two"]


async def test_clear_silences_the_agent_and_returns_its_marks() -> None:
    async def talk(phone: Phone) -> None:
        await phone.next("start")
        await phone.play(tone(3000))
        await phone.mark("end")
        heard = QUIET
        while heard.strip(QUIET) == b"":
            heard = base64.b64decode((await phone.next("media"))["media"]["payload"])
        await phone.send("clear")
        await phone.until_closed()

    twin, _ = await _call(talk, InterruptAfter(500, tone(200)), Silence(1000), HangUp())
    [record] = twin.records
    assert [echo.cleared for echo in record.marks()] == [True]
    [span] = record.spans()
    assert 500 <= span.end_ms - span.start_ms <= 600
    assert len(record.streams[0].clears_at_ms) == 1


async def test_keys_reach_the_bridge_as_dtmf() -> None:
    _, bridge = await _call(_listen, Press("5#"), HangUp())
    keys = [m["dtmf"] for m in bridge.phones[0].received if m["event"] == "dtmf"]
    assert keys == [{"track": "inbound_track", "digit": d} for d in "5#"]


async def test_a_bad_message_is_warned_about_and_the_stream_goes_on() -> None:
    async def talk(phone: Phone) -> None:
        await phone.next("start")
        await phone.socket.send_bytes(b"\xff" * 160)
        await phone.send("media", media={"payload": "", "track": "outbound"})
        await phone.play(tone(100))
        await phone.until_closed()

    twin, _ = await _call(talk, Silence(500), HangUp())
    assert [warned.code for warned in twin.warnings] == ["31950", "31951"]
    assert tone(100) in twin.records[0].heard_pcmu()


async def test_a_closed_socket_goes_on_with_the_action_and_a_new_stream() -> None:
    async def talk(phone: Phone) -> None:
        await phone.next("start")
        if len(bridge.phones) == 1:
            await phone.socket.close(1000)
        else:
            await phone.until_closed()

    bridge = TwilioBridge(talk)
    bridge.answers["/done"] = [bridge.connect()]
    twin = new_twin(bridge)
    await twin.call(_TO, _FROM, [Silence(1000), HangUp()])
    [record] = twin.records
    assert [stream.ended for stream in record.streams] == ["closed", "hangup"]
    assert record.streams[0].stream_id != record.streams[1].stream_id
    assert bridge.arrivals.count("/done") == 1
    assert bridge.told("/done")[0]["CallStatus"] == "in-progress"


async def test_without_a_verb_after_the_stream_a_closed_socket_hangs_up() -> None:
    async def talk(phone: Phone) -> None:
        await phone.next("start")
        await phone.socket.close(1000)

    twin, _ = await _call(talk, Silence(5000))
    assert twin.records[0].status == "completed"


@pytest.mark.parametrize(("code", "seen"), [(None, 1006), (1001, 1001)])
async def test_a_lost_socket_has_no_stop_and_asks_for_the_action(
    code: int | None, seen: int
) -> None:
    closed: list[int] = []

    async def talk(phone: Phone) -> None:
        try:
            while True:
                message = await phone.socket.receive()
                if message["type"] == "websocket.disconnect":
                    closed.append(message["code"])
                    return
        finally:
            assert not any(m["event"] == "stop" for m in phone.received)

    _, bridge = await _call(talk, Silence(200), DropSocket(code))
    assert closed == [seen]
    assert bridge.arrivals.count("/done") == 1
    events = [form["StreamEvent"] for form in bridge.told("/stream-status")]
    assert events == ["stream-started", "stream-error"]


async def test_a_refused_upgrade_is_error_31920() -> None:
    bridge = TwilioBridge(_listen)
    bridge.refuse_sockets = True
    twin = new_twin(bridge)
    await twin.call(_TO, _FROM, [HangUp()])
    assert [warned.code for warned in twin.warnings] == ["31920"]
    [event] = bridge.told("/stream-status")
    assert event["StreamEvent"] == "stream-error"


async def test_reject_declines_without_a_socket() -> None:
    bridge = TwilioBridge(_listen)
    bridge.answers["/voice"] = ['<Response><Reject reason="busy"/></Response>']
    twin = new_twin(bridge, status_url=f"{BASE}/status")
    await twin.call(_TO, _FROM, [])
    assert twin.records[0].status == "busy"
    assert bridge.told("/status")[0]["SipResponseCode"] == "486"
    assert bridge.phones == []


@pytest.mark.parametrize(
    "document", ["", "<Response>", "<Response><Connect><Stream/></Connect></Response>"]
)
async def test_twiml_that_cannot_be_carried_out_fails_the_call(document: str) -> None:
    bridge = TwilioBridge(_listen)
    bridge.answers["/voice"] = [document]
    twin = new_twin(bridge)
    await twin.call(_TO, _FROM, [])
    assert twin.records[0].status == "failed"
    assert len(twin.warnings) == 1


async def test_stream_status_has_nine_digits_and_no_call_status() -> None:
    _, bridge = await _call(_listen, HangUp())
    started, stopped = bridge.told("/stream-status")
    assert [started["StreamEvent"], stopped["StreamEvent"]] == ["stream-started", "stream-stopped"]
    assert len(started["Timestamp"].partition(".")[2]) == len("123456789Z")
    assert "CallStatus" not in started
    assert started["StreamName"] == started["StreamSid"]


async def test_frames_are_lost_repeated_and_late_as_ordered() -> None:
    disturb = Disturb(drop_every=10, repeat_every=7, late_every=4)
    _, bridge = await _call(_listen, disturb, Silence(1000), HangUp())
    chunks = [int(m["media"]["chunk"]) for m in bridge.phones[0].received if m["event"] == "media"]
    assert 10 not in chunks
    assert chunks.count(7) == 2
    assert chunks.index(5) < chunks.index(4)


async def _place(twin: TwilioTwin, **fields: Any) -> httpx.Response:
    form = {"To": "+14155550199", "From": _TO, "Url": f"{BASE}/voice"} | fields
    async with rest_of(twin) as rest:
        return await rest.post(f"{_CALLS}.json", data=form)


_ALL_EVENTS = {
    "StatusCallback": f"{BASE}/status?call_id=call_1",
    "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
}


async def test_a_placed_call_rings_is_answered_and_completed() -> None:
    bridge = TwilioBridge(_listen)
    twin = new_twin(bridge)
    twin.outcomes["+14155550199"] = Outcome(steps=(Say(tone(300)), Silence(2700), HangUp()))
    created = await _place(twin, **_ALL_EVENTS)
    assert created.status_code == 201
    body = created.json()
    assert (body["status"], body["queue_time"], body["duration"]) == ("queued", "0", None)
    await twin.settle()
    statuses = bridge.told("/status")
    assert [s["CallStatus"] for s in statuses] == [
        "initiated",
        "ringing",
        "in-progress",
        "completed",
    ]
    assert [s["SequenceNumber"] for s in statuses] == ["0", "1", "2", "3"]
    assert statuses[3]["CallDuration"] == "4"
    assert statuses[3]["Duration"] == "1"
    assert bridge.arrivals.index("/status") < bridge.arrivals.index("socket")
    assert bridge.told("/voice")[0]["CallStatus"] == "in-progress"
    assert bridge.bad_signatures == 0
    async with rest_of(twin) as rest:
        read = await rest.get(f"{_CALLS}/{body['sid']}.json")
    assert (read.json()["status"], read.json()["duration"]) == ("completed", "4")


async def test_answered_is_told_before_the_socket_opens() -> None:
    bridge = TwilioBridge(_listen)
    twin = new_twin(bridge)
    twin.outcomes["+14155550199"] = Outcome(steps=(HangUp(),))
    events = {**_ALL_EVENTS, "StatusCallbackEvent": ["answered"]}
    await _place(twin, **events)
    await twin.settle()
    assert bridge.arrivals.index("/status") < bridge.arrivals.index("socket")


@pytest.mark.parametrize(
    ("outcome", "status", "sip"),
    [
        (Outcome(result="busy"), "busy", "486"),
        (Outcome(result="no-answer"), "no-answer", "487"),
        (Outcome(result="failed"), "failed", "404"),
        (Outcome(ring_ms=90_000), "no-answer", "487"),
    ],
)
async def test_calls_that_nobody_takes(outcome: Outcome, status: str, sip: str) -> None:
    bridge = TwilioBridge(_listen)
    twin = new_twin(bridge)
    twin.outcomes["+14155550199"] = outcome
    await _place(twin, **_ALL_EVENTS)
    await twin.settle()
    last = bridge.told("/status")[-1]
    assert (last["CallStatus"], last["SipResponseCode"]) == (status, sip)
    assert last["CallDuration"] == "0"
    assert bridge.phones == []


async def test_held_callbacks_come_at_the_end_shuffled_and_repeated() -> None:
    bridge = TwilioBridge(_listen)
    twin = new_twin(bridge, delivery=Delivery(copies=3, hold=True))
    twin.outcomes["+14155550199"] = Outcome(steps=(HangUp(),))
    await _place(twin, **_ALL_EVENTS)
    await twin.settle()
    numbers = [s["SequenceNumber"] for s in bridge.told("/status")]
    assert sorted(numbers) == sorted("0123" * 3)
    assert numbers != sorted(numbers)
    first_status = bridge.arrivals.index("/status")
    assert bridge.arrivals.index("socket") < first_status
    by_number: dict[str, set[str]] = {}
    for token, (path, form) in zip(bridge.tokens, bridge.callbacks, strict=True):
        if path == "/status":
            by_number.setdefault(form["SequenceNumber"], set()).add(token)
    assert all(len(tokens) == 1 for tokens in by_number.values())


async def test_late_callbacks_still_arrive() -> None:
    twin, bridge = await _call(
        _listen, HangUp(), status_url=f"{BASE}/status", delivery=Delivery(delay_ms=(500, 4000))
    )
    assert len(bridge.told("/status")) == 1
    late = [line for line in twin.records[0].lines if line["lane"] == "webhook"][-1]
    assert late["at_ms"] - (twin.records[0].ended_at_ms or 0) >= 500


async def _steer(twin: TwilioTwin, sid: str, **form: str) -> httpx.Response:
    async with rest_of(twin) as rest:
        return await rest.post(f"{_CALLS}/{sid}.json", data=form)


async def _during_a_call(
    act: Callable[[TwilioTwin, str], Awaitable[None]], talk: Talk = _listen
) -> tuple[TwilioTwin, TwilioBridge]:
    bridge = TwilioBridge(talk)
    twin = new_twin(bridge)
    calling = asyncio.create_task(twin.call(_TO, _FROM, [Silence(1000)]))
    await asyncio.sleep(0.5)
    await act(twin, twin.records[0].call_id)
    await calling
    return twin, bridge


async def test_completed_by_rest_stops_the_stream() -> None:
    async def act(twin: TwilioTwin, sid: str) -> None:
        assert (await _steer(twin, sid, Status="completed")).status_code == 200

    twin, bridge = await _during_a_call(act)
    assert twin.records[0].streams[0].ended == "stopped"
    assert bridge.phones[0].received[-1]["event"] == "stop"
    again = await _steer(twin, twin.records[0].call_id, Status="completed")
    assert (again.status_code, again.json()["code"]) == (400, 21220)


async def test_new_twiml_by_rest_abandons_the_stream_and_its_action() -> None:
    async def act(twin: TwilioTwin, sid: str) -> None:
        answer = await _steer(twin, sid, Twiml="<Response><Say>Bye</Say><Hangup/></Response>")
        assert answer.status_code == 200

    twin, bridge = await _during_a_call(act)
    assert ("hears_say", "Bye") in [(r.kind, r.text) for r in twin.records[0].remarks]
    assert "/done" not in bridge.arrivals


async def test_a_ringing_call_can_be_canceled() -> None:
    bridge = TwilioBridge(_listen)
    twin = new_twin(bridge)
    twin.outcomes["+14155550199"] = Outcome(ring_ms=20_000)
    sid = (await _place(twin, **_ALL_EVENTS)).json()["sid"]
    await asyncio.sleep(2)
    assert (await _steer(twin, sid, Status="completed")).status_code == 200
    await twin.settle()
    assert bridge.told("/status")[-1]["CallStatus"] == "canceled"


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"To": ""}, 400, 21201),
        ({"To": "123"}, 400, 21211),
        ({"To": "+15005550001"}, 400, 21211),
        ({"To": "+15005550003"}, 400, 21215),
        ({"From": "123"}, 400, 21212),
        ({"Url": "/voice"}, 400, 21205),
        ({"Url": ""}, 400, 21205),
        ({"to": "+14155550100"}, 400, 21200),
        ({"StatusCallbackEvent": "hangup"}, 400, 21200),
        ({"Timeout": "soon"}, 400, 21200),
        ({"Timeout": "601"}, 400, 21200),
        ({"Record": "True"}, 400, 21200),
        ({"SendDigits": "12x"}, 400, 21200),
    ],
)
async def test_a_bad_create_request_is_refused(
    changes: dict[str, str], status: int, code: int
) -> None:
    twin = new_twin(TwilioBridge(_listen))
    answer = await _place(twin, **changes)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert twin.records == []


async def test_wrong_credentials_and_unknown_calls() -> None:
    twin = new_twin(TwilioBridge(_listen))
    async with rest_of(twin, auth=(SID, "wrong")) as rest:
        denied = await rest.post(f"{_CALLS}.json", data={})
    assert (denied.status_code, denied.json()["code"]) == (401, 20003)
    unknown = await _steer(twin, "CA" + "0" * 32, Status="completed")
    assert (unknown.status_code, unknown.json()["code"]) == (404, 20404)


async def test_rest_fails_as_ordered_and_then_works_again() -> None:
    twin = new_twin(TwilioBridge(_listen))
    twin.outcomes["+14155550199"] = Outcome(result="busy")
    twin.faults.extend(
        [
            RestFault(kind="status", status=429, retry_after_s=3),
            RestFault(kind="html", status=502),
            RestFault(kind="status", status=500, executes=True),
        ]
    )
    limited = await _place(twin)
    assert (limited.status_code, limited.json()["code"]) == (429, 20429)
    assert limited.headers["retry-after"] == "3"
    assert (await _place(twin)).headers["content-type"].startswith("text/html")
    assert twin.records == []
    assert (await _place(twin)).status_code == 500
    assert len(twin.records) == 1
    assert (await _place(twin)).status_code == 201
    await twin.settle()


async def test_rest_can_hang() -> None:
    twin = new_twin(TwilioBridge(_listen))
    twin.faults.append(RestFault(kind="hang"))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(30):
            await _place(twin)
    assert twin.records == []


async def test_machine_detection_and_recording_are_told_by_callback() -> None:
    bridge = TwilioBridge(_listen)
    twin = new_twin(bridge)
    twin.outcomes["+14155550199"] = Outcome(steps=(Silence(2000), HangUp()), machine="fax")
    await _place(
        twin,
        MachineDetection="Enable",
        AsyncAmd="true",
        AsyncAmdStatusCallback=f"{BASE}/amd",
        Record="true",
        RecordingStatusCallback=f"{BASE}/recording",
    )
    await twin.settle()
    assert bridge.told("/amd")[0]["AnsweredBy"] == "fax"
    assert bridge.told("/recording")[0]["RecordingStatus"] == "completed"


async def test_a_person_who_gives_up_leaves_no_socket() -> None:
    bridge = TwilioBridge(_listen)
    twin = new_twin(bridge, status_url=f"{BASE}/status")
    await twin.call(_TO, _FROM, [], abandon=True)
    assert bridge.phones == []
    assert bridge.told("/status")[0]["CallStatus"] == "no-answer"


async def test_the_time_limit_ends_a_call() -> None:
    bridge = TwilioBridge(_listen)
    twin = new_twin(bridge)
    await _place(twin, TimeLimit="60")
    await twin.settle()
    assert twin.records[0].streams[0].ended == "stopped"
    assert (twin.records[0].ended_at_ms or 0) <= 62_000


async def test_the_record_is_a_cassette_without_secrets() -> None:
    twin, _ = await _call(_listen, Press("1"), HangUp())
    lines = twin.records[0].lines
    assert [line["at_ms"] for line in lines] == sorted(line["at_ms"] for line in lines)
    first, second = lines[:2]
    assert first["lane"] == "webhook"
    assert first["from"] == "carrier"
    assert first["request"]["path"] == "/voice"
    assert first["request"]["form"]["To"] == _TO
    assert second["response"]["status"] == 200
    assert {"connected", "start", "media", "dtmf", "stop"} == {
        line["message"]["event"] for line in lines if "message" in line
    }
    assert "signature" not in str(lines).lower()
    assert TOKEN not in str(lines)


async def test_the_account_and_its_numbers_can_be_read() -> None:
    twin = new_twin(TwilioBridge(_listen), numbers=[_TO])
    async with rest_of(twin) as rest:
        account = await rest.get(f"/2010-04-01/Accounts/{SID}.json")
        page = await rest.get(f"/2010-04-01/Accounts/{SID}/IncomingPhoneNumbers.json?PageSize=9")
    assert account.json()["status"] == "active"
    [number] = page.json()["incoming_phone_numbers"]
    assert (number["phone_number"], number["voice_url"]) == (_TO, f"{BASE}/voice")


async def test_a_record_can_do_without_the_media() -> None:
    twin, _ = await _call(_listen, Silence(200), HangUp(), keep_media=False)
    [record] = twin.records
    assert record.messages("media", "carrier") == []
    assert [m["event"] for m in record.messages("stop", "carrier")] == ["stop"]
    assert record.streams[0].frames_sent == 10


async def test_a_watcher_is_told_everything_as_it_happens() -> None:
    seen: list[str] = []

    def watch(_: CallRecord, what: object) -> None:
        seen.append(type(what).__name__)

    twin, _ = await _call(_listen, Press("1"), HangUp(), watch=watch)
    [record] = twin.records
    assert seen.count("dict") == len(record.lines)
    assert seen.count("Remarked") == len(record.remarks) == 2


async def test_twilio_never_dials_a_second_socket() -> None:
    with pytest.raises(ValueError, match="never"):
        await _call(_listen, Redial())


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Response(status_code=500), "11200"),
        (Response("{}", media_type="application/json"), "12300"),
    ],
)
async def test_a_voice_webhook_that_fails_ends_the_call(answer: Response, code: str) -> None:
    bridge = TwilioBridge(_listen)
    bridge.failing["/voice"] = answer
    twin = new_twin(bridge, status_url=f"{BASE}/status")
    await twin.call(_TO, _FROM, [])
    assert [warned.code for warned in twin.warnings] == [code]
    assert bridge.told("/status")[0]["CallStatus"] == "failed"


async def test_callbacks_by_get_carry_everything_in_the_signed_query() -> None:
    bridge = TwilioBridge(_listen)
    twin = new_twin(bridge)
    twin.outcomes["+14155550199"] = Outcome(steps=(HangUp(),))
    await _place(
        twin, Method="GET", StatusCallback=f"{BASE}/status?x=1", StatusCallbackMethod="GET"
    )
    await twin.settle()
    assert bridge.bad_signatures == 0
    assert bridge.told("/voice")[0]["FromCity"] == ""
    assert bridge.told("/status")[0]["CallStatus"] == "completed"


async def test_documents_are_followed_from_verb_to_verb() -> None:
    bridge = TwilioBridge(_listen)
    bridge.answers["/voice"] = [
        f'<Response><Say>Hi</Say><Pause length="2"/><Redirect>{BASE}/voice</Redirect></Response>',
        bridge.connect(),
    ]
    twin = new_twin(bridge)
    await twin.call(_TO, _FROM, [HangUp()])
    assert len(bridge.phones) == 1
    assert twin.records[0].streams[0].started_at_ms >= 2000


async def test_a_call_can_be_sent_to_another_url() -> None:
    async def act(twin: TwilioTwin, sid: str) -> None:
        assert (await _steer(twin, sid, Url=f"{BASE}/done")).status_code == 200

    _, bridge = await _during_a_call(act)
    assert bridge.arrivals.count("/done") == 1
    assert bridge.phones[0].received[-1]["event"] == "stop"


async def test_twiml_in_the_create_request_is_carried_out() -> None:
    bridge = TwilioBridge(_listen)
    twin = new_twin(bridge)
    twin.outcomes["+14155550199"] = Outcome(steps=(HangUp(),))
    await _place(twin, Url="", Twiml=bridge.connect())
    await twin.settle()
    assert len(bridge.phones) == 1
    assert "/voice" not in bridge.arrivals


async def test_the_action_can_be_asked_for_after_a_hangup_too() -> None:
    _, bridge = await _call(_listen, HangUp(), action_after_hangup=True)
    assert [form["CallStatus"] for form in bridge.told("/done")] == ["completed"]


async def test_marks_can_be_lost_or_come_back_late() -> None:
    async def talk(phone: Phone) -> None:
        await phone.next("start")
        await phone.play(tone(200))
        await phone.mark("m")
        await phone.until_closed()

    lost, _ = await _call(talk, Disturb(lose_marks=True), Silence(1000), HangUp())
    late, bridge = await _call(talk, Disturb(marks_late_ms=400), Silence(1000), HangUp())
    assert lost.records[0].messages("mark", "carrier") == []
    [at] = [n for n, m in enumerate(bridge.phones[0].received) if m["event"] == "mark"]
    assert at > 600 // 20
    assert [echo.name for echo in late.records[0].marks()] == ["m"]


async def test_frames_come_in_bunches_or_several_in_one_message() -> None:
    bunched, _ = await _call(_listen, Disturb(bunch=5), Silence(400), HangUp())
    times = [
        line["at_ms"]
        for line in bunched.records[0].lines
        if line.get("message", {}).get("event") == "media"
    ]
    assert times.count(times[0]) == 5
    _, joined = await _call(_listen, Disturb(join=5), Silence(400), HangUp())
    media = [m["media"] for m in joined.phones[0].received if m["event"] == "media"]
    assert {len(base64.b64decode(m["payload"])) for m in media} == {800}
    assert [m["timestamp"] for m in media[:2]] == ["155", "255"]


async def test_a_frozen_network_reads_and_sends_nothing_for_a_while() -> None:
    heard_ms: list[float] = []

    async def talk(phone: Phone) -> None:
        while True:
            await phone.next("media")
            heard_ms.append(asyncio.get_running_loop().time() * 1000)

    await _call(talk, Silence(200), Freeze(1000), Silence(200), HangUp())
    gaps = [after - before for before, after in itertools.pairwise(heard_ms)]
    assert max(gaps) > 990


async def test_anything_can_be_sent_on_the_socket() -> None:
    _, bridge = await _call(_listen, Raw('{"event":"novelty"}'), Silence(100), HangUp())
    assert {"event": "novelty"} in bridge.phones[0].received


async def test_a_quiet_line_may_rush() -> None:
    bridge = TwilioBridge(_listen)
    await new_twin(bridge).call(_TO, _FROM, [Silence(1000), HangUp()], faults=Faults(noise=True))
    media = [m["media"] for m in bridge.phones[0].received if m["event"] == "media"]
    sound = decode_pcmu(b"".join(base64.b64decode(m["payload"]) for m in media))
    assert 20 * math.log10(audioop.rms(sound, 2) / 32768) == pytest.approx(-35, abs=1)


@pytest.mark.parametrize("signature", ["wrong_key", "changed", "other_url"])
async def test_a_webhook_that_twilio_never_signed_is_told_by_its_receipt(
    signature: Signing,
) -> None:
    bridge = TwilioBridge(_listen)
    record = await new_twin(bridge).call(_TO, _FROM, [], faults=Faults(signature=signature))
    assert [(r.what, r.status) for r in record.receipts] == [("/voice", 403)]
    assert (bridge.bad_signatures, record.streams) == (1, [])


def test_a_forged_token_is_another_one_of_the_same_length() -> None:
    assert forged("/stream/0123456789abcdef0123") == "/stream/A123456789abcdef0123"
    assert forged("/stream/short") == "/stream/short"


async def test_a_start_can_name_another_call_or_never_come() -> None:
    async def talk(phone: Phone) -> None:
        await phone.next()
        await phone.next("start")

    bridge = TwilioBridge(talk)
    foreign = await new_twin(bridge).call(_TO, _FROM, [HangUp()], faults=Faults(start="foreign"))
    [start] = foreign.messages("start", "carrier")
    assert start["start"]["callSid"] != foreign.call_id
    silent = await new_twin(TwilioBridge(talk)).call(_TO, _FROM, [], faults=Faults(start="never"))
    assert [m["event"] for m in silent.messages("connected", "carrier")] == ["connected"]
    assert silent.messages("start", "carrier") == []


async def test_the_voice_webhook_can_be_repeated_with_its_token() -> None:
    bridge = TwilioBridge(_listen)
    bridge.answers["/voice"] *= 2
    faults = Faults(voice_twice=True)
    record = await new_twin(bridge).call(_TO, _FROM, [Silence(100), HangUp()], faults=faults)
    assert bridge.arrivals[:3] == ["/voice", "/voice", "socket"]
    assert bridge.tokens[0] == bridge.tokens[1]
    assert record.status == "completed"


async def test_novelties_are_in_forms_and_messages() -> None:
    bridge = TwilioBridge(_listen)
    steps: list[Step] = [Silence(100), HangUp()]
    await new_twin(bridge).call(_TO, _FROM, steps, faults=Faults(novelties=True))
    assert bridge.callbacks[0][1]["Novelty"] == ""
    assert "novelty" in bridge.phones[0].received[-1]
    assert bridge.bad_signatures == 0


async def test_a_number_can_have_a_rest_fault_of_its_own() -> None:
    twin = new_twin(TwilioBridge(_listen))
    fault = RestFault(kind="html", status=502, executes=True)
    twin.outcomes[_FROM] = Outcome(rest=fault, steps=(HangUp(),))
    form = {"To": _FROM, "From": _TO, "Url": f"{BASE}/voice"}
    assert (await rest_of(twin).post(f"{_CALLS}.json", data=form)).status_code == 502
    await twin.settle()
    assert [record.to for record in twin.records] == [_FROM]


async def test_calls_can_be_listed_by_the_number_they_went_to() -> None:
    twin = new_twin(TwilioBridge(_listen))
    fault = RestFault(kind="status", status=500, executes=True)
    twin.outcomes["+14155550177"] = Outcome(rest=fault, steps=(HangUp(),))
    twin.default_outcome = Outcome(steps=(HangUp(),))
    rest = rest_of(twin)
    for to in ("+14155550177", "+14155550178"):
        form = {"To": to, "From": _TO, "Url": f"{BASE}/voice"}
        await rest.post(f"{_CALLS}.json", data=form)
    answer = await rest.get(f"{_CALLS}.json", params={"To": "+14155550177"})
    assert [call["to"] for call in answer.json()["calls"]] == ["+14155550177"]
    everything = await rest.get(f"{_CALLS}.json")
    assert [c["to"] for c in everything.json()["calls"]] == ["+14155550178", "+14155550177"]
    await twin.settle()


# Answering machine detection -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "machine", "beep", "word", "at_ms"),
    [
        ("Enable", "human", True, "human", 1840),
        ("Enable", "machine", True, "machine_start", 1840),
        ("DetectMessageEnd", "machine", True, "machine_end_beep", 6000),
        ("DetectMessageEnd", "machine", False, "machine_end_silence", 6000),
        ("DetectMessageEnd", "unknown", True, "unknown", 1840),
    ],
)
@pytest.mark.parametrize("while_talking", ["true", "false"])
async def test_what_picked_up_is_told_by_callback_or_with_the_document_that_waits_for_it(
    mode: str, machine: str, beep: bool, word: str, at_ms: int, while_talking: str
) -> None:
    bridge = TwilioBridge(_listen)
    twin = new_twin(bridge)
    twin.outcomes["+14155550199"] = Outcome(
        ring_ms=0,
        steps=(Silence(9000), HangUp()),
        machine=machine,
        beep=beep,
        greeting_ms=6000,
    )
    await _place(
        twin,
        MachineDetection=mode,
        AsyncAmd=while_talking,
        AsyncAmdStatusCallback=f"{BASE}/amd",
    )
    await twin.settle()
    [record] = twin.records
    voice = bridge.told("/voice")[0]
    found = bridge.told("/amd")[0] if while_talking == "true" else voice
    assert found["AnsweredBy"] == word
    assert found["MachineDetectionDuration"] == str(at_ms)
    answered_ms, asked_ms = (
        next(r.at_ms for r in record.receipts if r.what == path)
        for path in ("/voice", "/amd" if while_talking == "true" else "/voice")
    )
    if while_talking == "true":
        assert asked_ms - answered_ms == at_ms
        assert "AnsweredBy" not in voice
    else:
        assert asked_ms == 100 + at_ms  # the person waited in silence
        assert bridge.told("/amd") == []


async def test_detection_while_talking_without_a_callback_tells_nobody() -> None:
    bridge = TwilioBridge(_listen)
    twin = new_twin(bridge)
    twin.outcomes["+14155550199"] = Outcome(steps=(Silence(100), HangUp()))
    await _place(twin, MachineDetection="Enable", AsyncAmd="true")
    await twin.settle()
    assert [warned.code for warned in twin.warnings] == ["21262"]


async def test_digits_to_send_switch_detection_off() -> None:
    bridge = TwilioBridge(_listen)
    twin = new_twin(bridge)
    twin.outcomes["+14155550199"] = Outcome(steps=(Silence(100), HangUp()))
    await _place(twin, MachineDetection="Enable", SendDigits="1")
    await twin.settle()
    assert "AnsweredBy" not in bridge.told("/voice")[0]
