"""Events of a running service: in order, and the same in Redis, REST and Server-Sent Events."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.service.bench import Bench
from tests.service.carriers import new_sid, twilio_form, until
from tests.service.test_rest import is_problem

CARRIERS = ("twilio", "telnyx")
both = pytest.mark.parametrize("carrier", CARRIERS)
PREFIX = "callbridge:"
DAY_S = 86_400


async def follow(
    bench: Bench, path: str, *, last_id: str = "", until_type: str = "call.ended"
) -> list[dict[str, str]]:
    """The events of a stream, each as its fields, until one of this type."""
    found = []
    async for frame in frames(bench, path, last_id=last_id):
        found.append(frame)
        if frame["event"] == until_type:
            break
    return found


async def frames(bench: Bench, path: str, *, last_id: str = "") -> AsyncIterator[dict[str, str]]:
    headers = {"accept": "text/event-stream"} | ({"last-event-id": last_id} if last_id else {})
    async with bench.api.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        frame: dict[str, str] = {}
        async for row in answer.aiter_lines():
            if row and not row.startswith(":"):
                name, _, value = row.partition(": ")
                frame |= {name: value} if name != "retry" else {}
            elif "id" in frame:
                yield frame
                frame = {}


async def a_whole_call(bench: Bench, carrier: str) -> str:
    async with bench.talking(carrier) as (call, opened):
        await opened.say(bytes(range(160)) * 10)
        await opened.press("5")
        await bench.noted(call.call_id, "dtmf.received")
    return call.call_id


# Redis -------------------------------------------------------------------------------------------


@both
async def test_an_event_is_the_same_everywhere(bench: Bench, carrier: str) -> None:
    call_id = await a_whole_call(bench, carrier)
    events = await bench.events(call_id)
    own: Any = bench.redis.xrange(f"{PREFIX}call:{call_id}:events")
    everybodys: Any = bench.redis.xrange(f"{PREFIX}events")
    everybodys = [(id_, fields) for id_, fields in everybodys if fields["call_id"] == call_id]
    assert own == everybodys
    for (entry_id, fields), event in zip(own, events, strict=True):
        assert set(fields) == {"id", "type", "call_id", "at", "data"}
        assert fields["id"] == entry_id == event["id"]
        assert {**fields, "data": json.loads(fields["data"])} == event
    followed = await follow(bench, f"/v1/calls/{call_id}/events")
    assert [json.loads(frame["data"]) for frame in followed] == events
    assert [frame["id"] for frame in followed] == [event["id"] for event in events]
    assert [frame["event"] for frame in followed] == [event["type"] for event in events]


@both
async def test_a_call_is_told_in_order_and_each_step_once(bench: Bench, carrier: str) -> None:
    call_id = await a_whole_call(bench, carrier)
    types = await bench.story(call_id)
    assert types == [
        *("call.ringing", "call.answered", "stream.started", "dtmf.received"),
        *("turn.agent", "agent.interrupted", "stream.stopped", "call.ended"),
    ]
    events = await bench.events(call_id)
    ids = [tuple(int(part) for part in event["id"].split("-")) for event in events]
    assert ids == sorted(set(ids))
    assert all(event["call_id"] == call_id for event in events)


async def test_a_call_in_redis_is_a_hash_of_json(bench: Bench) -> None:
    async with bench.talking("twilio") as (call, _):
        key = f"{PREFIX}call:{call.call_id}"
        live: Any = bench.redis.hgetall(key)
        shown = await bench.call(call.call_id)
        assert {name: json.loads(live[name]) for name in shown} == shown
        score: Any = bench.redis.zscore(f"{PREFIX}calls:live", call.call_id)
        [seconds, _] = bench.redis.time()
        assert seconds < score / 1000 < seconds + 20
        assert bench.redis.ttl(key) == -1
    assert bench.redis.zscore(f"{PREFIX}calls:live", call.call_id) is None
    over: Any = bench.redis.hgetall(key)
    shown = await bench.call(call.call_id)
    assert {name: json.loads(over[name]) for name in shown} == shown
    for kept in (key, f"{key}:events"):
        ttl: Any = bench.redis.ttl(kept)
        assert 29 * DAY_S < ttl <= 30 * DAY_S
    assert bench.redis.ttl(f"{PREFIX}events") == -1


@both
async def test_nothing_of_an_ended_call_stays_for_ever(bench: Bench, carrier: str) -> None:
    call_id = await a_whole_call(bench, carrier)
    provider_call_id = (await bench.call(call_id))["provider_call_id"]
    keys = [
        key
        for key in bench.redis.scan_iter(f"{PREFIX}*", count=1000)
        if call_id in key or provider_call_id in key
    ]
    assert keys
    assert [key for key in keys if bench.redis.ttl(key) == -1] == []
    assert [key for key in keys if "token" in key] == []


async def test_everything_lies_under_one_prefix(bench: Bench) -> None:
    await a_whole_call(bench, "twilio")
    keys = [*bench.redis.scan_iter("*", count=1000)]
    assert [key for key in keys if not key.startswith(PREFIX)] == []


async def test_the_lease_of_a_live_call_is_renewed(bench: Bench) -> None:
    async with bench.talking("twilio") as (call, _):
        live = f"{PREFIX}calls:live"
        first: Any = bench.redis.zscore(live, call.call_id)

        def later() -> bool:
            now: Any = bench.redis.zscore(live, call.call_id)
            return bool(now > first + 500)

        await until(later, "the lease is not renewed")


async def test_times_of_a_call_agree_with_its_events(bench: Bench) -> None:
    call_id = await a_whole_call(bench, "telnyx")
    call = await bench.call(call_id)
    at = {event["type"]: event["at"] for event in await bench.events(call_id)}
    assert call["answered_at"] == at["call.answered"]
    assert call["ended_at"] == at["call.ended"]
    [ended] = [e for e in await bench.events(call_id) if e["type"] == "call.ended"]
    assert ended["data"] == call["end"]
    assert set(call["end"]) == {"outcome", "cause", "ended_by", "duration_ms"}
    assert 0 < call["end"]["duration_ms"] < 60_000


# Following ---------------------------------------------------------------------------------------


async def test_a_call_is_followed_while_it_lives(bench: Bench) -> None:
    call = await bench.announce("twilio")
    following = asyncio.create_task(follow(bench, f"/v1/calls/{call.call_id}/events"))
    async with bench.socket(call) as opened:
        await opened.start()
        await bench.state(call.call_id, "bridged")
        assert not following.done()
        await bench.hang_up_line(call, opened)
    async with asyncio.timeout(10):
        followed = await following
    assert [frame["event"] for frame in followed] == await bench.story(call.call_id)


async def test_the_stream_of_a_call_ends_with_the_call(bench: Bench) -> None:
    call_id = await a_whole_call(bench, "twilio")
    async with asyncio.timeout(5):
        found = [frame async for frame in frames(bench, f"/v1/calls/{call_id}/events")]
    assert [frame["event"] for frame in found] == await bench.story(call_id)


async def test_following_goes_on_after_the_last_id_seen(bench: Bench) -> None:
    call_id = await a_whole_call(bench, "twilio")
    path = f"/v1/calls/{call_id}/events"
    everything = await follow(bench, path)
    for seen in range(1, len(everything)):
        rest = await follow(bench, path, last_id=everything[seen - 1]["id"])
        assert rest == everything[seen:]
    async with asyncio.timeout(5):
        last = everything[-1]["id"]
        assert [frame async for frame in frames(bench, path, last_id=last)] == []


async def test_all_calls_are_followed_from_now_or_from_an_id(bench: Bench) -> None:
    before = await a_whole_call(bench, "twilio")
    last = (await bench.events(before))[-1]["id"]
    following = asyncio.create_task(follow(bench, "/v1/events", last_id=last))
    call_id = await a_whole_call(bench, "telnyx")
    async with asyncio.timeout(10):
        followed = await following
    assert before not in {json.loads(frame["data"])["call_id"] for frame in followed}
    mine = [frame for frame in followed if json.loads(frame["data"])["call_id"] == call_id]
    assert [frame["event"] for frame in mine] == await bench.story(call_id)


async def test_the_events_of_all_calls_are_read_page_by_page(bench: Bench) -> None:
    call_id = await a_whole_call(bench, "twilio")
    first = (await bench.events(call_id))[0]["id"]
    found: list[dict[str, Any]] = []
    after = first
    while True:
        page = (await bench.api.get(f"/v1/events?after={after}&limit=3")).json()["events"]
        if not page:
            break
        assert len(page) <= 3
        found += page
        after = page[-1]["id"]
    mine = [event for event in found if event["call_id"] == call_id]
    assert mine == (await bench.events(call_id))[1:]


@pytest.mark.parametrize("last_id", ["x", "1", "-1", "1-", "9" * 40 + "-0", "1-1\t1", "$"])
async def test_an_id_that_is_none_is_refused(bench: Bench, last_id: str) -> None:
    headers = {"accept": "text/event-stream", "last-event-id": last_id}
    answer = await bench.api.get("/v1/events", headers=headers)
    assert is_problem(answer, 400, "request.bad_event_id")


@pytest.mark.parametrize("query", ["after=x", "limit=0", "limit=1001", "colour=red"])
async def test_events_that_cannot_be_read_are_refused(bench: Bench, query: str) -> None:
    answer = await bench.api.get(f"/v1/events?{query}")
    assert is_problem(answer, 422, "request.invalid")


async def test_a_follower_who_leaves_harms_nobody(bench: Bench) -> None:
    call = await bench.announce("twilio")
    path = f"{bench.service.url}/v1/calls/{call.call_id}/events"
    headers = {**bench.api.headers, "accept": "text/event-stream"}
    for _ in range(5):
        async with (
            httpx.AsyncClient(headers=headers) as leaver,
            leaver.stream("GET", path) as answer,
        ):
            assert answer.status_code == 200
    assert (await bench.carrier.http.get("/healthz")).status_code == 200


# What may come late ------------------------------------------------------------------------------


async def test_after_the_end_only_recordings_and_faults_are_told(bench: Bench) -> None:
    call_id = await a_whole_call(bench, "twilio")
    sid = (await bench.call(call_id))["provider_call_id"]
    before = await bench.story(call_id)
    assert before[-1] == "call.ended"
    for status in ("ringing", "in-progress", "completed", "busy"):
        form = twilio_form(sid, CallStatus=status, SequenceNumber="9" + str(len(status)))
        await bench.carrier.twilio(f"/twilio/status?call_id={call_id}", form)
    amd = twilio_form(sid, AnsweredBy="human")
    await bench.carrier.twilio(f"/twilio/amd?call_id={call_id}", amd)
    assert await bench.story(call_id) == before
    stream = {"CallSid": sid, "StreamEvent": "stream-error", "StreamError": "31921"}
    await bench.carrier.twilio(f"/twilio/stream-status?call_id={call_id}", stream)
    assert await bench.story(call_id) == [*before, "fault"]
    assert (await bench.call(call_id))["state"] == "ended"


async def test_the_first_word_on_how_a_call_ended_stands(bench: Bench) -> None:
    placed = await bench.place("twilio")
    target = f"/twilio/status?call_id={placed['call_id']}"
    for status in ("busy", "completed", "failed"):
        form = twilio_form(placed["provider_call_id"], CallStatus=status, SequenceNumber="2")
        await bench.carrier.twilio(target, form)
    assert (await bench.call(placed["call_id"]))["end"]["outcome"] == "busy"
    assert new_sid() != placed["provider_call_id"]
