"""The REST API, as a user meets it."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from service.agents import agent_schema
from service.calls import models
from service.calls.records import opening
from service.core.calls import Call, CallEnding, CallState, Outcome
from service.core.events import (
    DigitsRequested,
    HangUpRequested,
    InstructionsGiven,
    SayRequested,
    TransferRequested,
)
from tests.calls.house import House, at_work
from tests.calls.samples import (
    StoppedClock,
    answered,
    at,
    attached,
    end,
    ended,
    inbound,
    noted,
    stopped,
    transferred,
)

ORDER: dict[str, Any] = {
    "provider": "acme",
    "to": "+14155550100",
    "from": "+14155550123",
    "agent": "night",
    "variables": {"name": "Ana"},
    "metadata": {"order": "42"},
    "ring_timeout_s": 30,
    "max_duration_s": 600,
    "record": True,
}


@pytest.fixture
async def client(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with house.client() as client:
        yield client


async def live_call(house: House, *, owner: str = "A", **facts: Any) -> Call:
    call = inbound(**facts)
    await house.store.create(call, opening(call))
    return (await house.store.apply(call.call_id, attached(owner=owner))).call


# Placing -----------------------------------------------------------------------------------------


async def test_a_call_is_placed(house: House, client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/calls", json=ORDER)
    assert response.status_code == 201
    call = response.json()
    models.Call.model_validate(call)
    assert call | {"call_id": "", "created_at": ""} == {
        "call_id": "",
        "provider": "acme",
        "provider_call_id": "CA-1",
        "direction": "outbound",
        "state": "queued",
        "to": "+14155550100",
        "from": "+14155550123",
        "agent": "night",
        "metadata": {"order": "42"},
        "created_at": "",
        "answered_at": None,
        "ended_at": None,
        "end": None,
    }
    assert call["created_at"] == "2026-11-20T08:00:00.000Z"
    kept = await house.store.find("acme", "CA-1")
    assert kept is not None
    assert (kept.variables, kept.ring_timeout_s, kept.max_duration_s, kept.record) == (
        {"name": "Ana"},
        30,
        600,
        True,
    )
    ((what, asked),) = house.carrier.asked
    token = asked["stream_url"].removeprefix("wss://bridge.test/acme/stream/")
    assert what == "place"
    assert await house.store.by_token(token) == kept
    assert await house.events(kept.call_id) == ["call.queued"]


async def test_what_a_call_has_otherwise_is_kept_and_shown_to_nobody(
    house: House, client: httpx.AsyncClient
) -> None:
    overrides = {
        "greeting": "Good evening, {name}.",
        "instructions": "The order is late.",
        "turn_taking": {"quick_ms": 300, "backchannels": ["ja"]},
    }
    response = await client.post("/v1/calls", json=ORDER | {"overrides": overrides})
    assert response.status_code == 201
    models.Call.model_validate(response.json())
    kept = await house.store.find("acme", "CA-1")
    assert kept is not None
    assert kept.overrides == overrides
    shown = [
        response.text,
        (await client.get(f"/v1/calls/{kept.call_id}")).text,
        (await client.get(f"/v1/calls/{kept.call_id}/events")).text,
    ]
    assert not [text for text in shown if "late" in text or "evening" in text]


@pytest.mark.parametrize(
    ("overrides", "pointers"),
    [
        ({"colour": "red"}, ["/overrides/colour"]),
        ({"tools": []}, ["/overrides/tools"]),
        ({"realtime": {"url": "https://evil.example"}}, ["/overrides/realtime/url"]),
        ({"idle": {"times": 99}, "greeting": 5}, ["/overrides/idle/times", "/overrides/greeting"]),
        ({"filler": {"says": [""]}}, ["/overrides/filler/says/0"]),
        ({"greeting": "Hi {nmae}."}, ["/overrides/greeting"]),
        ({"voicemail": {"policy": "leave_message"}}, ["/overrides/voicemail/message"]),
        ({"turn_taking": {"quick_ms": 900}}, ["/overrides/turn_taking/quick_ms"]),
        (None, ["/overrides"]),
    ],
)
async def test_what_a_call_may_not_have_otherwise_is_told_by_pointers(
    house: House, client: httpx.AsyncClient, overrides: Any, pointers: list[str]
) -> None:
    response = await client.post("/v1/calls", json=ORDER | {"overrides": overrides})
    assert response.status_code == 422
    errors = response.json()["errors"]
    assert sorted(error["pointer"] for error in errors) == sorted(pointers)
    assert all("Value error" not in error["message"] for error in errors)
    assert house.carrier.asked == []


async def test_a_name_that_the_call_does_not_bring_is_told(client: httpx.AsyncClient) -> None:
    order = ORDER | {"overrides": {"greeting": "Hi {name}."}, "variables": {}}
    response = await client.post("/v1/calls", json=order)
    assert [error["pointer"] for error in response.json()["errors"]] == ["/overrides/greeting"]


@pytest.mark.parametrize(
    ("asked", "overrides", "kept_s"),
    [
        (None, {}, 1800),
        (600, {}, 600),
        (None, {"max_duration_s": 60}, 60),
        (600, {"max_duration_s": 60}, 600),
        (None, {"max_duration_s": 80_000}, 3600),
        (None, {"max_duration_s": None}, 3600),
    ],
)
async def test_a_call_lasts_as_its_order_says_else_as_its_agent_does(
    house: House,
    client: httpx.AsyncClient,
    asked: int | None,
    overrides: dict[str, Any],
    kept_s: int,
) -> None:
    order = ORDER | {"max_duration_s": asked, "overrides": overrides}
    assert (await client.post("/v1/calls", json=order)).status_code == 201
    kept = await house.store.find("acme", "CA-1")
    assert kept is not None
    assert kept.max_duration_s == kept_s


async def test_what_is_left_out_has_a_default(house: House, client: httpx.AsyncClient) -> None:
    order = {name: ORDER[name] for name in ("provider", "to", "from")}
    call = (await client.post("/v1/calls", json=order)).json()
    kept = await house.store.get(call["call_id"])
    assert kept is not None
    assert (kept.agent, kept.max_duration_s, kept.ring_timeout_s) == ("default", 3600, 30)


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({"to": "4155550100"}, ["/to"]),
        ({"to": "+0123", "from": ""}, ["/to", "/from"]),
        ({"color": "blue"}, ["/color"]),
        ({"provider": "unknown"}, ["/provider"]),
        ({"agent": "nobody", "max_duration_s": 9999}, ["/agent", "/max_duration_s"]),
        ({"ring_timeout_s": "30"}, ["/ring_timeout_s"]),
        ({"metadata": {"a/b": 1}}, ["/metadata/a~1b"]),
    ],
)
async def test_bad_input_is_told_all_at_once(
    house: House, client: httpx.AsyncClient, changes: dict[str, Any], pointers: list[str]
) -> None:
    response = await client.post("/v1/calls", json=ORDER | changes)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    models.Problem.model_validate(problem)
    assert problem["code"] == "request.invalid"
    assert sorted(error["pointer"] for error in problem["errors"]) == sorted(pointers)
    assert "4155550100" not in response.text
    assert house.carrier.asked == []


@pytest.mark.parametrize(
    ("content", "media_type", "status", "code"),
    [
        (b"{", "application/json", 400, "request.not_json"),
        (b"{}", "text/plain", 415, "request.not_json"),
        (b'{"provider":"' + b"x" * 10_000, "application/json", 413, "request.body_too_long"),
    ],
)
async def test_what_is_no_order_is_refused(
    client: httpx.AsyncClient, content: bytes, media_type: str, status: int, code: str
) -> None:
    response = await client.post("/v1/calls", content=content, headers={"content-type": media_type})
    assert (response.status_code, response.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("said", "status", "headers"),
    [
        (422, 422, {}),
        (429, 503, {"retry-after": "1"}),
        (500, 502, {}),
        (0, 504, {}),
    ],
)
async def test_when_the_carrier_says_no_the_call_is_kept_and_nothing_is_dialled_again(
    house: House, client: httpx.AsyncClient, said: int, status: int, headers: dict[str, str]
) -> None:
    house.carrier.answers["place"] = [said]
    response = await client.post("/v1/calls", json=ORDER)
    assert response.status_code == status
    problem = response.json()
    assert problem["code"] == f"acme.{said}"
    assert headers.items() <= dict(response.headers).items()
    call = await house.store.get(problem["call_id"])
    assert call is not None
    assert call.end == end(Outcome.CARRIER_FAILED, f"acme_{said}", "carrier")
    assert house.carrier.paths() == ["place"]


async def test_a_fault_of_ours_while_placing_is_written_down(
    house: House, client: httpx.AsyncClient
) -> None:
    async def fail() -> None:
        raise RuntimeError("ours")

    house.carrier.meanwhile = fail
    with pytest.raises(RuntimeError):
        await client.post("/v1/calls", json=ORDER)
    (call,) = (await house.store.list()).calls
    assert call.end == end(Outcome.OUR_FAULT, "internal_error", "bridge")


async def test_a_full_house_places_no_call(house: House, client: httpx.AsyncClient) -> None:
    house.fill()
    response = await client.post("/v1/calls", json=ORDER)
    assert (response.status_code, response.json()["code"]) == (503, "busy.max_calls")
    assert response.headers["retry-after"] == "1"
    assert house.carrier.asked == []


async def test_a_call_that_was_ended_while_it_was_placed_is_hung_up(
    house: House, client: httpx.AsyncClient
) -> None:
    async def hang_up() -> None:
        (call,) = (await house.store.list()).calls
        assert (await client.post(f"/v1/calls/{call.call_id}/hangup")).status_code == 202

    house.carrier.meanwhile = hang_up
    await client.post("/v1/calls", json=ORDER)
    assert house.carrier.paths() == ["place", "hang_up"]


# Idempotency -------------------------------------------------------------------------------------


async def test_the_same_key_and_order_dial_once_and_get_the_same_answer(
    house: House, client: httpx.AsyncClient
) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await client.post("/v1/calls", json=ORDER, headers=headers)
    reordered = dict(reversed(ORDER.items()))
    second = await client.post("/v1/calls", json=reordered, headers=headers)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    other = await client.post("/v1/calls", json=ORDER | {"record": False}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency.key_reused")
    assert house.carrier.paths() == ["place"]


async def test_two_orders_at_once_under_one_key_dial_once(house: House, neighbour: House) -> None:
    async with house.client() as one, neighbour.client() as two:
        responses = await asyncio.gather(
            *(
                client.post("/v1/calls", json=ORDER, headers={"Idempotency-Key": "k"})
                for client in (one, two, one, two)
            )
        )
    assert {response.status_code for response in responses} <= {201, 409}
    assert house.carrier.paths() == ["place"]


async def test_only_success_is_remembered(house: House, client: httpx.AsyncClient) -> None:
    house.carrier.answers["place"] = [500]
    headers = {"Idempotency-Key": "k1"}
    assert (await client.post("/v1/calls", json=ORDER, headers=headers)).status_code == 502
    assert (await client.post("/v1/calls", json=ORDER, headers=headers)).status_code == 201


async def test_a_key_without_end_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/calls", json=ORDER, headers={"Idempotency-Key": "k" * 256})
    assert (response.status_code, response.json()["code"]) == (400, "idempotency.bad_key")


# Reading -----------------------------------------------------------------------------------------


async def test_calls_are_read_and_listed(house: House, client: httpx.AsyncClient) -> None:
    one, two = await live_call(house), inbound("CA2")
    await house.store.create(two)
    read = (await client.get(f"/v1/calls/{one.call_id}")).json()
    assert (read["state"], read["answered_at"]) == ("bridged", "2026-11-20T08:00:02.000Z")
    first = (await client.get("/v1/calls", params={"limit": 1})).json()
    models.Calls.model_validate(first)
    assert [call["call_id"] for call in first["calls"]] == [two.call_id]
    rest = await client.get("/v1/calls", params={"limit": 1, "cursor": first["next_cursor"]})
    assert [call["call_id"] for call in rest.json()["calls"]] == [one.call_id]
    ringing = (await client.get("/v1/calls", params={"state": "ringing"})).json()
    assert [call["call_id"] for call in ringing["calls"]] == [two.call_id]


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "x"}, {"state": "dead"}, {"cursor": "a b"}, {"page": "2"}]
)
async def test_a_list_that_cannot_be_made_is_refused(
    client: httpx.AsyncClient, query: dict[str, str]
) -> None:
    response = await client.get("/v1/calls", params=query)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == f"/{next(iter(query))}"


@pytest.mark.parametrize("path", ["", "/events", "/transcript"])
async def test_an_unknown_call_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(f"/v1/calls/call_unknown{path}")
    assert (response.status_code, response.json()["code"]) == (404, "call.unknown")


async def test_events_are_read_page_by_page(house: House, client: httpx.AsyncClient) -> None:
    call = await live_call(house)
    page = (await client.get(f"/v1/calls/{call.call_id}/events?limit=2")).json()
    models.Events.model_validate(page)
    assert [event["type"] for event in page["events"]] == ["call.ringing", "call.answered"]
    after = page["events"][-1]["id"]
    more = (await client.get(f"/v1/calls/{call.call_id}/events?after={after}")).json()
    assert [event["type"] for event in more["events"]] == ["stream.started"]
    everybodys = (await client.get("/v1/events")).json()
    assert everybodys["events"] == page["events"] + more["events"]


@pytest.mark.parametrize("whose", ["one", "all"])
async def test_events_beyond_a_page_are_named(
    house: House, client: httpx.AsyncClient, whose: str
) -> None:
    call = await live_call(house)
    path = f"/v1/calls/{call.call_id}/events" if whose == "one" else "/v1/events"
    found: list[str] = []
    cursor: str | None = "0-0"
    pages = 0
    while cursor is not None:
        page = (await client.get(f"{path}?limit=2&cursor={cursor}")).json()
        models.Events.model_validate(page)
        found += [event["type"] for event in page["events"]]
        cursor = page["next_cursor"]
        pages += 1
    assert (found, pages) == (["call.ringing", "call.answered", "stream.started"], 2)
    assert (await client.get(f"{path}?limit=3")).json()["next_cursor"] is None
    both = await client.get(f"{path}?after=1-0&cursor=1-0")
    assert (both.status_code, both.json()["code"]) == (422, "request.invalid")


async def test_the_transcript_tells_what_was_heard(house: House, client: httpx.AsyncClient) -> None:
    call = await live_call(house)
    caller = {"turn_id": "caller-1", "text": "When are you open?", "started_at": at(4)}
    agent = {
        "turn_id": "t1",
        "text": "We are open from nine.",
        "heard_text": "We are open",
        "interrupted": True,
        "started_at": at(6),
        "ended_at": at(7),
        "latency": {"response_ms": 700},
    }
    await house.store.apply(call.call_id, noted("n2", "turn.agent", 7, **agent))
    await house.store.apply(call.call_id, noted("n1", "turn.user", 5, **caller))
    transcript = (await client.get(f"/v1/calls/{call.call_id}/transcript")).json()
    models.Transcript.model_validate(transcript)
    first, second = transcript["turns"]
    assert (first["who"], first["text"], first["heard_text"]) == (
        "caller",
        "When are you open?",
        None,
    )
    assert (second["who"], second["heard_text"], second["interrupted"]) == (
        "agent",
        "We are open",
        True,
    )
    assert second["started_at"] == "2026-11-20T08:00:06.000Z"
    assert second["latency"] == {"response_ms": 700}
    history = await house.desk.history(call)
    assert [(turn.who, turn.text) for turn in history] == [
        ("caller", "When are you open?"),
        ("agent", "We are open"),
    ]


async def test_agents_are_listed(client: httpx.AsyncClient) -> None:
    agents = (await client.get("/v1/agents")).json()
    models.Agents.model_validate(agents)
    assert agents["agents"][2] == {
        "name": "night",
        "engine": "echo",
        "fallback": ["offline"],
        "numbers": ["+14155550199"],
        "tools": ["end_call", "look_up"],
    }


async def test_the_schema_of_agent_files_needs_no_key(redis: Redis, clock: StoppedClock) -> None:
    async with (
        at_work(House(redis, clock, keys={"tester": "secret"})) as house,
        house.client() as c,
    ):
        answer = await c.get("/v1/agents/schema")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/schema+json"
        assert answer.json() == agent_schema()
        assert (await c.get("/v1/agents")).status_code == 401


# Following ---------------------------------------------------------------------------------------


def frames(text: str) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in text.splitlines()]
    return [json.loads(line) for line in lines if line.startswith("{")]


async def test_a_call_is_followed_until_it_ends(house: House, client: httpx.AsyncClient) -> None:
    call = await live_call(house)
    headers = {"accept": "text/event-stream"}
    following = asyncio.create_task(client.get(f"/v1/calls/{call.call_id}/events", headers=headers))
    await asyncio.sleep(0)
    await house.store.apply(call.call_id, ended(7))
    await house.store.apply(call.call_id, stopped(8))
    response = await asyncio.wait_for(following, 10)
    assert response.headers["content-type"].startswith("text/event-stream")
    seen = frames(response.text)
    assert [event["type"] for event in seen] == [
        "call.ringing",
        "call.answered",
        "stream.started",
        "stream.stopped",
        "call.ended",
    ]
    kept = (await client.get(f"/v1/calls/{call.call_id}/events")).json()["events"]
    assert seen == kept
    assert f"id: {kept[0]['id']}\nevent: call.ringing\n" in response.text


async def test_following_goes_on_where_it_broke_off(
    house: House, client: httpx.AsyncClient
) -> None:
    call = await live_call(house)
    await house.store.apply(call.call_id, ended(7))
    await house.store.apply(call.call_id, stopped(8))
    events = await house.store.entries(call.call_id)
    headers = {"accept": "text/event-stream", "last-event-id": events[2].id}
    response = await client.get(f"/v1/calls/{call.call_id}/events", headers=headers)
    assert [event["type"] for event in frames(response.text)] == ["stream.stopped", "call.ended"]
    headers["last-event-id"] = events[-1].id
    response = await client.get(f"/v1/calls/{call.call_id}/events", headers=headers)
    assert frames(response.text) == []
    headers["last-event-id"] = "yesterday"
    response = await client.get(f"/v1/calls/{call.call_id}/events", headers=headers)
    assert response.status_code == 400


async def test_following_may_begin_after_an_event(house: House, client: httpx.AsyncClient) -> None:
    call = await live_call(house)
    await house.store.apply(call.call_id, stopped(8))
    await house.store.apply(call.call_id, ended(9))
    events = await house.store.entries(call.call_id)
    path = f"/v1/calls/{call.call_id}/events?after={events[1].id}"
    headers = {"accept": "text/event-stream"}
    response = await client.get(path, headers=headers)
    assert [event["id"] for event in frames(response.text)] == [event.id for event in events[2:]]
    # A browser that comes back asks the same URL, and says what it had last.
    response = await client.get(path, headers=headers | {"last-event-id": events[3].id})
    assert [event["type"] for event in frames(response.text)] == ["call.ended"]
    house.draining = True
    everybodys = await client.get(f"/v1/events?after={events[1].id}", headers=headers)
    assert everybodys.status_code == 200
    for path in (f"/v1/calls/{call.call_id}/events", "/v1/events"):
        for query in ("after=yesterday", "limit=5", "cursor=1-0"):
            refused = await client.get(f"{path}?{query}", headers=headers)
            assert refused.status_code == 422
            [fault] = refused.json()["errors"]
            assert fault["pointer"] == f"/{query.partition('=')[0]}"


async def test_all_calls_are_followed_until_the_service_closes(
    house: House, client: httpx.AsyncClient
) -> None:
    call = await live_call(house)
    before = await house.store.last_id()
    await house.store.apply(call.call_id, noted())
    headers = {"accept": "text/event-stream", "last-event-id": before}
    following = asyncio.create_task(client.get("/v1/events", headers=headers))
    await asyncio.sleep(0.05)
    house.draining = True
    response = await asyncio.wait_for(following, 10)
    assert [event["type"] for event in frames(response.text)] in ([], ["turn.user"])


# Acting ------------------------------------------------------------------------------------------


async def test_a_live_call_is_hung_up_wherever_it_is(house: House, neighbour: House) -> None:
    call = await live_call(house, owner="B")
    async with house.client() as client:
        response = await client.post(f"/v1/calls/{call.call_id}/hangup")
        assert response.status_code == 202
        await asyncio.wait_for(neighbour.heard.wait(), 5)
        assert neighbour.told == [(call.call_id, HangUpRequested("hangup", "api"))]
        assert house.carrier.paths() == ["hang_up"]
        await house.store.apply(call.call_id, stopped(owner="B"))
        again = await client.post(f"/v1/calls/{call.call_id}/hangup")
    assert again.status_code == 200
    assert again.json()["end"] == {
        "outcome": "completed",
        "cause": "hangup",
        "ended_by": "api",
        "duration_ms": 6000,
    }


async def test_a_ringing_call_that_is_hung_up_was_canceled(
    house: House, client: httpx.AsyncClient
) -> None:
    call = (await client.post("/v1/calls", json=ORDER)).json()
    await client.post(f"/v1/calls/{call['call_id']}/hangup")
    await house.store.apply(call["call_id"], ended(5, how=end(Outcome.CANCELED, "x", "carrier")))
    over = (await client.get(f"/v1/calls/{call['call_id']}")).json()["end"]
    assert (over["outcome"], over["ended_by"], over["duration_ms"]) == ("canceled", "api", 0)


async def test_a_carrier_that_does_not_hang_up_is_told_of(
    house: House, client: httpx.AsyncClient
) -> None:
    call = await live_call(house)
    house.carrier.answers["hang_up"] = [422]
    response = await client.post(f"/v1/calls/{call.call_id}/hangup")
    assert (response.status_code, response.json()["code"]) == (422, "acme.422")


async def test_a_call_that_no_carrier_reaches_ends_at_once(
    house: House, client: httpx.AsyncClient
) -> None:
    call = inbound(provider="browser")
    await house.store.create(call)
    response = await client.post(f"/v1/calls/{call.call_id}/hangup")
    assert response.json()["end"]["ended_by"] == "api"


@pytest.mark.parametrize(
    ("path", "body", "event"),
    [
        ("say", {"text": " Hold on, please. "}, SayRequested("Hold on, please.")),
        ("dtmf", {"digits": "12w#"}, DigitsRequested("12w#")),
        ("transfer", {"to": "+14155550100"}, TransferRequested("+14155550100", from_outside=True)),
        ("instructions", {"text": " Be brief. "}, InstructionsGiven("Be brief.")),
    ],
)
async def test_a_live_call_is_told_what_to_do(
    house: House, client: httpx.AsyncClient, path: str, body: dict[str, str], event: Any
) -> None:
    call = await live_call(house)
    response = await client.post(f"/v1/calls/{call.call_id}/{path}", json=body)
    assert response.status_code == 202
    assert house.told == [(call.call_id, event)]
    await house.store.apply(
        call.call_id, CallEnding(event_id="ending", occurred_at=at(5), end=end())
    )
    late = await client.post(f"/v1/calls/{call.call_id}/{path}", json=body)
    assert (late.status_code, late.json()["code"]) == (409, "call.ended")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        *(
            ("say", {"text": " "}),
            ("say", {}),
            ("dtmf", {"digits": "12x"}),
            ("dtmf", {"digits": ""}),
        ),
        *(("transfer", {"to": to}) for to in ("", "4155550100", "sip:a@b.example", "+1415555010x")),
        *(("transfer", {}), ("transfer", {"to": "+14155550100", "from": "+14155550101"})),
        *(("instructions", {"text": text}) for text in ("", " ", "x" * 4001)),
    ],
)
async def test_nonsense_is_not_passed_on(
    house: House, client: httpx.AsyncClient, path: str, body: dict[str, str]
) -> None:
    call = await live_call(house)
    response = await client.post(f"/v1/calls/{call.call_id}/{path}", json=body)
    assert response.status_code == 422
    assert house.told == []


async def test_an_engine_without_a_voice_says_so(house: House, client: httpx.AsyncClient) -> None:
    call = await live_call(house, agent="line")
    response = await client.post(f"/v1/calls/{call.call_id}/say", json={"text": "Hello"})
    assert (response.status_code, response.json()["code"]) == (409, "engine.cannot_speak")
    assert house.told == []
    keys = await client.post(f"/v1/calls/{call.call_id}/dtmf", json={"digits": "5"})
    assert keys.status_code == 202  # keys go to the line without the engine's help
    assert house.told == [(call.call_id, DigitsRequested("5"))]
    await house.store.apply(call.call_id, stopped())
    await house.store.apply(call.call_id, ended())
    late = await client.post(f"/v1/calls/{call.call_id}/say", json={"text": "Hello"})
    assert late.json()["code"] == "call.ended"


async def test_nothing_can_be_said_before_there_is_a_stream(
    house: House, client: httpx.AsyncClient
) -> None:
    call = inbound()
    await house.store.create(call)
    await house.store.apply(call.call_id, answered())
    response = await client.post(f"/v1/calls/{call.call_id}/say", json={"text": "Hello"})
    assert (response.status_code, response.json()["code"]) == (409, "call.not_connected")


# Who may -----------------------------------------------------------------------------------------


async def test_with_keys_set_a_key_is_needed(redis: Redis, clock: StoppedClock) -> None:
    keys = {"ci": "first secret", "ops": "sécond"}
    async with at_work(House(redis, clock, keys=keys)) as house, house.client("203.0.113.9") as c:
        for header in ("", "Bearer", "Bearer wrong", "Basic first secret", "first secret"):
            response = await c.get("/v1/calls", headers={"authorization": header})
            assert (response.status_code, response.json()["code"]) == (401, "access.key_refused")
            assert response.headers["www-authenticate"] == "Bearer"
        response = await c.get("/v1/calls", headers={"authorization": "bearer first secret"})
        assert response.status_code == 200


async def test_without_keys_only_this_machine_may_ask(house: House) -> None:
    async with house.client() as here, house.client("203.0.113.9") as there:
        assert (await here.get("/v1/calls")).status_code == 200
        assert (await there.get("/v1/calls")).json()["code"] == "access.loopback_only"
        for header in ("X-Forwarded-For", "Forwarded"):
            response = await here.get("/v1/calls", headers={header: "for=192.0.2.1"})
            assert response.status_code == 401
        rebound = await here.get("/v1/calls", headers={"host": "evil.test"})
        assert rebound.json()["code"] == "access.foreign_host"


async def test_unknown_paths_and_methods_are_problems_too(client: httpx.AsyncClient) -> None:
    for method, path, status in (("GET", "/v1/nothing", 404), ("DELETE", "/v1/calls", 405)):
        response = await client.request(method, path)
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"


async def test_a_call_over_is_over(house: House, client: httpx.AsyncClient) -> None:
    call = await live_call(house)
    await house.store.apply(call.call_id, stopped())
    await house.store.apply(call.call_id, ended())
    response = await client.post(f"/v1/calls/{call.call_id}/say", json={"text": "Hello"})
    assert (response.status_code, response.json()["code"]) == (409, "call.ended")
    read = await house.store.get(call.call_id)
    assert read is not None
    assert read.state is CallState.ENDED


async def test_a_call_that_was_handed_over_cannot_be_told_anything_but_to_end(
    house: House, client: httpx.AsyncClient
) -> None:
    call = await live_call(house)
    await house.store.apply(call.call_id, transferred())
    for path, body in (("transfer", {"to": "+14155550100"}), ("say", {"text": "Hello"})):
        response = await client.post(f"/v1/calls/{call.call_id}/{path}", json=body)
        assert (response.status_code, response.json()["code"]) == (409, "call.transferred")
    assert house.told == []
    assert (await client.post(f"/v1/calls/{call.call_id}/hangup")).status_code == 202
    assert house.carrier.paths() == ["hang_up"]


async def test_a_line_without_a_carrier_cannot_be_handed_over(
    house: House, client: httpx.AsyncClient
) -> None:
    call = await live_call(house, provider="browser")
    response = await client.post(f"/v1/calls/{call.call_id}/transfer", json={"to": "+14155550100"})
    assert (response.status_code, response.json()["code"]) == (409, "carrier.cannot_transfer")
    assert house.told == []


@pytest.mark.parametrize(("policy", "detects"), [("talk", False), ("hang_up", True)])
async def test_a_machine_is_looked_for_when_the_agent_would_not_talk_to_one(
    house: House, client: httpx.AsyncClient, policy: str, detects: bool
) -> None:
    overrides = {"voicemail": {"policy": policy}}
    placed = await client.post("/v1/calls", json=ORDER | {"overrides": overrides})
    call = await house.store.get(placed.json()["call_id"])
    assert call is not None
    assert call.detect_machine is detects
