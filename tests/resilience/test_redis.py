"""Redis goes away under live calls: they go on, and what happened is written when it is back."""

import asyncio

import pytest

from service.twin.caller import HangUp, Press, Say, Silence, Step
from tests.resilience.instance import Instance
from tests.resilience.world import (
    CALLING,
    DIALLED,
    FRAME_BYTES,
    World,
    delays_ms,
    returned,
    until,
    voice,
)

LATE_MS = 1000


@pytest.mark.parametrize("how", ["stopped", "frozen"])
async def test_calls_do_not_notice_that_redis_is_away(here: World, how: str) -> None:
    stop, start = (
        (here.redis.stop, here.redis.start)
        if how == "stopped"
        else (here.redis.freeze, here.redis.thaw)
    )
    said = voice(6000)
    steps: list[Step] = [Silence(500), Press("1"), Say(said), Press("2"), Silence(500), HangUp()]
    calling = asyncio.create_task(here.twilio.call(DIALLED, CALLING, steps))
    [call] = await here.bridged()
    leaving = asyncio.create_task(here.telnyx.call(DIALLED, CALLING, [Silence(2500), HangUp()]))
    await here.bridged(count=2)
    url = f"{here.instances[0].url}/v1/calls/{call['call_id']}/events"
    async with here.http.stream("GET", url, headers={"accept": "text/event-stream"}) as events:
        await asyncio.to_thread(stop)
        await asyncio.gather(*(readiness(instance, 503) for instance in here.instances))
        left = await leaving  # its end is told while there is nowhere to write it
        await asyncio.to_thread(start)
        await asyncio.gather(*(readiness(instance, 200) for instance in here.instances))
        record = await calling
        followed = [line async for line in events.aiter_lines() if line.startswith("event:")]
    assert said in returned(record)
    assert len(delays := delays_ms(record)) == len(said) // FRAME_BYTES
    assert max(delays) < LATE_MS
    for ended in (record, left):
        end = await here.ended(ended)
        assert (end["outcome"], end["ended_by"]) == ("completed", "caller")
    story = await here.story(record)
    assert [f"event: {name}" for name in story] == followed
    assert story[-2:] == ["stream.stopped", "call.ended"]
    assert story.count("dtmf.received") == 2


async def readiness(instance: Instance, status: int) -> None:
    """Until /readyz says so; the interface allows it ten seconds."""

    async def said() -> bool:
        return await asyncio.to_thread(instance.readiness) == status

    await until(said, within_s=10)


async def test_a_redis_that_comes_back_empty_costs_the_record_and_not_the_call(here: World) -> None:
    said = voice(4000)
    steps: list[Step] = [Silence(500), Press("1"), Say(said), Press("2"), Silence(500), HangUp()]
    calling = asyncio.create_task(here.twilio.call(DIALLED, CALLING, steps))
    await here.bridged()
    await asyncio.to_thread(here.redis.start_afresh)
    record = await calling
    assert said in returned(record)
    assert record.streams[-1].ended == "hangup"  # by the person, and not by us
    told = here.instances[0].logged("event not written")
    assert {line["code"] for line in told} == {"call.unknown"}
    # The next call is as if nothing had been.
    record = await here.twilio.call(DIALLED, CALLING, [Silence(500), HangUp()])
    end = await here.ended(record)
    assert (end["outcome"], end["ended_by"]) == ("completed", "caller")
    for instance in here.instances:
        assert "Traceback" not in instance.output()
