"""A process that is told to stop: announced calls without a socket are waited for, then ended."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.calls import drain as drain_module
from service.calls.drain import SHUTDOWN, Drain
from service.core.calls import Call, CallState
from tests.calls.house import House
from tests.calls.samples import StoppedClock, attached, ended, noted
from tests.calls.test_api import ORDER
from tests.calls.test_webhooks import OFFER, only_call, tell


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain_module, "LOOK_EVERY_S", 0.01)


@pytest.fixture
def drain(house: House, clock: StoppedClock) -> Drain:
    return Drain(house.store, house.control, admission=house.admission, clock=clock)


async def offered(house: House) -> Call:
    await tell(house, provider_call_id="CA1", offer=OFFER)
    return await only_call(house)


async def placed(house: House) -> Call:
    async with house.client() as client:
        assert (await client.post("/v1/calls", json=ORDER)).status_code == 201
    return await only_call(house)


@pytest.mark.parametrize("how", [offered, placed])
async def test_a_call_whose_socket_is_to_come_is_waited_for(
    house: House, drain: Drain, how: Callable[[House], Awaitable[Call]]
) -> None:
    call = await how(house)
    house.carrier.asked.clear()
    waiting = asyncio.create_task(drain.wait(20))
    await asyncio.wait({waiting}, timeout=0.1)
    assert not waiting.done()
    await house.store.apply(call.call_id, attached(owner="any instance"))
    await asyncio.wait_for(waiting, 5)
    await drain.end()
    assert (await only_call(house)).state is CallState.BRIDGED
    assert house.carrier.paths() == []


async def test_a_call_that_ends_elsewhere_is_waited_for_no_longer(
    house: House, drain: Drain
) -> None:
    call = await placed(house)
    await house.store.apply(call.call_id, ended())
    await asyncio.wait_for(drain.wait(20), 5)


async def test_a_call_that_is_only_just_being_let_in_is_waited_for(
    house: House, drain: Drain
) -> None:
    with house.admission.arriving("CA1"):
        waiting = asyncio.create_task(drain.wait(20))
        await asyncio.wait({waiting}, timeout=0.05)
        assert not waiting.done()
    await asyncio.wait_for(waiting, 5)


@pytest.mark.parametrize("how", [offered, placed])
async def test_when_the_time_is_up_nobody_is_left_on_a_dead_line(
    house: House, drain: Drain, how: Callable[[House], Awaitable[Call]]
) -> None:
    call = await how(house)
    house.carrier.asked.clear()
    await drain.wait(0.05)
    await drain.end()
    after = await only_call(house)
    assert (after.state, after.end) == (CallState.ENDED, SHUTDOWN)
    assert house.carrier.asked == [("hang_up", {"call": call.provider_call_id})]
    assert (await house.events(call.call_id))[-1] == "call.ended"
    await asyncio.wait_for(drain.wait(20), 5)  # it is expected no more


async def test_what_another_instance_has_taken_meanwhile_is_not_disturbed(
    house: House, neighbour: House, drain: Drain
) -> None:
    call = await offered(house)
    house.carrier.asked.clear()
    taking = neighbour.store.apply(call.call_id, attached(owner="B"))
    await asyncio.gather(drain.end(), taking)
    after = await only_call(house)
    taken = after.state is CallState.BRIDGED
    assert taken or after.end == SHUTDOWN
    assert house.carrier.paths() == ([] if taken else ["hang_up"])
    await neighbour.store.apply(call.call_id, attached(event_id="again", owner="B"))
    await drain.end()
    assert house.carrier.paths() == ([] if taken else ["hang_up"])


async def test_a_call_that_is_being_dialled_is_hung_up_once_the_carrier_has_named_it(
    house: House, drain: Drain
) -> None:
    ending: list[asyncio.Task[None]] = []

    async def time_is_up() -> None:
        ending.append(asyncio.create_task(drain.end()))
        for _ in iter(int, 1):
            if (await only_call(house)).state is CallState.ENDED:
                return
            await asyncio.sleep(0.01)

    house.carrier.meanwhile = time_is_up
    async with house.client() as client:
        response = await client.post("/v1/calls", json=ORDER)
    assert response.json()["state"] == "ended"
    await asyncio.wait_for(ending[0], 5)
    name = response.json()["provider_call_id"]
    assert ("hang_up", {"call": name}) in house.carrier.asked
    assert house.carrier.paths().count("place") == 1


async def test_news_in_between_do_not_keep_a_call_from_its_end(house: House, drain: Drain) -> None:
    call = await offered(house)
    await asyncio.gather(
        drain.end(), *(house.store.apply(call.call_id, noted(f"n{number}")) for number in range(5))
    )
    assert (await only_call(house)).end == SHUTDOWN
