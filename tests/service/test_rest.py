"""The REST API of a running service: placing, reading, acting, and who may."""

import asyncio
import json
import re
import uuid
from typing import Any

import httpx
import numpy as np
import pytest
from openapi_spec_validator import validate

from service.core.audio import PCM16_8K, PCMU_8K
from service.media.convert import Converter
from tests.service.bench import Announced, Bench
from tests.service.carriers import (
    FRAME_BYTES,
    SILENCE,
    Line,
    new_control_id,
    new_sid,
    target_of,
    telnyx_event,
    twilio_form,
    until,
)
from tests.service.conftest import KEYS
from tests.service.process import Process
from tests.service.rest_api import SILENT, SLOW

CARRIERS = ("twilio", "telnyx")
both = pytest.mark.parametrize("carrier", CARRIERS)
ORDER: dict[str, Any] = {
    "provider": "twilio",
    "to": "+14155550100",
    "from": "+14155550123",
    "agent": "default",
    "variables": {"name": "Ana"},
    "metadata": {"order": "42"},
    "ring_timeout_s": 30,
    "max_duration_s": 600,
    "record": True,
}
CALL_KEYS = {
    *("call_id", "provider", "provider_call_id", "direction", "state", "to", "from", "agent"),
    *("metadata", "created_at", "answered_at", "ended_at", "end"),
}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def is_problem(answer: httpx.Response, status: int, code: str) -> bool:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert {"type", "title", "status", "code"} <= set(body)
    assert (body["status"], body["code"]) == (status, code)
    return True


def number() -> str:
    """One that nobody else dials."""
    return f"+1415{uuid.uuid4().int % 10**9:09d}"


# Placing -----------------------------------------------------------------------------------------


@both
async def test_a_placed_call_is_the_call_of_the_interface(bench: Bench, carrier: str) -> None:
    answer = await bench.api.post("/v1/calls", json=ORDER | {"provider": carrier})
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    call = answer.json()
    assert set(call) == CALL_KEYS
    assert call["call_id"].startswith("call_")
    assert MOMENT.fullmatch(call["created_at"])
    told = {name: call[name] for name in CALL_KEYS - {"call_id", "provider_call_id", "created_at"}}
    assert told == {
        "provider": carrier,
        "direction": "outbound",
        "state": "queued",
        "to": "+14155550100",
        "from": "+14155550123",
        "agent": "default",
        "metadata": {"order": "42"},
        "answered_at": None,
        "ended_at": None,
        "end": None,
    }
    assert await bench.call(call["call_id"]) == call
    assert bench.rest.complaints == []


async def test_twilio_is_given_everything_it_needs_to_dial(bench: Bench) -> None:
    to = number()
    call = await bench.place(**ORDER | {"carrier": "twilio", "to": to})
    [asked] = bench.rest.dialled(to)
    base = "https://bridge.example.org/phone/twilio"
    query = f"?call_id={call['call_id']}"
    assert asked == {
        "To": to,
        "From": "+14155550123",
        "Url": f"{base}/voice{query}",
        "Method": "POST",
        "StatusCallback": f"{base}/status{query}",
        "StatusCallbackMethod": "POST",
        "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
        "Timeout": "30",
        "TimeLimit": "600",
        "Record": "true",
        "RecordingChannels": "dual",
        "RecordingStatusCallback": f"{base}/recording{query}",
        "RecordingStatusCallbackMethod": "POST",
        "RecordingStatusCallbackEvent": "completed absent",
    }


async def test_telnyx_is_given_everything_it_needs_to_dial(bench: Bench) -> None:
    to = number()
    await bench.place(**ORDER | {"carrier": "telnyx", "provider": "telnyx", "to": to})
    [asked] = bench.rest.dialled(to)
    assert asked["stream_bidirectional_mode"] == "rtp"
    assert asked["stream_bidirectional_target_legs"] == "self"
    assert (asked["stream_codec"], asked["stream_bidirectional_codec"]) == ("PCMU", "PCMU")
    assert asked["stream_track"] == "inbound_track"
    assert (asked["timeout_secs"], asked["time_limit_secs"]) == (30, 600)
    assert asked["webhook_url"] == "https://bridge.example.org/phone/telnyx/webhook"
    assert asked["connection_id"] == "1000000000000000001"


@pytest.mark.parametrize(
    ("change", "pointers"),
    [
        ({"to": "4155550100"}, ["/to"]),
        ({"to": "+1415555010x"}, ["/to"]),
        ({"to": "+14155550100\n"}, ["/to"]),
        ({"to": "+1415555010012345678"}, ["/to"]),
        ({"to": 14155550100}, ["/to"]),
        ({"to": None, "from": ""}, ["/from", "/to"]),
        ({"provider": "nobody"}, ["/provider"]),
        ({"provider": "browser"}, ["/provider"]),
        ({"agent": "nobody"}, ["/agent"]),
        ({"provider": "nobody", "agent": "nobody"}, ["/agent", "/provider"]),
        ({"colour": "red", "a/b~c": 1}, ["/a~1b~0c", "/colour"]),
        ({"ring_timeout_s": 4}, ["/ring_timeout_s"]),
        ({"ring_timeout_s": "30"}, ["/ring_timeout_s"]),
        ({"max_duration_s": 0}, ["/max_duration_s"]),
        ({"max_duration_s": 3601}, ["/max_duration_s"]),
        ({"record": "yes"}, ["/record"]),
        ({"metadata": {"a": 1}}, ["/metadata/a"]),
        ({"variables": {str(n): "" for n in range(51)}}, ["/variables"]),
    ],
)
async def test_a_bad_order_names_every_fault(
    bench: Bench, change: dict[str, Any], pointers: list[str]
) -> None:
    answer = await bench.api.post("/v1/calls", json=ORDER | change)
    assert is_problem(answer, 422, "request.invalid")
    errors = answer.json()["errors"]
    assert sorted(error["pointer"] for error in errors) == pointers
    assert all(error["message"] for error in errors)
    assert "+1415" not in answer.text


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"", 400),
        ("application/json", b"{", 400),
        ("application/json", b"\xff", 400),
        ("application/json", b"[" * 100_000, 400),
        ("application/json", b'{"to":"\\ud800"}', 400),
        ("application/json", b"null", 422),
        ("application/json", b"[]", 422),
        ("text/plain", b"{}", 415),
        ("", b"{}", 415),
        ("application/json", b" " * 262_145, 413),
    ],
)
async def test_what_is_no_order_is_refused(
    bench: Bench, content_type: str, body: bytes, status: int
) -> None:
    headers = {"content-type": content_type}
    answer = await bench.api.post("/v1/calls", content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


@both
@pytest.mark.parametrize(
    ("to", "status", "codes"),
    [
        ("+14155550901", 422, ("twilio.21211", "telnyx.10016")),
        ("+14155550902", 502, ("twilio.20003", "telnyx.10009")),
        ("+14155550903", 503, ("twilio.20429", "telnyx.10011")),
        ("+14155550904", 502, ("twilio.20500", "telnyx.10007")),
        ("+14155550905", 502, ("twilio.unreadable", "telnyx.unreadable")),
        ("+14155550906", 502, ("twilio.unreadable", "telnyx.unreadable")),
    ],
)
async def test_a_carriers_no_is_told_and_nothing_is_dialled_twice(
    bench: Bench, carrier: str, to: str, status: int, codes: tuple[str, str]
) -> None:
    before = len(bench.rest.dialled(to))
    answer = await bench.api.post("/v1/calls", json=ORDER | {"provider": carrier, "to": to})
    assert is_problem(answer, status, codes[CARRIERS.index(carrier)])
    assert ("retry-after" in answer.headers) == (status == 503)
    assert to not in answer.text
    assert len(bench.rest.dialled(to)) == before + 1
    call = await bench.call(answer.json()["call_id"])
    assert (call["state"], call["end"]["outcome"]) == ("ended", "carrier_failed")
    assert await bench.story(call["call_id"]) == ["call.queued", "call.ended"]


async def test_a_carrier_that_does_not_answer_is_not_asked_again(bench: Bench) -> None:
    orders = [ORDER | {"provider": carrier, "to": SILENT} for carrier in CARRIERS]
    answers = await asyncio.gather(*(bench.api.post("/v1/calls", json=order) for order in orders))
    for carrier, answer in zip(CARRIERS, answers, strict=True):
        assert is_problem(answer, 504, f"{carrier}.timeout")
        call = await bench.call(answer.json()["call_id"])
        assert (call["state"], call["end"]["outcome"]) == ("ended", "carrier_failed")
    assert len(bench.rest.dialled(SILENT)) == 2


async def test_a_webhook_may_overtake_the_answer_to_the_order(bench: Bench) -> None:
    before = len(bench.rest.dialled(SLOW))
    order = ORDER | {"provider": "telnyx", "to": SLOW}
    placing = asyncio.create_task(bench.api.post("/v1/calls", json=order))
    await until(lambda: len(bench.rest.dialled(SLOW)) > before)
    state = bench.rest.dialled(SLOW)[-1]["client_state"]
    early = new_control_id()
    event = telnyx_event("call.initiated", early, direction="outgoing", client_state=state)
    assert (await bench.carrier.telnyx(event)).status_code == 200
    assert not placing.done()
    placed = (await placing).json()
    assert (placed["state"], placed["provider_call_id"]) == ("ringing", early)
    hangup = telnyx_event("call.hangup", early, hangup_cause="user_busy")  # no state this time
    await bench.carrier.telnyx(hangup)
    assert (await bench.call(placed["call_id"]))["end"]["outcome"] == "busy"
    assert await bench.story(placed["call_id"]) == ["call.queued", "call.ringing", "call.ended"]


# Once --------------------------------------------------------------------------------------------


async def test_the_same_key_and_json_dial_once(bench: Bench) -> None:
    to = number()
    order = ORDER | {"to": to}
    key = {"idempotency-key": str(uuid.uuid4())}
    first = await bench.api.post("/v1/calls", json=order, headers=key)
    spaced = json.dumps(dict(reversed(order.items())), indent=4)
    headers = key | {"content-type": "application/json"}
    again = await bench.api.post("/v1/calls", content=spaced, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert len(bench.rest.dialled(to)) == 1
    other = await bench.api.post("/v1/calls", json=order | {"record": False}, headers=key)
    assert is_problem(other, 409, "idempotency.key_reused")
    assert len(bench.rest.dialled(to)) == 1


async def test_orders_at_once_under_one_key_dial_once(bench: Bench) -> None:
    to = SLOW
    before = len(bench.rest.dialled(to))
    key = {"idempotency-key": str(uuid.uuid4())}
    order = ORDER | {"to": to}
    answers = await asyncio.gather(
        *(bench.api.post("/v1/calls", json=order, headers=key) for _ in range(8))
    )
    assert len(bench.rest.dialled(to)) == before + 1
    placed = [answer.json()["call_id"] for answer in answers if answer.status_code == 201]
    assert len(set(placed)) == 1
    for answer in answers:
        if answer.status_code != 201:
            assert is_problem(answer, 409, "idempotency.in_progress")
            assert "retry-after" in answer.headers


async def test_a_key_belongs_to_whoever_uses_it(bench: Bench) -> None:
    key = {"idempotency-key": str(uuid.uuid4())}
    mine = await bench.api.post("/v1/calls", json=ORDER, headers=key)
    headers = key | {"authorization": f"Bearer {KEYS['other']}"}
    theirs = await bench.api.post("/v1/calls", json=ORDER, headers=headers)
    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert mine.json()["call_id"] != theirs.json()["call_id"]


async def test_a_failure_is_not_remembered(bench: Bench) -> None:
    key = {"idempotency-key": str(uuid.uuid4())}
    order = ORDER | {"to": "+14155550901"}
    assert (await bench.api.post("/v1/calls", json=order, headers=key)).status_code == 422
    good = await bench.api.post("/v1/calls", json=ORDER, headers=key)
    assert good.status_code == 201


async def test_bad_input_does_not_spend_a_key(bench: Bench) -> None:
    key = {"idempotency-key": str(uuid.uuid4())}
    bad = await bench.api.post("/v1/calls", json=ORDER | {"to": "x"}, headers=key)
    assert bad.status_code == 422
    assert (await bench.api.post("/v1/calls", json=ORDER, headers=key)).status_code == 201


async def test_a_key_must_be_a_key(bench: Bench) -> None:
    longest = {"idempotency-key": "x" * 247 + uuid.uuid4().hex[:8]}
    assert (await bench.api.post("/v1/calls", json=ORDER, headers=longest)).status_code == 201
    for key in ("", "x" * 256):
        answer = await bench.api.post("/v1/calls", json=ORDER, headers={"idempotency-key": key})
        assert is_problem(answer, 400, "idempotency.bad_key")


# Reading -----------------------------------------------------------------------------------------


async def test_calls_are_listed_newest_first_page_by_page(bench: Bench) -> None:
    placed = [(await bench.place("twilio"))["call_id"] for _ in range(6)][1:]
    found: list[str] = []
    cursor = ""
    while len(found) < 5:
        page = (await bench.api.get(f"/v1/calls?limit=2{cursor}")).json()
        assert len(page["calls"]) == 2
        found += [call["call_id"] for call in page["calls"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert found[:5] == placed[::-1]
    await bench.place("telnyx")
    page = (await bench.api.get("/v1/calls?provider=telnyx&state=queued&limit=100")).json()
    assert {(c["provider"], c["state"]) for c in page["calls"]} == {("telnyx", "queued")}
    ids = [call["call_id"] for call in page["calls"]]
    assert ids == sorted(ids, reverse=True)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "state=asleep", "cursor=*", "colour=red"]
)
async def test_a_list_that_cannot_be_made_is_refused(bench: Bench, query: str) -> None:
    answer = await bench.api.get(f"/v1/calls?{query}")
    assert is_problem(answer, 422, "request.invalid")
    assert answer.json()["errors"][0]["pointer"] == f"/{query.partition('=')[0]}"


@pytest.mark.parametrize("call_id", ["call_nobody", "x" * 2000, "%2e%2e", "*", "a%00b", "events"])
async def test_an_unknown_call_is_not_found(bench: Bench, call_id: str) -> None:
    for method, path in [
        ("GET", ""),
        ("GET", "/events"),
        ("GET", "/transcript"),
        ("POST", "/hangup"),
    ]:
        answer = await bench.api.request(method, f"/v1/calls/{call_id}{path}")
        assert is_problem(answer, 404, "call.unknown")
    say = await bench.api.post(f"/v1/calls/{call_id}/say", json={"text": "x"})
    assert is_problem(say, 404, "call.unknown")


async def test_agents_are_listed(bench: Bench) -> None:
    agents = (await bench.api.get("/v1/agents")).json()["agents"]
    assert {(agent["name"], agent["engine"]) for agent in agents} == {
        ("default", "loopback"),
        ("parrot", "echo"),
        ("desk", "offline"),
    }


async def test_a_transcript_says_what_was_said_and_heard(bench: Bench) -> None:
    async with bench.talking("twilio", "?agent=desk") as (call, opened):
        await until(lambda: opened.media, "no greeting")
        await listen(opened, bench, call, 1)
        await opened.press("1")
        await listen(opened, bench, call, 2)
        await bench.api.post(
            f"/v1/calls/{call.call_id}/say",
            json={"text": "This is a long sentence that nobody will hear to its very end."},
        )
        told = len(opened.heard)
        await until(lambda: len(opened.heard) > told + 4000)
    turns = (await bench.api.get(f"/v1/calls/{call.call_id}/transcript")).json()["turns"]
    for turn in turns:
        assert set(turn) == {
            *("turn_id", "who", "text", "heard_text"),
            *("started_at", "ended_at", "interrupted", "latency"),
        }
        assert MOMENT.fullmatch(turn["started_at"])
        assert MOMENT.fullmatch(turn["ended_at"])
        assert turn["started_at"] <= turn["ended_at"]
        assert all(name.endswith("_ms") for name in turn["latency"])
    greeting, reply, last = turns
    assert greeting["text"] == greeting["heard_text"] == "Hello, this is the desk."
    assert reply["text"] == reply["heard_text"] == "We open at nine."
    assert (greeting["interrupted"], last["interrupted"]) == (False, True)
    assert last["text"].startswith(last["heard_text"])
    assert last["heard_text"] != last["text"]


async def listen(opened: Line, bench: Bench, call: Announced, turns: int) -> None:
    """The person listens in silence until so many turns of the agent are over."""
    while (await bench.story(call.call_id)).count("turn.agent") < turns:
        await opened.say(SILENCE * 10, paced=True)


# Acting ------------------------------------------------------------------------------------------


@both
async def test_what_the_api_says_is_heard_on_the_line(bench: Bench, carrier: str) -> None:
    async with bench.talking(carrier, "?agent=parrot") as (call, opened):
        await listen(opened, bench, call, 1)
        told = len(opened.heard)
        answer = await bench.api.post(f"/v1/calls/{call.call_id}/say", json={"text": "One moment."})
        assert answer.status_code == 202
        assert answer.json()["call_id"] == call.call_id
        await until(lambda: len(opened.heard) > told + 4000)
        assert _loudness(opened.heard[told:]) > 300


def _loudness(pcmu: bytes) -> float:
    return float(np.sqrt(np.mean(np.square(_samples(pcmu)))))


def _samples(pcmu: bytes) -> np.ndarray[Any, np.dtype[np.float64]]:
    linear = Converter(PCMU_8K, PCM16_8K).convert(pcmu)
    return np.frombuffer(linear, "<i2").astype(np.float64)


KEYPAD = {
    (low, high): "123A456B789C*0#D"[4 * row + column]
    for row, low in enumerate((697, 770, 852, 941))
    for column, high in enumerate((1209, 1336, 1477, 1633))
}


def keys_heard(pcmu: bytes) -> str:
    """The keys that a carrier's detector hears: Goertzel's filter on blocks of 20 ms."""
    samples = _samples(pcmu)
    starts = range(0, len(samples) - FRAME_BYTES + 1, FRAME_BYTES)
    heard = [_key(samples[at : at + FRAME_BYTES]) for at in starts]
    runs = [key for key, before in zip(heard, ["", *heard], strict=False) if key != before]
    return "".join(runs)


def _key(block: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    total = float(np.sum(np.square(block)))
    if total < 1e6 * len(block):
        return ""
    power = {hz: _goertzel(block, hz) for pair in KEYPAD for hz in pair}
    low = max((697, 770, 852, 941), key=power.__getitem__)
    high = max((1209, 1336, 1477, 1633), key=power.__getitem__)
    pure = (power[low] + power[high]) / total > 0.8
    return KEYPAD[low, high] if pure else "?"


def _goertzel(block: np.ndarray[Any, np.dtype[np.float64]], hz: int) -> float:
    phase = np.exp(-2j * np.pi * hz * np.arange(len(block)) / 8000)
    return float(abs(np.sum(block * phase)) ** 2 * 2 / len(block))


async def test_digits_to_twilio_are_tones_that_a_detector_hears(bench: Bench) -> None:
    digits = "159#0*DwA7"
    async with bench.talking("twilio") as (call, opened):
        answer = await bench.api.post(f"/v1/calls/{call.call_id}/dtmf", json={"digits": digits})
        assert answer.status_code == 202
        expected = digits.replace("w", "")
        await until(lambda: keys_heard(opened.heard).endswith(expected[-1]))
        assert keys_heard(opened.heard).replace("?", "") == expected
        frame = min(len(media) for media in opened.media)
        assert frame >= FRAME_BYTES
    assert bench.rest.orders_to(call.provider_call_id) == []
    assert "dtmf.received" not in await bench.story(call.call_id)


async def test_digits_to_telnyx_are_a_command(bench: Bench) -> None:
    async with bench.talking("telnyx") as (call, opened):
        for _ in range(2):
            answer = await bench.api.post(f"/v1/calls/{call.call_id}/dtmf", json={"digits": "1w#"})
            assert answer.status_code == 202

        def sent() -> list[dict[str, Any]]:
            orders = bench.rest.orders_to(call.provider_call_id)
            return [body for action, body in orders if action == "send_dtmf"]

        await until(lambda: len(sent()) == 2)
        assert [body["digits"] for body in sent()] == ["1w#", "1w#"]
        assert len({body["command_id"] for body in sent()}) == 2
        assert opened.media == []


@pytest.mark.parametrize("digits", ["", "E", "1 2", "1" * 65, "\u0661", "1\n", 5, None])
async def test_keys_that_no_telephone_has_are_refused(bench: Bench, digits: Any) -> None:
    placed = await bench.place("twilio")
    answer = await bench.api.post(f"/v1/calls/{placed['call_id']}/dtmf", json={"digits": digits})
    assert is_problem(answer, 422, "request.invalid")
    assert answer.json()["errors"][0]["pointer"] == "/digits"


@pytest.mark.parametrize("text", ["", "   ", "x" * 2001, None, ["a"]])
async def test_nothing_cannot_be_said(bench: Bench, text: Any) -> None:
    placed = await bench.place("twilio")
    answer = await bench.api.post(f"/v1/calls/{placed['call_id']}/say", json={"text": text})
    assert is_problem(answer, 422, "request.invalid")


@both
async def test_a_call_is_hung_up_and_stays_so(bench: Bench, carrier: str) -> None:
    async with bench.talking(carrier) as (call, opened):
        answer = await bench.api.post(f"/v1/calls/{call.call_id}/hangup")
        assert answer.status_code == 202
        assert set(answer.json()) == CALL_KEYS
        assert await opened.closed() == 1000
        orders = bench.rest.orders_to(call.provider_call_id)
        assert orders, "the carrier was not told"
        if carrier == "twilio":
            assert orders[0][1] == {"Status": "completed"}
        else:
            assert "hangup" in [action for action, _ in orders]
    over = await bench.ended(call.call_id)
    assert (over["end"]["outcome"], over["end"]["ended_by"]) == ("completed", "api")
    again = await bench.api.post(f"/v1/calls/{call.call_id}/hangup")
    assert (again.status_code, again.json()) == (200, over)
    for action, body in [("say", {"text": "x"}), ("dtmf", {"digits": "1"})]:
        answer = await bench.api.post(f"/v1/calls/{call.call_id}/{action}", json=body)
        assert is_problem(answer, 409, "call.ended")


@both
async def test_hanging_up_while_it_rings_cancels(bench: Bench, carrier: str) -> None:
    placed = await bench.place(carrier)
    call_id, sid = placed["call_id"], placed["provider_call_id"]
    assert (await bench.api.post(f"/v1/calls/{call_id}/hangup")).status_code == 202
    assert bench.rest.orders_to(sid)
    if carrier == "twilio":
        form = twilio_form(sid, CallStatus="canceled", SequenceNumber="2")
        await bench.carrier.twilio(f"/twilio/status?call_id={call_id}", form)
    else:
        event = telnyx_event("call.hangup", sid, hangup_cause="originator_cancel")
        await bench.carrier.telnyx(event)
    end = (await bench.ended(call_id))["end"]
    assert (end["outcome"], end["ended_by"], end["duration_ms"]) == ("canceled", "api", 0)
    answer = await bench.api.post(f"/v1/calls/{call_id}/say", json={"text": "x"})
    assert is_problem(answer, 409, "call.ended")


async def test_a_call_hung_up_while_it_rang_is_not_put_through_after_all(bench: Bench) -> None:
    placed = await bench.place("twilio")
    call_id, sid = placed["call_id"], placed["provider_call_id"]
    await bench.api.post(f"/v1/calls/{call_id}/hangup")
    form = twilio_form(sid, CallStatus="in-progress")
    answer = await bench.carrier.twilio(f"/twilio/voice?call_id={call_id}", form)
    assert "<Stream" not in answer.text
    assert "<Hangup/>" in answer.text


async def test_nothing_is_said_to_a_call_without_a_stream(bench: Bench) -> None:
    placed = await bench.place("twilio")
    answer = await bench.api.post(f"/v1/calls/{placed['call_id']}/say", json={"text": "x"})
    assert is_problem(answer, 409, "call.not_connected")


async def test_a_call_is_not_longer_than_ordered(bench: Bench) -> None:
    placed = await bench.place("twilio", max_duration_s=1)
    call_id, sid = placed["call_id"], placed["provider_call_id"]
    form = twilio_form(sid, CallStatus="in-progress")
    answer = await bench.carrier.twilio(f"/twilio/voice?call_id={call_id}", form)
    target = target_of(answer.text.split('<Stream url="')[1].split('"')[0])
    call = Announced("twilio", call_id, sid, target)
    async with bench.socket(call) as opened:
        await opened.start()
        assert await opened.closed() == 1000
    end = (await bench.ended(call_id))["end"]
    assert (end["outcome"], end["ended_by"], end["cause"]) == ("completed", "limit", "max_duration")
    assert bench.rest.orders_to(sid)


# Who may -----------------------------------------------------------------------------------------

PRIVATE = ["/v1/calls", "/v1/calls/x", "/v1/calls/x/events", "/v1/events", "/v1/agents"]
PUBLIC = ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/v1/agents/schema"]


async def test_with_keys_set_nothing_private_is_open(bench: Bench) -> None:
    good = KEYS["tester"]
    wrong = [
        {},
        *(
            {"authorization": text}
            for text in ("Bearer", "Bearer x", good, f"Basic {good}", f"Bearer {good}x")
        ),
        {"authorization": f"Bearer {good[:-1]}"},
        {"authorization": "Bearer tester"},
        {"x-forwarded-for": "127.0.0.1"},
        {"authorization": "Bearer ü".encode("latin-1").decode("latin-1")},
    ]
    http = bench.carrier.http
    for headers in wrong:
        raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
        for path in PRIVATE:
            answer = await http.get(path, headers=raw)
            assert is_problem(answer, 401, "access.key_refused")
            assert answer.headers["www-authenticate"] == "Bearer"
        answer = await http.post("/v1/calls", json=ORDER, headers=raw)
        assert is_problem(answer, 401, "access.key_refused")
    for name in KEYS.values():
        answer = await http.get("/v1/calls", headers={"authorization": f"bearer {name}"})
        assert answer.status_code == 200


@pytest.mark.parametrize("path", PUBLIC)
async def test_probes_and_papers_need_no_key(bench: Bench, path: str) -> None:
    assert (await bench.carrier.http.get(path)).status_code == 200
    assert (await bench.carrier.http.head(path)).status_code == 200


async def test_without_keys_only_this_machine_itself_may_ask(open_service: Process) -> None:
    async with httpx.AsyncClient(base_url=open_service.url) as http:
        assert (await http.get("/v1/calls")).status_code == 200
        for headers in (
            {"x-forwarded-for": "127.0.0.1"},
            {"x-forwarded-for": ""},
            {"forwarded": "for=127.0.0.1"},
        ):
            answer = await http.get("/v1/calls", headers=headers)
            assert is_problem(answer, 401, "access.loopback_only")
        answer = await http.get("/v1/calls", headers={"host": "evil.example.org"})
        assert answer.status_code == 401
        # A page of another site may post plain text, and must not dial with it.
        text = json.dumps(ORDER)
        answer = await http.post("/v1/calls", content=text, headers={"content-type": "text/plain"})
        assert answer.status_code == 415


async def test_the_description_is_valid_and_knows_every_answer(bench: Bench) -> None:
    document = (await bench.carrier.http.get("/openapi.json")).json()
    validate(document)
    assert document["openapi"].startswith("3.1")
    assert {
        *("/v1/calls", "/v1/calls/{call_id}", "/v1/calls/{call_id}/events", "/v1/events"),
        *("/v1/calls/{call_id}/transcript", "/v1/calls/{call_id}/hangup", "/v1/agents"),
        *("/v1/calls/{call_id}/say", "/v1/calls/{call_id}/dtmf", "/healthz", "/readyz"),
    } <= set(document["paths"])


async def test_metrics_are_prometheus_text_under_one_name(bench: Bench) -> None:
    async with bench.talking("twilio"):
        answer = await bench.carrier.http.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        names = {
            row.split("{")[0].split(" ")[0] for row in answer.text.splitlines() if row[0] != "#"
        }
        assert {name for name in names if not name.startswith("callbridge_")} == set()
        assert "# TYPE callbridge_calls_live gauge" in answer.text
        [live] = re.findall(r"^callbridge_calls_live ([0-9.]+)$", answer.text, re.MULTILINE)
        assert float(live) >= 1


async def test_unknown_methods_are_told_what_is_allowed(bench: Bench) -> None:
    answer = await bench.api.delete("/v1/calls")
    assert is_problem(answer, 405, "method_not_allowed")
    assert {"GET", "POST"} <= {word.strip() for word in answer.headers["allow"].split(",")}


async def test_a_call_that_twilio_has_no_more_is_over_for_the_api_too(bench: Bench) -> None:
    call = await bench.announce("twilio")
    form = twilio_form(call.provider_call_id, CallStatus="completed")
    await bench.carrier.twilio(f"/twilio/status?call_id={call.call_id}", form)
    answer = await bench.api.post(f"/v1/calls/{call.call_id}/hangup")
    assert answer.status_code == 200
    assert new_sid() != call.provider_call_id


@both
async def test_a_carrier_that_cannot_hang_up_does_not_keep_the_call_alive(
    bench: Bench, carrier: str
) -> None:
    async with bench.talking(carrier) as (call, opened):
        bench.rest.broken.add(call.provider_call_id)
        answer = await bench.api.post(f"/v1/calls/{call.call_id}/hangup")
        assert is_problem(answer, 502, f"{carrier}.unreadable")
        assert await opened.closed() == 1000
        assert (await bench.ended(call.call_id))["end"]["ended_by"] == "api"
    attempts = bench.rest.orders_to(call.provider_call_id)
    assert len(attempts) > 1, "hanging up is safe to try again"


async def test_a_long_call_is_transcribed_to_its_end(bench: Bench) -> None:
    async with bench.talking("twilio", "?agent=parrot") as (call, opened):
        await until(lambda: opened.media)
        for _ in range(1100):
            await opened.press("1")
        answer = await bench.api.post(f"/v1/calls/{call.call_id}/say", json={"text": "The end."})
        assert answer.status_code == 202
        told = len(opened.heard)
        await until(lambda: len(opened.heard) > told + 800)
    turns = (await bench.api.get(f"/v1/calls/{call.call_id}/transcript")).json()["turns"]
    assert turns[-1]["text"] == "The end."
