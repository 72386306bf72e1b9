"""An instance dies with calls on it: another one carries them on, or ends them."""

import asyncio
import signal

from service.twin.caller import HangUp, Say, Silence, Step, WaitForAgent
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
    until_true,
    voice,
    world,
)

VOICE = voice(1000)


async def test_calls_of_a_killed_instance_go_on_at_another(redis_server: RedisServer) -> None:
    async with world(redis_server, {}, {}) as here:
        first, second = here.instances
        talker = asyncio.create_task(
            here.twilio.call(DIALLED, CALLING, [Silence(8000), Say(VOICE), Silence(500), HangUp()])
        )
        patient = asyncio.create_task(
            here.twilio.call(DESK, CALLING, [WaitForAgent(), Silence(6000), HangUp()])
        )
        calls = await here.bridged(at=second, count=2)
        [greeted] = [call for call in calls if call["agent"] == "desk"]
        await until(lambda: here.turns(greeted["call_id"], at=second))
        here.route(webhooks=[second], sockets=second)
        first.kill()
        for record in (await talker, await patient):
            assert len(record.streams) == 2
            assert record.warnings == []
            end = await here.ended(record, at=second)
            assert (end["outcome"], end["ended_by"]) == ("completed", "caller")
            story = await here.story(record, at=second)
            assert story.count("stream.started") == story.count("stream.stopped") == 1
            assert story[-1] == "call.ended"
        assert VOICE in returned(await talker)
        [turn] = await here.turns(greeted["call_id"], at=second)  # it does not greet again
        assert turn["text"] == turn["heard_text"] == GREETING


async def test_a_call_that_nobody_takes_over_is_ended_once_and_hung_up(
    redis_server: RedisServer,
) -> None:
    async with world(redis_server, {}, {}, {}) as here:
        first, second, third = here.instances
        calling = asyncio.create_task(here.telnyx.call(DIALLED, CALLING, [Silence(60_000)]))
        await here.bridged(at=second)
        first.kill()
        # Its own webhooks reach nobody, so that only the lease can tell.
        record = await calling
        end = await here.ended(record, at=second)
        assert (end["outcome"], end["cause"], end["ended_by"]) == (
            "our_fault",
            "instance_lost",
            "bridge",
        )
        hangups = [c for c in commands(record) if c["path"].endswith("/actions/hangup")]
        assert len(hangups) == 1
        swept = second.logged("call swept") + third.logged("call swept")
        assert len(swept) == 1
        story = await here.story(record, at=second)
        assert story[-2:] == ["stream.stopped", "call.ended"]
        assert story.count("call.ended") == 1


async def test_a_single_instance_that_comes_back_ends_the_calls_it_died_with(
    redis_server: RedisServer,
) -> None:
    async with world(redis_server, {}) as here:
        [instance] = here.instances
        calling = asyncio.create_task(here.telnyx.call(DIALLED, CALLING, [Silence(60_000)]))
        await here.bridged()
        voices = instance.children()
        assert voices
        instance.kill()
        await until_true(lambda: not any(child.is_running() for child in voices))
        await asyncio.to_thread(instance.restart)
        record = await calling
        end = await here.ended(record)
        assert (end["outcome"], end["cause"]) == ("our_fault", "instance_lost")
        await until(here.all_over)


async def test_an_instance_that_stood_still_lets_go_of_what_others_ended(here: World) -> None:
    """A machine that was suspended: its calls were ended elsewhere while it slept."""
    first, second = here.instances
    calling = asyncio.create_task(here.telnyx.call(DIALLED, CALLING, [Silence(60_000)]))
    await here.bridged(at=second)
    here.route(webhooks=[second], sockets=second)
    first.tell(signal.SIGSTOP)
    record = await calling
    end = await here.ended(record, at=second)
    assert end["cause"] == "instance_lost"
    first.tell(signal.SIGCONT)

    await until(here.all_over)
    assert first.readiness() == 200
    assert (await here.story(record, at=second)).count("call.ended") == 1


async def test_an_instance_that_stood_still_alone_keeps_its_calls(
    redis_server: RedisServer,
) -> None:
    said = voice(1000)
    async with world(redis_server, {}) as here:
        [instance] = here.instances
        steps: list[Step] = [Silence(3500), Say(said), Silence(3500), HangUp()]
        calling = asyncio.create_task(here.twilio.call(DIALLED, CALLING, steps))
        await here.bridged()
        instance.tell(signal.SIGSTOP)
        await asyncio.wait({calling}, timeout=2.5)  # more than two leases
        instance.tell(signal.SIGCONT)
        record = await calling
        end = await here.ended(record)
        assert (end["outcome"], end["ended_by"]) == ("completed", "caller")
        assert said in returned(record)
