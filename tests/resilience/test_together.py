"""Two instances and one call: whichever of them a request, a webhook or a socket comes to."""

import asyncio

from service.twin.behaviour import Delivery
from service.twin.caller import HangUp, Press, Redial, Say, Silence, Step
from tests.redis_server import RedisServer
from tests.resilience.world import (
    CALLING,
    DESK,
    DIALLED,
    GREETING,
    World,
    commands,
    returned,
    until,
    voice,
    world,
)


async def test_a_live_call_is_steered_through_any_instance(here: World) -> None:
    second = here.instances[1]
    calling = asyncio.create_task(here.telnyx.call(DESK, CALLING, [Silence(60_000)]))
    [call] = await here.bridged(at=second)
    path = f"/v1/calls/{call['call_id']}"
    await until(lambda: here.turns(call["call_id"], at=second))
    assert (await here.tell(f"{path}/say", {"text": "One moment."}, at=second)).status_code == 202
    assert (await here.tell(f"{path}/dtmf", {"digits": "12#"}, at=second)).status_code == 202

    async def said() -> bool:
        return [t["text"] for t in await here.turns(call["call_id"], at=second)] == [
            GREETING,
            "One moment.",
        ]

    await until(said)
    assert (await here.tell(f"{path}/hangup", at=second)).status_code == 202
    record = await calling
    assert record.digits_sent == ["12#"]
    end = await here.ended(record, at=second)
    assert (end["outcome"], end["ended_by"]) == ("completed", "api")
    assert record.warnings == []


async def test_a_second_socket_at_another_instance_takes_the_call_over(here: World) -> None:
    said = voice(1500)
    first, second = here.instances
    steps: list[Step] = [Silence(1500), Redial(), Silence(2500), Say(said), Silence(500), HangUp()]
    calling = asyncio.create_task(here.telnyx.call(DIALLED, CALLING, steps))
    await here.bridged()
    here.route(webhooks=[first, second], sockets=second)
    record = await calling
    assert [stream.ended for stream in record.streams] == ["redial", "hangup"]
    assert record.streams[0].close_code == 1000
    assert said in returned(record)
    end = await here.ended(record)
    assert (end["outcome"], end["ended_by"]) == ("completed", "caller")
    story = await here.story(record)
    assert story.count("stream.started") == story.count("stream.stopped") == 1
    assert story[-1] == "call.ended"
    assert [c["path"].rpartition("/")[2] for c in commands(record)] == ["answer"]
    for instance in here.instances:
        assert "Traceback" not in instance.output()


async def test_webhooks_three_times_and_shuffled_over_two_instances_are_one_story(
    here: World,
) -> None:
    first, second = here.instances
    here.route(webhooks=[first, second, first], sockets=second)
    calls = []
    for twin in (here.twilio, here.telnyx):
        for delivery in (Delivery(copies=3), Delivery(copies=3, delay_ms=(0, 1500))):
            twin.delivery = delivery
            steps: list[Step] = [Silence(1000), Press("5"), Silence(1500), HangUp()]
            calls.append(asyncio.create_task(twin.call(DIALLED, CALLING, steps)))
            await asyncio.sleep(0)
    for record in await asyncio.gather(*calls):
        assert record.warnings == []
        end = await here.ended(record)
        assert (end["outcome"], end["ended_by"]) == ("completed", "caller")
        story = await here.story(record)
        for once in ("call.ringing", "call.answered", "stream.started", "dtmf.received"):
            assert story.count(once) == 1, story
        assert story[-2:] == ["stream.stopped", "call.ended"]


async def test_a_burst_fills_the_house_and_no_more(redis_server: RedisServer) -> None:
    async with world(redis_server, {"CALLBRIDGE_MAX_CALLS": "4"}) as here:
        steps: list[Step] = [Silence(2500), HangUp()]
        calls = [
            asyncio.create_task(twin.call(DIALLED, CALLING, steps))
            for _ in range(8)
            for twin in (here.twilio, here.telnyx)
        ]
        records = await asyncio.gather(*calls)
        assert len([record for record in records if record.streams]) == 4
        assert {r.status for r in records if not r.streams} <= {"busy", "user_busy"}
        await until(here.all_over)  # and every place is free again
        again = await asyncio.gather(
            *(here.twilio.call(DIALLED, CALLING, [Silence(300), HangUp()]) for _ in range(4))
        )
        assert all(record.streams for record in again)
