"""Whole calls at the Telnyx twin, with a small bridge in the same process on a virtual clock."""

import asyncio
from typing import Any

import httpx
import pytest

from service.core.audio import Encoding
from service.media.g711 import decode_pcma, decode_pcmu, encode_pcma, encode_pcmu
from service.replay.virtual import VirtualLoop
from service.twin.behaviour import Delivery, Faults, Outcome, RestFault, Signing
from service.twin.caller import (
    Disturb,
    DropSocket,
    HangUp,
    Press,
    Redial,
    Say,
    Silence,
    Step,
    WaitForAgent,
)
from service.twin.telnyx import TelnyxTwin
from service.twin.telnyx_events import Habits
from tests.twin.sounds import tone
from tests.twin.telnyx_bridge import (
    API_KEY,
    BASE,
    CONNECTION,
    PUBLIC_KEY,
    STREAM,
    Phone,
    Talk,
    TelnyxBridge,
    code_of,
    dial,
    new_twin,
)

_TO, _FROM, _FAR = "+15550100002", "+15550100001", "+15550100003"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


async def _listen(phone: Phone) -> None:
    await phone.until_closed()


async def _call(talk: Talk, *steps: Step, **options: Any) -> tuple[TelnyxTwin, TelnyxBridge]:
    bridge = TelnyxBridge(talk)
    bridge.command = options.pop("command", bridge.command)
    twin = new_twin(bridge, **options)
    await twin.call(_TO, _FROM, steps)
    return twin, bridge


async def test_the_bridge_hears_the_person_and_the_person_hears_the_bridge() -> None:
    async def talk(phone: Phone) -> None:
        await phone.next("start")
        await phone.play(tone(1000))
        await phone.mark("end")
        await phone.until_closed()

    twin, bridge = await _call(talk, WaitForAgent(quiet_ms=200), Say(tone(300)), HangUp())
    [record] = twin.records
    assert twin.public_key == PUBLIC_KEY
    assert bridge.bad_signatures == 0
    assert twin.warnings == []
    assert record.heard_pcmu()[:8000] == tone(1000)
    assert [(echo.name, echo.cleared) for echo in record.marks()] == [("end", False)]
    phone = bridge.phones[0]
    events = [m["event"] for m in phone.received]
    assert events[:3] == ["connected", "start", "media"]
    assert events[-1] == "stop"
    assert phone.of("start")[0]["start"]["call_control_id"] == record.call_id
    assert record.status == "normal_clearing"


async def test_the_events_of_an_inbound_call() -> None:
    _, bridge = await _call(_listen, Silence(200), HangUp())
    assert set(bridge.arrivals) == {
        "call.initiated",
        "call.answered",
        "streaming.started",
        "socket",
        "streaming.stopped",
        "call.hangup",
    }
    assert bridge.arrivals[:2] == ["call.initiated", "call.answered"]
    initiated = bridge.told("call.initiated")[0]
    assert (initiated["direction"], initiated["state"]) == ("incoming", "parked")
    assert "direction" not in bridge.told("call.answered")[0]
    hangup = bridge.told("call.hangup")[0]
    assert (hangup["hangup_cause"], hangup["hangup_source"]) == ("normal_clearing", "caller")
    assert isinstance(hangup["call_quality_stats"]["inbound"]["mos"], str)


@pytest.mark.parametrize(
    "changes",
    [
        {"stream_bidirectional_mode": "mp3"},
        {"stream_bidirectional_target_legs": "opposite"},
    ],
)
async def test_sound_in_the_wrong_mode_or_to_the_wrong_leg_is_never_heard(
    changes: dict[str, str],
) -> None:
    async def talk(phone: Phone) -> None:
        await phone.next("start")
        await phone.play(tone(500))
        await phone.until_closed()

    twin, _ = await _call(talk, Silence(1000), HangUp(), command=("answer", STREAM | changes))
    assert twin.records[0].heard_pcmu().strip(b"\xff") == b""
    assert [warned.code for warned in twin.warnings] == ["never_heard"]


async def test_a_european_line_is_a_law_whatever_was_asked() -> None:
    habits = Habits(line_codec=Encoding.PCMA, obeys_stream_codec=False)
    _, bridge = await _call(_listen, Say(tone(100)), HangUp(), habits=habits)
    start = bridge.phones[0].of("start")[0]["start"]
    assert start["media_format"]["encoding"] == "PCMA"


async def test_a_law_from_the_bridge_is_heard() -> None:
    a_law = encode_pcma(decode_pcmu(tone(500)))

    async def talk(phone: Phone) -> None:
        await phone.next("start")
        await phone.play(a_law)
        await phone.until_closed()

    command = ("answer", STREAM | {"stream_bidirectional_codec": "PCMA"})
    twin, _ = await _call(talk, Silence(1000), HangUp(), command=command)
    assert twin.records[0].heard_pcmu()[:4000] == encode_pcmu(decode_pcma(a_law))


async def test_a_bad_frame_gets_an_error_frame_and_the_stream_goes_on() -> None:
    async def talk(phone: Phone) -> None:
        await phone.next("start")
        await phone.send("media", media={"payload": "no base64"})
        await phone.next("error")
        await phone.play(tone(100))
        await phone.until_closed()

    twin, bridge = await _call(talk, Silence(500), HangUp())
    assert bridge.phones[0].of("error")[0]["payload"]["code"] == 100004
    assert [warned.code for warned in twin.warnings] == ["100004"]
    assert tone(100) in twin.records[0].heard_pcmu()


async def test_a_socket_that_is_lost_is_dialled_again() -> None:
    twin, bridge = await _call(_listen, Silence(200), DropSocket(), Silence(200), HangUp())
    assert [stream.ended for stream in twin.records[0].streams] == ["dropped", "hangup"]
    for phone in bridge.phones:
        assert [m["event"] for m in phone.received[:2]] == ["connected", "start"]
    assert bridge.phones[0].of("stop") == []
    ids = {p.of("start")[0]["start"]["call_control_id"] for p in bridge.phones}
    assert len(bridge.phones) == 2
    assert len(ids) == 1


async def test_without_redialling_a_lost_socket_leaves_silence() -> None:
    steps = (Silence(200), DropSocket(), Silence(2000), HangUp())
    twin, bridge = await _call(_listen, *steps, habits=Habits(redials=False))
    assert len(bridge.phones) == 1
    assert (twin.records[0].ended_at_ms or 0) >= 2000


async def test_a_second_socket_can_come_while_the_first_is_open() -> None:
    async def talk(phone: Phone) -> None:
        await phone.next("start")
        if len(bridge.phones) == 2:
            await bridge.phones[0].socket.close(1000)
        await phone.until_closed()

    bridge = TelnyxBridge(talk)
    twin = new_twin(bridge)
    await twin.call(_TO, _FROM, [Silence(200), Redial(), Silence(500), HangUp()])
    first, second = twin.records[0].streams
    assert (first.ended, first.close_code, second.ended) == ("redial", 1000, "hangup")


async def test_closing_the_socket_is_no_hangup() -> None:
    async def talk(phone: Phone) -> None:
        await phone.next("start")
        await phone.socket.close(1000)

    twin, bridge = await _call(talk, Silence(3000), HangUp())
    assert (twin.records[0].ended_at_ms or 0) >= 3000
    assert len(bridge.phones) == 1
    assert bridge.told("call.hangup")[0]["hangup_source"] == "caller"


@pytest.mark.parametrize("hangup_first", [True, False])
async def test_hangup_and_stop_come_in_either_order(hangup_first: bool) -> None:
    seen: list[str] = []

    async def talk(phone: Phone) -> None:
        await phone.next("stop")
        seen.extend(bridge.arrivals)

    bridge = TelnyxBridge(talk)
    twin = new_twin(bridge, habits=Habits(hangup_first=hangup_first))
    await twin.call(_TO, _FROM, [Silence(200), HangUp()])
    assert ("call.hangup" in seen) is hangup_first
    assert bridge.arrivals.count("call.hangup") == 1


async def test_a_key_comes_by_socket_and_by_webhook() -> None:
    _, bridge = await _call(_listen, Press("7"), HangUp())
    assert [m["dtmf"] for m in bridge.phones[0].of("dtmf")] == [{"digit": "7"}]
    assert [p["digit"] for p in bridge.told("call.dtmf.received")] == ["7"]


async def test_an_unanswered_caller_gives_up() -> None:
    _, bridge = await _call(_listen, command=("", {}))
    hangup = bridge.told("call.hangup")[0]
    assert (hangup["hangup_cause"], hangup["sip_hangup_cause"]) == ("originator_cancel", "487")
    assert hangup["call_quality_stats"] is None


async def test_a_rejected_call_ends_as_busy() -> None:
    _, bridge = await _call(_listen, command=("reject", {"cause": "USER_BUSY"}))
    assert bridge.told("call.hangup")[0]["hangup_cause"] == "user_busy"
    assert bridge.phones == []


async def test_client_state_comes_back_on_every_later_event_and_in_start() -> None:
    state = "eyJjYWxsIjo0Mn0="
    _, bridge = await _call(_listen, HangUp(), command=("answer", STREAM | {"client_state": state}))
    assert bridge.told("call.initiated")[0]["client_state"] is None
    assert bridge.told("call.answered")[0]["client_state"] == state
    assert bridge.told("call.hangup")[0]["client_state"] == state
    assert bridge.phones[0].of("start")[0]["start"]["client_state"] == state


async def test_a_failed_webhook_is_tried_again_with_the_same_id() -> None:
    bridge = TelnyxBridge(_listen)
    bridge.statuses = [503, 429]
    twin = new_twin(bridge)
    await twin.call(_TO, _FROM, [HangUp()])
    attempts = [b for b in bridge.bodies if b["data"]["event_type"] == "call.initiated"]
    assert [b["meta"]["attempt"] for b in attempts] == [1, 2, 3]
    assert len({b["data"]["id"] for b in attempts}) == 1
    assert bridge.bad_signatures == 0
    assert twin.records[0].status == "normal_clearing"


async def test_a_webhook_refused_with_403_is_not_tried_again() -> None:
    bridge = TelnyxBridge(_listen)
    bridge.statuses = [403]
    twin = new_twin(bridge)
    await twin.call(_TO, _FROM, [], patience_ms=5000)
    assert bridge.arrivals == ["call.initiated", "call.hangup"]
    assert [warned.code for warned in twin.warnings] == ["webhook"]


async def test_webhooks_come_repeated_and_out_of_order() -> None:
    bridge = TelnyxBridge(_listen)
    twin = new_twin(bridge, delivery=Delivery(copies=3, delay_ms=(0, 3000)))
    await twin.call(_TO, _FROM, [Silence(500), HangUp()])
    events = [b["data"] for b in bridge.bodies]
    assert len(events) == 3 * len({event["id"] for event in events})
    occurred = [event["occurred_at"] for event in events]
    assert occurred != sorted(occurred)


async def test_held_webhooks_come_at_the_end_but_the_offer_is_never_held() -> None:
    bridge = TelnyxBridge(_listen)
    twin = new_twin(bridge, delivery=Delivery(copies=2, hold=True))
    await twin.call(_TO, _FROM, [Silence(500), HangUp()])
    assert bridge.arrivals[0] == "call.initiated"
    assert bridge.arrivals.index("socket") < bridge.arrivals.index("call.answered")
    assert bridge.arrivals.count("call.hangup") == 2


async def test_frames_come_out_of_order() -> None:
    steps = (Disturb(late_every=5, late_by=3, drop_every=7), Silence(600), HangUp())
    _, bridge = await _call(_listen, *steps)
    chunks = [int(m["media"]["chunk"]) for m in bridge.phones[0].of("media")]
    assert chunks[:8] == [1, 2, 3, 4, 6, 8, 5, 9]


# Commands ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"stream_url": "http://x.example"}, "10003"),
        ({"stream_url": "ws://bridge.example/s"}, "10003"),
        ({"stream_bidirectional_mode": "raw"}, "10032"),
        ({"stream_bidirectional_codec": "pcmu"}, "10032"),
        ({"stream_auth_token": "t"}, "10015"),
        ({"stream_bidirectional_sampling_rate": 8000}, "10015"),
        ({"custom_parameters": []}, "10015"),
        ({"streamUrl": "x"}, "10015"),
        ({"client_state": "not base64!"}, "90017"),
    ],
)
async def test_a_bad_answer_is_refused(changes: dict[str, Any], code: str) -> None:
    _, bridge = await _call(_listen, command=("answer", STREAM | changes))
    assert [(r.status_code, code_of(r)) for r in bridge.answers] == [(422, code)]
    assert bridge.phones == []


async def test_a_command_id_counts_once() -> None:
    bridge = TelnyxBridge(_listen)
    bridge.command = ("answer", STREAM | {"command_id": "c1"})
    twin = new_twin(bridge, delivery=Delivery(copies=3))
    await twin.call(_TO, _FROM, [Silence(300), HangUp()])
    assert [r.status_code for r in bridge.answers] == [200, 200, 200]
    assert len(bridge.phones) == 1


async def test_commands_in_the_wrong_state_have_their_codes() -> None:
    bridge = TelnyxBridge(_listen)
    twin = new_twin(bridge)
    twin.outcomes[_FAR] = Outcome(ring_ms=2000, steps=(HangUp(),))
    call_id = (await dial(bridge)).json()["data"]["call_control_id"]
    assert code_of(await bridge.act(call_id, "answer")) == "90102"
    assert code_of(await bridge.act(call_id, "send_dtmf", digits="1")) == "90034"
    await twin.settle()
    gone = await bridge.act(call_id, "hangup")
    assert (gone.status_code, code_of(gone)) == (422, "90018")
    assert code_of(await bridge.act("v3:unknown", "hangup")) == "10005"
    assert code_of(await bridge.act("CA123", "hangup")) == "90015"
    assert code_of(await bridge.act(call_id, "dance")) == "10005"


async def test_a_call_is_hung_up_by_command() -> None:
    async def talk(phone: Phone) -> None:
        start = await phone.next("start")
        control_id = start["start"]["call_control_id"]
        assert (await bridge.act(control_id, "send_dtmf", digits="12#")).status_code == 200
        assert (await bridge.act(control_id, "hangup")).status_code == 200
        await phone.until_closed()

    bridge = TelnyxBridge(talk)
    twin = new_twin(bridge)
    await twin.call(_TO, _FROM, [Silence(5000)])
    assert twin.records[0].streams[0].ended == "stopped"
    assert twin.records[0].digits_sent == ["12#"]
    assert bridge.told("call.hangup")[0]["hangup_source"] == "callee"
    assert bridge.phones[0].received[-1]["event"] == "stop"


async def test_streaming_can_be_started_after_the_answer() -> None:
    bridge = TelnyxBridge(_listen)
    bridge.command = ("answer", {})
    twin = new_twin(bridge)
    calling = asyncio.create_task(twin.call(_TO, _FROM, [Silence(2000), HangUp()]))
    await asyncio.sleep(1)
    control_id = twin.records[0].call_id
    parameters = [{"name": "session", "value": "42"}]
    started = {**STREAM, "stream_auth_token": "t0k", "custom_parameters": parameters}
    assert (await bridge.act(control_id, "streaming_start", **started)).status_code == 200
    again = await bridge.act(control_id, "streaming_start", **started)
    assert code_of(again) == "90045"
    await calling
    [phone] = bridge.phones
    assert phone.of("start")[0]["start"]["custom_parameters"] == {"session": "42"}
    assert bridge.upgrade_headers[0]["x-telnyx-streaming-auth-token"] == "t0k"


async def test_without_the_right_key_nothing_is_done() -> None:
    bridge = TelnyxBridge(_listen)
    twin = new_twin(bridge)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(twin.app), base_url="http://telnyx.test"
    ) as stranger:
        denied = await stranger.post("/v2/calls", json={})
    assert (denied.status_code, code_of(denied)) == (401, "10009")


async def test_rest_fails_as_ordered() -> None:
    bridge = TelnyxBridge(_listen)
    twin = new_twin(bridge)
    twin.faults.extend(
        [RestFault(kind="status", status=429, retry_after_s=4), RestFault(kind="html", status=502)]
    )
    limited = await dial(bridge)
    assert (limited.status_code, code_of(limited)) == (429, "10011")
    assert limited.headers["x-ratelimit-reset"] == "4"
    assert (await dial(bridge)).status_code == 502
    assert twin.records == []


# Outbound ----------------------------------------------------------------------------------------


async def test_a_placed_call_opens_its_socket_while_it_rings_and_starts_on_answer() -> None:
    bridge = TelnyxBridge(_listen)
    twin = new_twin(bridge)
    twin.outcomes[_FAR] = Outcome(ring_ms=3000, steps=(Say(tone(200)), HangUp()))
    dialled = await dial(bridge, **STREAM, stream_auth_token="t0k")
    assert dialled.json()["data"]["is_alive"] is False
    await twin.settle()
    order = ["call.initiated", "socket", "call.answered"]
    assert bridge.arrivals[:3] == order
    assert bridge.upgrade_headers[0]["x-telnyx-streaming-auth-token"] == "t0k"
    connected = bridge.phones[0].received[0]
    assert connected["connected"]["x-telnyx-streaming-auth-token"] == "t0k"
    assert bridge.told("call.hangup")[0]["hangup_source"] == "callee"


@pytest.mark.parametrize(
    ("outcome", "cause", "sip"),
    [
        (Outcome(result="busy"), "user_busy", "486"),
        (Outcome(result="rejected"), "call_rejected", "603"),
        (Outcome(result="not-found"), "not_found", "404"),
        (Outcome(result="failed"), "unspecified", "unspecified"),
        (Outcome(ring_ms=60_000), "timeout", "487"),
    ],
)
async def test_calls_that_nobody_takes(outcome: Outcome, cause: str, sip: str) -> None:
    bridge = TelnyxBridge(_listen)
    twin = new_twin(bridge)
    twin.outcomes[_FAR] = outcome
    await dial(bridge, **STREAM)
    await twin.settle()
    hangup = bridge.told("call.hangup")[0]
    assert (hangup["hangup_cause"], hangup["sip_hangup_cause"]) == (cause, sip)
    assert [m["event"] for m in bridge.phones[0].received] == ["connected"]
    assert "call.answered" not in bridge.arrivals


async def test_the_time_limit_ends_a_call() -> None:
    bridge = TelnyxBridge(_listen)
    twin = new_twin(bridge)
    await dial(bridge, **STREAM, time_limit_secs=30)
    await twin.settle()
    assert bridge.told("call.hangup")[0]["hangup_cause"] == "time_limit"
    assert 30_000 <= (twin.records[0].ended_at_ms or 0) <= 33_000


async def test_a_ringing_call_is_hung_up_by_command() -> None:
    bridge = TelnyxBridge(_listen)
    twin = new_twin(bridge)
    twin.outcomes[_FAR] = Outcome(ring_ms=20_000)
    call_id = (await dial(bridge)).json()["data"]["call_control_id"]
    await asyncio.sleep(1)
    assert (await bridge.act(call_id, "hangup")).status_code == 200
    await twin.settle()
    assert bridge.told("call.hangup")[0]["hangup_cause"] == "originator_cancel"


async def test_a_dial_with_a_known_command_id_places_no_second_call() -> None:
    bridge = TelnyxBridge(_listen)
    twin = new_twin(bridge)
    twin.outcomes[_FAR] = Outcome(result="busy")
    first = await dial(bridge, command_id="c1")
    assert (await dial(bridge, command_id="c1")).json() == first.json()
    await twin.settle()
    assert len(twin.records) == 1


async def test_webhooks_can_outrun_the_response_to_dial() -> None:
    bridge = TelnyxBridge(_listen)
    twin = new_twin(bridge, habits=Habits(dial_answer_ms=200))
    twin.outcomes[_FAR] = Outcome(result="busy")
    await dial(bridge)
    assert bridge.arrivals == ["call.initiated"]
    await twin.settle()


_DETECTION = "call.machine.detection.ended"
_GREETING = "call.machine.greeting.ended"
_PREMIUM_DETECTION = "call.machine.premium.detection.ended"
_PREMIUM_GREETING = "call.machine.premium.greeting.ended"


@pytest.mark.parametrize(
    ("mode", "machine", "beep", "told"),
    [
        ("detect", "human", True, {_DETECTION: "human"}),
        ("detect", "machine", True, {_DETECTION: "machine"}),
        ("greeting_end", "machine", True, {_DETECTION: "machine", _GREETING: "beep_detected"}),
        ("greeting_end", "machine", False, {_DETECTION: "machine", _GREETING: "ended"}),
        ("premium", "human", True, {_PREMIUM_DETECTION: "human_residence"}),
        ("premium", "fax_detected", True, {_PREMIUM_DETECTION: "fax_detected"}),
        (
            "premium",
            "machine",
            True,
            {_PREMIUM_DETECTION: "machine", _PREMIUM_GREETING: "beep_detected"},
        ),
        (
            "premium",
            "machine",
            False,
            {_PREMIUM_DETECTION: "machine", _PREMIUM_GREETING: "no_beep_detected"},
        ),
    ],
)
async def test_what_picked_up_is_told_and_when_a_machine_has_done(
    mode: str, machine: str, beep: bool, told: dict[str, str]
) -> None:
    bridge = TelnyxBridge(_listen)
    twin = new_twin(bridge)
    twin.outcomes[_FAR] = Outcome(
        steps=(Silence(9000), HangUp()), machine=machine, beep=beep, greeting_ms=6000
    )
    await dial(bridge, **STREAM, answering_machine_detection=mode)
    await twin.settle()
    found = {
        body["data"]["event_type"]: body["data"]["payload"]["result"]
        for body in bridge.bodies
        if "machine" in body["data"]["event_type"] and "result" in body["data"]["payload"]
    }
    assert found == told
    [record] = twin.records
    at_ms = {receipt.what: receipt.at_ms for receipt in record.receipts}
    waits_ms = {_DETECTION: 1500, _PREMIUM_DETECTION: 1500}
    for kind in told:
        assert at_ms[kind] - (record.answered_at_ms or 0) == waits_ms.get(kind, 6000)


async def test_detection_that_takes_longer_than_the_call_tells_nothing() -> None:
    bridge = TelnyxBridge(_listen)
    twin = new_twin(bridge)
    twin.outcomes[_FAR] = Outcome(steps=(Silence(300), HangUp()))
    await dial(bridge, **STREAM, answering_machine_detection="detect")
    await twin.settle()
    assert bridge.told(_DETECTION) == []


async def test_a_recording_is_told_a_second_after_the_end() -> None:
    bridge = TelnyxBridge(_listen)
    twin = new_twin(bridge)
    twin.outcomes[_FAR] = Outcome(steps=(Silence(3000), HangUp()))
    await dial(bridge, **STREAM, record="record-from-answer")
    await twin.settle()
    assert len(bridge.told("call.recording.saved")) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"to": "123"}, "10016"),
        ({"connection_id": 1000000000000000001}, "10015"),
        ({"connection_id": "2"}, "10015"),
        ({"timeout_secs": 4}, "10033"),
        ({"timeout_secs": "30"}, "10015"),
        ({"ring_timeout": 30}, "10015"),
        ({"answering_machine_detection": "yes"}, "10032"),
    ],
)
async def test_a_bad_dial_is_refused(changes: dict[str, Any], code: str) -> None:
    bridge = TelnyxBridge(_listen)
    twin = new_twin(bridge)
    refused = await dial(bridge, **changes)
    assert (refused.status_code, code_of(refused)) == (422, code)
    assert twin.records == []


async def test_the_record_is_a_cassette_without_secrets() -> None:
    twin, _ = await _call(_listen, HangUp())
    lines = twin.records[0].lines
    assert [line["at_ms"] for line in lines] == sorted(line["at_ms"] for line in lines)
    assert {line["lane"] for line in lines} == {"webhook", "rest", "stream"}
    assert lines[0]["request"]["json"]["data"]["event_type"] == "call.initiated"
    assert API_KEY not in str(lines)


async def test_the_application_and_its_numbers_can_be_read() -> None:
    bridge = TelnyxBridge(_listen)
    new_twin(bridge, numbers=[_TO])
    assert bridge.rest is not None
    application = await bridge.rest.get(f"/v2/call_control_applications/{CONNECTION}")
    numbers = await bridge.rest.get("/v2/phone_numbers")
    assert application.json()["data"]["webhook_event_url"] == f"{BASE}/webhook"
    assert [number["phone_number"] for number in numbers.json()["data"]] == [_TO]


async def test_a_socket_that_cannot_be_opened_is_told_and_the_call_goes_on() -> None:
    bridge = TelnyxBridge(_listen)
    bridge.refuse_sockets = True
    twin = new_twin(bridge)
    await twin.call(_TO, _FROM, [Silence(2000), HangUp()])
    assert bridge.told("streaming.failed")[0]["failure_reason"] == "connection_failed"
    assert (twin.records[0].ended_at_ms or 0) >= 2000


async def test_streaming_stops_by_command_and_the_call_goes_on() -> None:
    async def talk(phone: Phone) -> None:
        start = await phone.next("start")
        control_id = start["start"]["call_control_id"]
        assert (await bridge.act(control_id, "streaming_stop")).status_code == 200
        assert code_of(await bridge.act(control_id, "streaming_stop")) == "90048"
        await phone.until_closed()

    bridge = TelnyxBridge(talk)
    twin = new_twin(bridge)
    await twin.call(_TO, _FROM, [Silence(3000), HangUp()])
    assert bridge.phones[0].received[-1]["event"] == "stop"
    assert bridge.arrivals.index("streaming.stopped") < bridge.arrivals.index("call.hangup")
    assert (twin.records[0].ended_at_ms or 0) >= 3000


async def test_a_webhook_without_an_answer_in_two_seconds_is_sent_again() -> None:
    bridge = TelnyxBridge(_listen)
    bridge.slow_webhooks = 1
    twin = new_twin(bridge)
    await twin.call(_TO, _FROM, [HangUp()])
    attempts = [b for b in bridge.bodies if b["data"]["event_type"] == "call.initiated"]
    assert [b["meta"]["attempt"] for b in attempts] == [1, 2]
    assert twin.records[0].status == "normal_clearing"


async def test_the_state_can_be_changed_alone() -> None:
    bridge = TelnyxBridge(_listen)
    twin = new_twin(bridge)
    twin.outcomes[_FAR] = Outcome(ring_ms=2000, steps=(HangUp(),))
    call_id = (await dial(bridge)).json()["data"]["call_control_id"]
    changed = await bridge.act(call_id, "client_state_update", client_state="e30=")
    assert changed.status_code == 200
    await twin.settle()
    assert bridge.told("call.hangup")[0]["client_state"] == "e30="


async def test_without_retry_a_ring_timeout_is_no_answer() -> None:
    bridge = TelnyxBridge(_listen)
    twin = new_twin(bridge)
    twin.outcomes[_FAR] = Outcome(ring_ms=60_000)
    await dial(bridge, retry_on_timeout=False, timeout_secs=5)
    await twin.settle()
    assert bridge.told("call.hangup")[0]["hangup_cause"] == "no_answer"


@pytest.mark.parametrize("signature", ["wrong_key", "changed", "old"])
async def test_a_webhook_that_telnyx_never_signed_so_does_not_pass(signature: Signing) -> None:
    bridge = TelnyxBridge(_listen)
    bridge.statuses = [403]
    faults = Faults(signature=signature)
    twin = new_twin(bridge)
    record = await twin.call(_TO, _FROM, [], patience_ms=1000, faults=faults)
    assert bridge.bad_signatures >= 1
    assert record.receipts[0].what == "call.initiated"
    assert (record.receipts[0].status, record.streams) == (403, [])


async def test_a_telnyx_start_can_name_another_call_or_never_come() -> None:
    async def leave(phone: Phone) -> None:
        await phone.next("connected")

    foreign = Faults(start="foreign")
    record = await new_twin(TelnyxBridge(_listen)).call(_TO, _FROM, [HangUp()], faults=foreign)
    [start] = record.messages("start", "carrier")
    assert start["start"]["call_control_id"] != record.call_id
    silent = Faults(start="never")
    record = await new_twin(TelnyxBridge(leave)).call(_TO, _FROM, [HangUp()], faults=silent)
    assert record.messages("start", "carrier") == []


async def test_a_call_that_somebody_else_placed_is_told_to_the_bridge() -> None:
    bridge = TelnyxBridge(_listen)
    record = await new_twin(bridge).place_elsewhere(_FAR, _TO, Outcome(result="busy"))
    assert bridge.told("call.initiated")[0]["direction"] == "outgoing"
    assert record.status == "user_busy"


async def test_a_telnyx_number_can_have_a_rest_fault_of_its_own() -> None:
    bridge = TelnyxBridge(_listen)
    twin = new_twin(bridge)
    twin.outcomes[_FAR] = Outcome(rest=RestFault(kind="status", status=500))
    assert (await dial(bridge)).status_code == 500
    assert twin.records == []


async def test_telnyx_has_events_and_fields_that_no_document_has() -> None:
    bridge = TelnyxBridge(_listen)
    twin = new_twin(bridge)
    await twin.call(_TO, _FROM, [Silence(100), HangUp()], faults=Faults(novelties=True))
    assert len(bridge.told("call.novelty")) == 1
    assert "novelty" in bridge.told("call.initiated")[0]
    assert "novelty" in bridge.phones[0].received[-1]
