"""Webhooks as carriers send them: forged, too long, repeated, shuffled, to several instances."""

import asyncio
import random
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from service.core.calls import Call, CallEnding, CallState, MediaLost, Outcome
from service.core.events import DtmfReceived, HangUpRequested, MachineDetected
from tests.calls.house import House
from tests.calls.samples import (
    StoppedClock,
    answered,
    at,
    attached,
    end,
    ended,
    outbound,
    stopped,
    transferred,
)

SIGNED = {"x-signature": "good"}
OFFER = {"provider_call_id": "CA1", "to": "+14155550123", "from": "+525512345678"}


async def tell(
    house: House, carrier: str = "acme", *, path: str = "webhook", **said: Any
) -> httpx.Response:
    async with house.client("203.0.113.9") as client:
        return await client.post(f"/{carrier}/{path}", json=said, headers=SIGNED)


def ring(kind: str, event_id: str, seconds: float, **more: Any) -> tuple[str, dict[str, Any]]:
    return kind, {"event_id": event_id, "occurred_at": at(seconds).isoformat(), **more}


RETURNED = ring("returned", "e-returned", 8, code="acme.transfer_busy")

HUNG_UP = ring(
    "ended",
    "e-ended",
    9,
    end={"outcome": "completed", "cause": "hangup", "ended_by": "caller"},
)


async def only_call(house: House) -> Call:
    (call,) = (await house.store.list()).calls
    return call


async def test_an_offered_call_is_connected_to_a_socket_of_its_own(house: House) -> None:
    response = await tell(house, provider_call_id="CA1", offer=OFFER)
    call = await only_call(house)
    assert response.status_code == 200
    token = response.text.removeprefix("connect wss://bridge.test/acme/stream/")
    opened = await house.store.by_token(token)
    assert opened == call
    assert (call.state, call.agent, call.to) == (CallState.RINGING, "default", OFFER["to"])
    assert await house.events(call.call_id) == ["call.ringing"]


async def test_a_call_offered_again_gets_the_same_answer(house: House, neighbour: House) -> None:
    answers = await asyncio.gather(
        *(
            tell(place, provider_call_id="CA1", offer=OFFER)
            for place in (house, neighbour, house, neighbour)
        )
    )
    assert len({answer.text for answer in answers}) == 1
    call = await only_call(house)
    assert await house.events(call.call_id) == ["call.ringing"]


async def test_a_carrier_that_wants_a_command_gets_it_once(house: House, neighbour: House) -> None:
    for place in (house, neighbour, house):
        response = await tell(place, "bolt", provider_call_id="B1", offer=OFFER)
        assert response.status_code == 200
    await house.errands.finish(5)
    await neighbour.errands.finish(5)
    assert house.carrier.paths() == ["answer"]


async def test_an_answer_that_may_yet_succeed_is_tried_again(house: House) -> None:
    house.carrier.answers["answer"] = [503, 429]
    await tell(house, "bolt", provider_call_id="CA1", offer=OFFER)
    await house.errands.finish(10)
    assert house.carrier.paths() == ["answer"] * 3
    assert (await only_call(house)).state is CallState.RINGING


async def test_a_call_that_cannot_be_answered_ends(house: House) -> None:
    house.carrier.answers["answer"] = [422]
    await tell(house, "bolt", provider_call_id="CA1", offer=OFFER)
    await house.errands.finish(5)
    call = await only_call(house)
    assert call.end == end(Outcome.CARRIER_FAILED, "bolt_422", "carrier")
    assert house.carrier.paths() == ["answer", "hang_up"]


async def test_a_caller_who_hung_up_before_the_answer_canceled(house: House) -> None:
    house.carrier.answers["answer"] = [410]
    await tell(house, "bolt", provider_call_id="CA1", offer=OFFER)
    await house.errands.finish(5)
    call = await only_call(house)
    assert call.end == end(Outcome.CANCELED, "gone_before_answer", "caller")


@pytest.mark.parametrize(
    ("asked", "agent", "events"),
    [
        ("night", "night", ["call.ringing"]),
        ("nobody", "default", ["call.ringing", "fault"]),
    ],
)
async def test_the_url_chooses_the_agent(
    house: House, asked: str, agent: str, events: list[str]
) -> None:
    await tell(house, provider_call_id="CA1", offer=OFFER, agent=asked)
    call = await only_call(house)
    assert (call.agent, await house.events(call.call_id)) == (agent, events)


async def test_the_dialled_number_chooses_the_agent(house: House) -> None:
    await tell(house, provider_call_id="CA1", offer=OFFER | {"to": "+14155550199"})
    assert (await only_call(house)).agent == "night"


async def test_a_full_house_refuses_new_calls_but_serves_its_own(house: House) -> None:
    await tell(house, provider_call_id="CA1", offer=OFFER)
    house.fill()
    refused = await tell(house, provider_call_id="CA2", offer=OFFER | {"provider_call_id": "CA2"})
    assert refused.text == "refuse"
    assert (await tell(house, provider_call_id="CA1", offer=OFFER)).text.startswith("connect")
    await tell(house, "bolt", provider_call_id="B2", offer=OFFER | {"provider_call_id": "B2"})
    await house.errands.finish(5)
    assert house.carrier.paths() == ["refuse"]


@pytest.mark.parametrize(
    ("statuses", "attempts"), [([503, 429, 200], 3), ([422], 1), ([410], 1), ([503] * 9, 3)]
)
async def test_turning_a_call_away_is_tried_again_where_that_may_help(
    house: House, statuses: list[int], attempts: int
) -> None:
    house.fill()
    house.carrier.answers["refuse"] = [*statuses]
    await tell(house, "bolt", provider_call_id="B1", offer=OFFER | {"provider_call_id": "B1"})
    await house.errands.finish(10)
    assert house.carrier.paths() == ["refuse"] * attempts


async def test_letting_a_call_go_is_tried_again_where_that_may_help(house: House) -> None:
    await tell(house, "bolt", provider_call_id="B1", offer=OFFER | {"provider_call_id": "B1"})
    await house.errands.finish(5)
    call = await only_call(house)
    await house.store.apply(call.call_id, ended())
    house.carrier.asked.clear()
    house.carrier.answers["let_go"] = [0]
    await tell(house, "bolt", provider_call_id="B1", asks_stream=True)
    await house.errands.finish(10)
    assert house.carrier.paths() == ["let_go"] * 2


async def test_every_order_and_repetition_on_two_instances_tells_one_story(
    house: House, neighbour: House
) -> None:
    await tell(house, "bolt", provider_call_id="CA1", offer=OFFER)
    news = [
        ring("answered", "e-answered", 2),
        HUNG_UP,
        ring("noted", "e-amd", 3, type="machine.detected", data={"result": "human"}),
        ring("noted", "e-rec", 10, type="recording.saved", data={"recording_id": "RE1"}),
    ]
    for seed in range(3):
        deliveries = [(place, one) for one in news * 3 for place in (house, neighbour)]
        random.Random(seed).shuffle(deliveries)
        responses = await asyncio.gather(
            *(
                tell(place, "bolt", provider_call_id="CA1", events=[one])
                for place, one in deliveries
            )
        )
        assert {response.status_code for response in responses} == {200}
    await house.journal.flush()
    await neighbour.journal.flush()
    call = await only_call(house)
    types = await house.events(call.call_id)
    assert call.state is CallState.ENDED
    assert len(types) == len(set(types))
    assert {"call.ringing", "call.ended", "recording.saved"} <= set(types)
    assert set(types[types.index("call.ended") + 1 :]) <= {"recording.saved"}


async def test_a_forged_webhook_is_not_even_read(house: House) -> None:
    async with house.client() as client:
        for headers in ({}, {"x-signature": "bad"}):
            response = await client.post("/acme/webhook", content=b"{", headers=headers)
            assert response.status_code == 403
            assert response.headers["content-type"] == "application/problem+json"
            assert response.json()["code"] == "acme.bad_signature"
    assert (await house.store.list()).calls == ()


async def test_an_insecure_house_takes_unsigned_webhooks(redis: Redis, clock: StoppedClock) -> None:
    open_house = House(redis, clock, insecure=True)
    async with open_house.client() as client:
        response = await client.post("/acme/webhook", json={"offer": OFFER})
    assert response.text.startswith("connect")


@pytest.mark.parametrize(
    ("content", "media_type", "code"),
    [
        (b"x" * 10_001, "application/json", "request.body_too_long"),
        (b"a=1&" * 200, "application/x-www-form-urlencoded", "request.too_many_fields"),
    ],
)
async def test_a_body_that_is_too_long_is_refused_before_its_signature_is_checked(
    house: House, content: bytes, media_type: str, code: str
) -> None:
    async with house.client() as client:
        response = await client.post(
            "/acme/webhook", content=content, headers={"content-type": media_type}
        )
    assert response.status_code == 413
    assert response.json()["code"] == code


async def test_a_body_without_a_length_is_read_no_further_than_allowed(house: House) -> None:
    read = 0

    async def endless() -> Any:
        nonlocal read
        while True:
            read += 1
            assert read < 100
            yield b"x" * 1000

    async with house.client() as client:
        response = await client.post("/acme/webhook", content=endless())
    assert response.status_code == 413


async def test_what_is_no_event_is_acknowledged(house: House) -> None:
    async with house.client() as client:
        response = await client.post("/acme/webhook", content=b"no json", headers=SIGNED)
    assert response.status_code == 204
    assert (await tell(house, provider_call_id="CA9", events=[HUNG_UP])).status_code == 204


async def test_an_answered_outbound_call_is_connected_when_the_carrier_asks(house: House) -> None:
    call = outbound()
    await house.store.create(call)
    response = await tell(
        house,
        provider_call_id="CA5",
        call_id=call.call_id,
        asks_stream=True,
        events=[ring("answered", "e1", 3)],
    )
    assert response.text.startswith("connect ")
    after = await house.store.find("acme", "CA5")
    assert after is not None
    assert (after.call_id, after.state) == (call.call_id, CallState.ANSWERED)


async def offered_and_attached(house: House, owner: str = "A") -> Call:
    await tell(house, provider_call_id="CA1", offer=OFFER)
    call = await only_call(house)
    return (await house.store.apply(call.call_id, attached(owner=owner))).call


async def test_a_stream_that_stopped_lets_the_call_go(house: House) -> None:
    call = await offered_and_attached(house)
    await house.store.apply(call.call_id, stopped())
    response = await tell(house, path="done", provider_call_id="CA1", asks_stream=True)
    assert response.text == "let_go"


async def test_a_lost_stream_is_connected_again_in_time(house: House, clock: StoppedClock) -> None:
    call = await offered_and_attached(house)
    clock.pass_ms(3000)
    lost = MediaLost(event_id="lost", occurred_at=clock.utc(), owner="A")
    await house.store.apply(call.call_id, lost)
    clock.pass_ms(4999)
    again = await tell(house, path="done", provider_call_id="CA1", asks_stream=True)
    assert again.text.startswith("connect ")
    clock.pass_ms(2)
    late = await tell(house, path="done", provider_call_id="CA1", asks_stream=True)
    assert late.text == "let_go"


async def test_a_stream_that_broke_off_unnoticed_is_connected_again(house: House) -> None:
    await offered_and_attached(house, owner="an instance that was killed")
    response = await tell(house, path="done", provider_call_id="CA1", asks_stream=True)
    assert response.text.startswith("connect ")


async def test_a_call_that_is_being_ended_is_not_connected_again(house: House) -> None:
    call = await offered_and_attached(house)
    goodbye = CallEnding(event_id="bye", occurred_at=at(7), end=end(ended_by="agent"))
    await house.store.apply(call.call_id, goodbye)
    response = await tell(house, path="done", provider_call_id="CA1", asks_stream=True)
    assert response.text == "let_go"


async def test_the_bridge_is_told_that_the_carrier_ended_the_call(
    house: House, neighbour: House
) -> None:
    call = await offered_and_attached(house)
    await tell(house, provider_call_id="CA1", events=[HUNG_UP])
    assert house.told == [(call.call_id, HangUpRequested("hangup", "carrier"))]
    waiting = await only_call(house)
    assert waiting.state is CallState.BRIDGED
    await house.store.apply(call.call_id, stopped())
    assert (await only_call(house)).end == end()


async def test_a_digit_told_thrice_reaches_the_bridge_once_wherever_it_is(
    house: House, neighbour: House
) -> None:
    call = await offered_and_attached(house, owner="B")
    for place in (house, neighbour, house):
        await tell(place, provider_call_id="CA1", digit="5", event_id="e-5")
    await asyncio.wait_for(neighbour.heard.wait(), 5)
    assert neighbour.told == [(call.call_id, DtmfReceived("5", channel="webhook"))]
    assert house.told == []


async def test_news_of_two_calls_at_once_are_not_believed(house: House) -> None:
    call = await offered_and_attached(house)
    await tell(house, call_id=call.call_id, provider_call_id="CA-other", events=[HUNG_UP])
    assert (await only_call(house)).pending_end is None


async def test_another_carriers_news_of_a_call_are_not_believed(house: House) -> None:
    call = await offered_and_attached(house)
    await tell(house, "bolt", call_id=call.call_id, events=[HUNG_UP])
    assert (await only_call(house)).pending_end is None


async def test_a_call_that_is_over_for_us_and_answered_after_all_is_hung_up(house: House) -> None:
    call = outbound(provider="bolt")
    await house.store.create(call)
    await house.store.apply(call.call_id, ended(2, how=end(Outcome.CARRIER_FAILED)))
    await tell(
        house,
        "bolt",
        call_id=call.call_id,
        provider_call_id="B1",
        events=[ring("answered", "e1", 5)],
    )
    await house.errands.finish(5)
    assert house.carrier.asked == [("hang_up", {"call": "B1"})]


async def test_late_news_of_an_ended_call_disturb_nobody(house: House) -> None:
    call = outbound(provider="bolt")
    await house.store.create(call)
    await house.store.apply(call.call_id, answered(1))
    await house.store.apply(call.call_id, ended(9))
    await tell(house, "bolt", call_id=call.call_id, events=[ring("answered", "e1", 1)])
    await house.errands.finish(5)
    assert house.carrier.asked == []


async def test_webhooks_are_counted_by_what_became_of_them(house: House) -> None:
    await tell(house, provider_call_id="CA1", offer=OFFER)
    async with house.client() as client:
        await client.post("/acme/webhook")
    counted = house.metrics.text().decode()
    assert 'callbridge_webhooks_total{provider="acme",result="answered"} 1.0' in counted
    assert 'callbridge_webhooks_total{provider="acme",result="forged"} 1.0' in counted


# Handed over -------------------------------------------------------------------------------------


async def handed_over(house: House, carrier: str = "acme") -> Call:
    await tell(house, carrier, provider_call_id="CA1", offer=OFFER)
    await house.errands.finish(5)
    call = await only_call(house)
    await house.store.apply(call.call_id, attached())
    return (await house.store.apply(call.call_id, transferred())).call


async def test_late_news_of_the_stream_leave_a_call_alone_that_was_handed_over(
    house: House,
) -> None:
    call = await handed_over(house)
    done = await tell(house, path="done", provider_call_id="CA1", asks_stream=True)
    assert (done.status_code, done.text) == (204, "")
    again = await tell(house, provider_call_id="CA1", offer=OFFER)
    assert (again.status_code, again.text) == (204, "")
    assert await only_call(house) == call
    assert house.carrier.asked == []


async def test_a_call_that_was_handed_over_ends_by_the_carriers_word(house: House) -> None:
    await handed_over(house)
    await tell(house, provider_call_id="CA1", events=[HUNG_UP])
    assert (await only_call(house)).end == end()
    assert house.carrier.asked == []


@pytest.mark.parametrize("carrier", ["acme", "bolt"])
async def test_another_leg_neither_names_nor_ends_the_call(house: House, carrier: str) -> None:
    call = await handed_over(house, carrier)
    for event in (ring("ringing", "o1", 7), ring("answered", "o2", 8), HUNG_UP):
        await tell(house, carrier, call_id=call.call_id, provider_call_id="CA2", events=[event])
    assert await only_call(house) == call


async def test_a_call_that_nobody_took_is_connected_to_its_socket_again(
    house: House, clock: StoppedClock
) -> None:
    call = await handed_over(house)
    clock.pass_ms(8000)
    answer = await tell(
        house, provider_call_id="CA1", asks_stream=True, returns=True, events=[RETURNED]
    )
    token = answer.text.removeprefix("take back wss://bridge.test/acme/stream/")
    opened = await house.store.by_token(token)
    assert opened is not None
    assert (opened.call_id, opened.stream_stopped_at) == (call.call_id, None)
    assert (await house.events(call.call_id))[-2:] == ["stream.stopped", "fault"]
    counted = house.metrics.text().decode()
    assert 'callbridge_transfers_total{provider="acme",result="returned"} 1.0' in counted


async def test_a_carrier_that_wants_a_command_to_give_a_call_back_gets_it_once(
    house: House, clock: StoppedClock
) -> None:
    await handed_over(house, "bolt")
    clock.pass_ms(8000)
    said: dict[str, Any] = {
        "asks_stream": True,
        "returns": True,
        "event_id": "e1",
        "events": [RETURNED],
    }
    for _ in range(2):
        await tell(house, "bolt", provider_call_id="CA1", **said)
    await house.errands.finish(5)
    assert house.carrier.paths() == ["answer", "take_back"]


async def test_a_call_that_comes_back_before_its_leaving_was_written_down_is_waited_for(
    house: House, clock: StoppedClock
) -> None:
    call = await offered_and_attached(house)
    clock.pass_ms(8000)
    said: dict[str, Any] = {"asks_stream": True, "returns": True, "events": [RETURNED]}
    asked = asyncio.create_task(tell(house, provider_call_id="CA1", **said))
    await asyncio.sleep(0)
    await house.store.apply(call.call_id, transferred())
    assert (await asked).text.startswith("take back ")
    assert (await only_call(house)).attached is False


async def test_the_bridge_is_told_who_picked_up(house: House) -> None:
    call = await offered_and_attached(house)
    found = ring("noted", "e-amd", 4, type="machine.detected", data={"result": "machine"})
    machine = {"result": "machine", "greeting_over": True}
    said: dict[str, Any] = {"event_id": "e-amd", "machine": machine, "events": [found]}
    for _ in range(2):
        await tell(house, provider_call_id="CA1", **said)
    await house.errands.finish(5)
    assert house.told == [(call.call_id, MachineDetected("machine", greeting_over=True))]
    assert (await house.events(call.call_id))[-1] == "machine.detected"
