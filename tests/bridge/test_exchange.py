"""The live calls of a process: found while they live, told what reaches them, drained."""

import asyncio
from pathlib import Path

from service.core.commands import StartTurn
from service.core.events import SayRequested, StreamStopped, TakenOver
from tests.bridge.scene import on_virtual_time, scene


@on_virtual_time
async def test_a_call_is_found_while_it_lives_and_forgotten_when_its_end_is_written(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as here:
        bridge, carrier = await here.live()
        call_id = bridge.call.call_id
        assert here.exchange.find(call_id) is bridge
        assert here.exchange.live_ids() == here.exchange.held_ids() == [call_id]
        here.engine.last_words_after_s = 0.5
        carrier.tell(StreamStopped("stop"))
        await asyncio.sleep(0.1)
        assert here.exchange.live_ids() == []
        assert here.exchange.held_ids() == [call_id]  # its lease is still ours to renew
        await here.end(bridge)
        assert here.exchange.find(call_id) is None


@on_virtual_time
async def test_what_is_asked_from_outside_reaches_the_call_and_no_other(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        bridge, _ = await here.live()
        here.exchange.deliver(bridge.call.call_id, SayRequested("One moment."))
        here.exchange.deliver(
            (await here.announced(provider_call_id="CA2")).call_id,
            SayRequested("Nobody hears this."),
        )
        assert here.engine.told == [StartTurn("One moment.")]


@on_virtual_time
async def test_a_call_that_goes_on_elsewhere_is_let_go_without_a_word(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        bridge, carrier = await here.live()
        here.exchange.deliver(bridge.call.call_id, TakenOver())
        await asyncio.sleep(1)
        assert (here.exchange.held_ids(), here.api.paths()) == ([], [])
        assert carrier.closed_with == 1000


@on_virtual_time
async def test_a_drain_waits_for_live_calls_and_no_longer_than_they_last(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        bridge, carrier = await here.live()
        draining = asyncio.create_task(here.exchange.drain(60))
        await asyncio.sleep(5)
        assert not bridge.is_over
        carrier.tell(StreamStopped("stop"))
        await draining
        assert here.clock.now_ms() < 10_000
        assert (await here.end(bridge))["ended_by"] == "caller"


@on_virtual_time
async def test_calls_that_outlast_the_drain_are_hung_up(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        bridge, _ = await here.live()
        await here.exchange.drain(3)
        end = await here.end(bridge)
        assert (end["outcome"], end["cause"]) == ("our_fault", "shutdown")
        assert here.api.paths() == ["hang_up"]


@on_virtual_time
async def test_a_drain_of_an_empty_house_is_over_at_once(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        await here.exchange.drain(60)
        assert here.clock.now_ms() < 100
