"""Redis goes away under live calls: they go on, and what happened is written when it is back."""

import asyncio
import time

import pytest

from service.twin.caller import HangUp, Press, Say, Silence
from tests.redis_server import RedisServer
from tests.resilience.instance import Instance
from tests.resilience.world import (
    CALLING,
    DIALLED,
    commands,
    delays_ms,
    keys,
    returned,
    until,
    until_true,
    voice,
    world,
)

LATE_MS = 1000


@pytest.mark.parametrize("how", ["stopped", "frozen"])
async def test_calls_do_not_notice_that_redis_is_away(
    redis_server: RedisServer, how: str
) -> None:
    said = voice(8000)
    async with world(redis_server, {}, {}) as here:
        first, second = here.instances
        steps = [Silence(500), Press("1"), Say(said), Press("2"), Silence(500), HangUp()]
        calling = asyncio.create_task(here.twilio.call(DIALLED, CALLING, steps))
        [call] = await here.bridged()
        leaving = asyncio.create_task(here.telnyx.call(DIALLED, CALLING, [Silence(3500), HangUp()]))
        await here.bridged(count=2)
        url = f"{first.url}/v1/calls/{call['call_id']}/events"
        async with here.http.stream("GET", url, headers={"accept": "text/event-stream"}) as events:
            await asyncio.to_thread(redis_server.stop if how == "stopped" else redis_server.freeze)
            went_s = time.monotonic()
            for instance in here.instances:
                while await asyncio.to_thread(instance.readiness) != 503:
                    assert time.monotonic() - went_s < 10
            gone_s=time.monotonic() - went_s
            left = await leaving
            await asyncio.to_thread(redis_server.start if how == "stopped" else redis_server.thaw)
            back_s = time.monotonic()
            for instance in here.instances:
                while await asyncio.to_thread(instance.readiness) != 200:
                    assert time.monotonic() - back_s < 10
            print("READY", gone_s, time.monotonic() - back_s)
            record = await calling
            followed = [line async for line in events.aiter_lines() if line.startswith("event:")]
        assert said in returned(record)
        delays = delays_ms(record)
        print(sorted(delays)[-10:])
        assert len(delays) == len(said) // 160
        assert max(delays) < LATE_MS
        end = await here.ended(left)
        assert (end["outcome"], end["ended_by"]) == ("completed", "caller")
        assert (await here.ended(record))["outcome"] == "completed"
        story = await here.story(record)
        print(story)
        assert [f"event: {name}" for name in story] == followed
        assert story[-1] == "call.ended"
        assert story.count("dtmf.received") == 2
        print(first.output()[-1500:])


async def test_a_redis_that_comes_back_empty_costs_the_record_and_not_the_calls(
    redis_server: RedisServer,
) -> None:
    said = voice(5000)
    async with world(redis_server, {}) as here:
        [instance] = here.instances
        steps = [Silence(500), Press("1"), Say(said), Press("2"), Silence(500), HangUp()]
        calling = asyncio.create_task(here.twilio.call(DIALLED, CALLING, steps))
        await here.bridged()
        await asyncio.to_thread(redis_server.start_afresh)
        record = await calling
        assert said in returned(record)
        print(delays_ms(record)[-10:])
        assert [m for m in record.remarks][-1].kind == "hangs_up"
        # The next call is as if nothing had been.
        record = await here.twilio.call(DIALLED, CALLING, [Silence(500), HangUp()])
        end = await here.ended(record)
        assert (end["outcome"], end["ended_by"]) == ("completed", "caller")
        print(instance.output())
        assert "Traceback" not in instance.output()
