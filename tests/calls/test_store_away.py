"""Redis goes away while calls are on: what can be kept is kept, what cannot is said."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from service.calls import sweep as sweep_module
from service.calls.redis import open_redis
from service.calls.sweep import Sweep
from service.core.calls import Call, CallState
from tests.calls.house import House, at_work
from tests.calls.samples import StoppedClock, attached, end, inbound, stopped
from tests.calls.test_webhooks import HUNG_UP, OFFER, ring, tell
from tests.redis_server import RedisServer

ORDER = {"provider": "acme", "to": "+14155550100", "from": "+14155550123"}


@pytest.fixture
async def house(redis_server: RedisServer, clock: StoppedClock) -> AsyncIterator[House]:
    client = open_redis(redis_server.url)
    async with at_work(House(client, clock)) as house:
        yield house
    await client.aclose()


async def stop(server: RedisServer) -> None:
    await asyncio.to_thread(server.stop)


async def start(server: RedisServer) -> None:
    await asyncio.to_thread(server.start)


async def test_news_of_a_call_are_kept_and_written_when_redis_is_back(
    house: House, redis_server: RedisServer
) -> None:
    call = inbound("CA1")
    await house.store.create(call)
    await stop(redis_server)
    response = await tell(house, provider_call_id="CA1", call_id=call.call_id, events=[HUNG_UP])
    assert response.status_code == 204
    await start(redis_server)
    await asyncio.wait_for(house.journal.flush(), 10)
    after = await house.store.get(call.call_id)
    assert after is not None
    assert after.end == end()


async def test_what_cannot_be_kept_is_asked_for_again(
    house: House, redis_server: RedisServer
) -> None:
    await stop(redis_server)
    nameless = await tell(house, provider_call_id="CA1", events=[HUNG_UP])
    offered = await tell(house, provider_call_id="CA1", offer=OFFER)
    for response in (nameless, offered):
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
    await start(redis_server)
    assert (await tell(house, provider_call_id="CA1", offer=OFFER)).text.startswith("connect")


async def test_the_api_says_that_it_cannot(house: House, redis_server: RedisServer) -> None:
    await stop(redis_server)
    async with house.client() as client:
        response = await client.get("/v1/calls")
        placed = await client.post("/v1/calls", json=ORDER)
    for answer in (response, placed):
        assert (answer.status_code, answer.json()["code"]) == (503, "store.away")
    assert house.carrier.asked == []
    await start(redis_server)


async def test_a_call_that_was_dialled_is_told_of_even_if_redis_goes_away_meanwhile(
    house: House, redis_server: RedisServer
) -> None:
    house.carrier.meanwhile = lambda: stop(redis_server)
    async with house.client() as client:
        headers = {"idempotency-key": "k"}
        response = await client.post("/v1/calls", json=ORDER, headers=headers)
    assert response.status_code == 201
    await start(redis_server)
    await asyncio.wait_for(house.journal.flush(), 10)
    assert await house.store.find("acme", response.json()["provider_call_id"]) is not None


async def test_a_digit_pressed_while_redis_is_away_does_not_break_the_webhook(
    house: House, redis_server: RedisServer
) -> None:
    call = inbound("CA1")
    await house.store.create(call)
    await house.store.apply(call.call_id, attached())
    await stop(redis_server)
    said: dict[str, Any] = {"digit": "5", "event_id": "e5", "events": [ring("ringing", "e1", 1)]}
    response = await tell(house, provider_call_id="CA1", call_id=call.call_id, **said)
    assert response.status_code == 204
    await start(redis_server)


async def test_following_goes_on_when_redis_is_back(
    house: House, redis_server: RedisServer
) -> None:
    call = inbound("CA1")
    await house.store.create(call)
    await house.store.apply(call.call_id, attached())
    async with house.client() as client:
        following = asyncio.create_task(
            client.get(f"/v1/calls/{call.call_id}/events", headers={"accept": "text/event-stream"})
        )
        await asyncio.wait({following}, timeout=0.1)
        await stop(redis_server)
        await asyncio.wait({following}, timeout=0.3)
        await start(redis_server)
        await tell(house, provider_call_id="CA1", events=[HUNG_UP])
        await house.store.apply(call.call_id, stopped())
        response = await asyncio.wait_for(following, 10)
    assert "event: call.ended" in response.text


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that must come to pass."""
    async with asyncio.timeout(20):
        for _ in iter(int, 1):
            if await condition():
                return
            await asyncio.sleep(0.01)


async def test_nobody_is_judged_for_a_lease_after_redis_was_away(
    house: House,
    redis_server: RedisServer,
    clock: StoppedClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweep_module, "EVERY_S", 0.01)
    call = inbound("CA1")
    await house.store.create(call)
    await house.store.apply(call.call_id, attached())
    sweep = Sweep(house.store, house.control, clock=clock, metrics=house.metrics, lease_ms=300)
    task = asyncio.create_task(sweep.run())
    await asyncio.wait({task}, timeout=0.4)  # it is sweeping by now
    await stop(redis_server)
    await asyncio.wait({task}, timeout=0.1)
    clock.pass_ms(60_000)  # the lease ran out, but its owner could not renew it
    await start(redis_server)
    await house.store.leases.renew([call.call_id], clock.utc())
    await asyncio.wait({task}, timeout=0.6)
    assert (await state(house, call)) is CallState.BRIDGED

    clock.pass_ms(60_000)  # and now the owner has no excuse

    async def over() -> bool:
        return await state(house, call) is CallState.ENDED

    await until(over)
    task.cancel()
    await asyncio.wait({task})


async def state(house: House, call: Call) -> CallState:
    after = await house.store.get(call.call_id)
    assert after is not None
    return after.state
