"""Calls that nobody speaks for any more: found, ended truthfully, hung up, by one instance."""

import asyncio

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from service.calls.sweep import Leases
from service.core.calls import (
    Call,
    CallEnding,
    CallId,
    CallPlaced,
    CallState,
    MediaLost,
    Outcome,
)
from tests.calls.house import LIMITS, House
from tests.calls.samples import (
    StoppedClock,
    answered,
    at,
    attached,
    end,
    ended,
    inbound,
    outbound,
    stopped,
    transferred,
)


async def swept(house: House, call: Call) -> Call:
    await house.sweep.sweep(house.clock.utc())
    after = await house.store.get(call.call_id)
    assert after is not None
    return after


async def test_an_announced_call_without_a_socket_was_not_answered(
    house: House, clock: StoppedClock
) -> None:
    call = inbound()
    await house.store.create(call)
    clock.pass_ms(19_999)
    assert (await swept(house, call)).state is CallState.RINGING
    clock.pass_ms(2)
    assert (await swept(house, call)).end == end(Outcome.NO_ANSWER, "no_stream", "caller")
    assert house.carrier.paths() == ["hang_up"]


async def test_a_call_that_rings_for_ever_was_not_answered(
    house: House, clock: StoppedClock
) -> None:
    call = outbound(ring_timeout_s=30)
    await house.store.create(call)
    placed = CallPlaced(event_id="placed", occurred_at=at(1), provider_call_id="CA1")
    await house.store.apply(call.call_id, placed)
    clock.pass_ms(39_000)
    assert (await swept(house, call)).state is CallState.QUEUED
    clock.pass_ms(2000)
    assert (await swept(house, call)).end == end(Outcome.NO_ANSWER, "ring_timeout", "limit")


async def test_a_call_whose_instance_was_killed_ends_within_a_minute_and_once(
    house: House, neighbour: House, clock: StoppedClock
) -> None:
    call = inbound()
    await house.store.create(call)
    await house.store.apply(call.call_id, attached(owner="killed"))
    seconds = 0
    while (await swept(house, call)).state is not CallState.ENDED:
        seconds += 1
        clock.pass_ms(1000)
        assert seconds < 60
        await neighbour.sweep.sweep(clock.utc())
    after = await house.store.get(call.call_id)
    assert after is not None
    assert after.end == end(Outcome.OUR_FAULT, "instance_lost", "bridge")
    assert await house.events(call.call_id) == [
        "call.answered",
        "stream.started",
        "stream.stopped",
        "call.ended",
    ]
    assert house.carrier.paths() == ["hang_up"]


async def test_a_call_that_another_instance_took_over_lives(
    house: House, clock: StoppedClock
) -> None:
    call = inbound()
    await house.store.create(call)
    await house.store.apply(call.call_id, attached(owner="killed"))
    clock.pass_ms(15_001)
    (overdue,) = await house.store.leases.overdue(clock.utc(), claim_ms=1000)
    await house.store.apply(call.call_id, attached(16, "again", owner="B"))
    assert overdue.version == 1
    clock.pass_ms(1001)
    assert (await swept(house, call)).state is CallState.BRIDGED
    assert house.carrier.paths() == []


async def test_a_lost_stream_that_does_not_come_back_failed(
    house: House, clock: StoppedClock
) -> None:
    call = inbound()
    await house.store.create(call)
    await house.store.apply(call.call_id, attached())
    await house.store.apply(call.call_id, MediaLost(event_id="lost", occurred_at=at(3), owner="A"))
    clock.pass_ms(5001)
    assert (await swept(house, call)).end == end(Outcome.CARRIER_FAILED, "stream_lost", "carrier")
    assert house.carrier.paths() == ["hang_up"]


async def test_a_stopped_stream_without_the_carriers_word_was_completed(
    house: House, clock: StoppedClock
) -> None:
    call = inbound()
    await house.store.create(call)
    await house.store.apply(call.call_id, attached())
    await house.store.apply(call.call_id, stopped())
    clock.pass_ms(10_001)
    assert (await swept(house, call)).end == end(Outcome.COMPLETED, "stream_stopped", "caller")


async def test_an_end_that_was_decided_stands_when_the_carrier_says_nothing(
    house: House, clock: StoppedClock
) -> None:
    call = inbound()
    await house.store.create(call)
    decided = end(Outcome.CANCELED, "hangup", "api")
    await house.store.apply(
        call.call_id, CallEnding(event_id="ending", occurred_at=at(1), end=decided)
    )
    clock.pass_ms(10_001)
    assert (await swept(house, call)).end == decided


async def test_a_carrier_that_refuses_to_hang_up_does_not_keep_the_call_alive(
    house: House, clock: StoppedClock
) -> None:
    house.carrier.answers["hang_up"] = [422, 422]
    one, other = inbound("CA1"), inbound("CA2")
    for call in (one, other):
        await house.store.create(call)
    clock.pass_ms(20_001)
    assert (await swept(house, one)).state is CallState.ENDED
    assert (await swept(house, other)).state is CallState.ENDED


async def test_a_call_that_cannot_be_read_does_not_keep_the_others_alive(
    house: House, redis: Redis, clock: StoppedClock
) -> None:
    broken, call = inbound("CA1"), inbound("CA2")
    for one in (broken, call):
        await house.store.create(one)
    await redis.hset(f"callbridge:call:{broken.call_id}", "state", '"nonsense"')
    clock.pass_ms(20_001)
    assert (await swept(house, call)).state is CallState.ENDED


async def test_an_answered_call_may_take_its_time_to_open_a_socket(
    house: House, clock: StoppedClock
) -> None:
    call = replace(outbound(ring_timeout_s=10), provider_call_id="CA1")
    await house.store.create(call)
    clock.pass_ms(19_000)
    await house.store.apply(call.call_id, answered(19))
    clock.pass_ms(19_000)
    assert (await swept(house, call)).state is CallState.ANSWERED
    clock.pass_ms(1001)
    assert (await swept(house, call)).end == end(Outcome.NO_ANSWER, "no_stream", "caller")


async def test_leases_are_renewed_and_calls_that_ended_elsewhere_are_told(
    house: House, clock: StoppedClock
) -> None:
    call, over, forgotten = inbound("CA1"), inbound("CA2"), inbound("CA3")
    for one in (call, over):
        await house.store.create(one)
        await house.store.apply(one.call_id, attached())
    await house.store.apply(over.call_id, ended())
    await house.store.apply(over.call_id, stopped())
    clock.pass_ms(14_000)
    gone: list[CallId] = []
    told = asyncio.Event()

    def ended_elsewhere(call_id: CallId) -> None:
        gone.append(call_id)
        told.set()

    leases = Leases(
        house.store,
        clock=clock,
        lease_ms=LIMITS.lease_ms,
        held_ids=lambda: [call.call_id, over.call_id, forgotten.call_id],
        ended_elsewhere=ended_elsewhere,
    )
    task = asyncio.create_task(leases.run())
    await asyncio.wait_for(told.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert gone == [over.call_id]
    clock.pass_ms(14_000)
    assert (await swept(house, call)).state is CallState.BRIDGED


@pytest.mark.parametrize(("max_duration_s", "lasts_s"), [(600, 602), (None, 14_400 + 7)])
async def test_a_call_handed_over_lives_without_a_bridge_for_as_long_as_it_may(
    house: House, clock: StoppedClock, max_duration_s: int | None, lasts_s: int
) -> None:
    call = inbound(max_duration_s=max_duration_s)
    await house.store.create(call)
    await house.store.apply(call.call_id, attached(2))
    clock.pass_ms(7000)
    await house.store.apply(call.call_id, transferred(7))
    clock.pass_ms(lasts_s * 1000 - 7000 - 1)
    assert (await swept(house, call)).state is CallState.BRIDGED
    clock.pass_ms(2)
    assert (await swept(house, call)).end == end(Outcome.COMPLETED, "max_duration", "limit")
    assert house.carrier.paths() == ["hang_up"]


async def test_a_lease_that_was_renewed_too_late_does_not_end_a_call_that_was_handed_over(
    house: House, clock: StoppedClock
) -> None:
    call = inbound(max_duration_s=600)
    await house.store.create(call)
    await house.store.apply(call.call_id, attached(2))
    await house.store.apply(call.call_id, transferred(8))
    await house.store.leases.renew([call.call_id], clock.utc())  # by who held it until then
    for _ in range(59):
        clock.pass_ms(10_000)
        assert (await swept(house, call)).state is CallState.BRIDGED
    assert house.carrier.paths() == []
    clock.pass_ms(40_000)
    assert (await swept(house, call)).end == end(Outcome.COMPLETED, "max_duration", "limit")
    assert house.carrier.paths() == ["hang_up"]
