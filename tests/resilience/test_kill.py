"""An instance dies with calls on it: another one carries them on, or ends them."""

import asyncio

from service.twin.caller import HangUp, Say, Silence, WaitForAgent
from tests.redis_server import RedisServer
from tests.resilience.world import CALLING, DIALLED, World, commands, until, until_true, voice, world

VOICE = voice(1000)
WHOLE = ["call.ringing", "call.answered", "stream.started", "turn.agent"]
WHOLE += ["stream.stopped", "call.ended"]


async def bridged(here: World) -> None:
    async def live() -> bool:
        found = (await here.ask("/v1/calls?state=bridged", at=here.instances[-1]))["calls"]
        return len(found) == 1

    await until(live)


async def test_a_call_whose_instance_is_killed_goes_on_at_another(
    redis_server: RedisServer,
) -> None:
    async with world(redis_server, {}, {}) as here:
        first, second = here.instances
        steps = [Silence(3000), Say(VOICE), Silence(500), HangUp()]
        talking = asyncio.create_task(here.twilio.call(DIALLED, CALLING, steps))
        await bridged(here)
        here.route(webhooks=[second], sockets=second)
        first.kill()
        record = await talking
        assert len(record.streams) == 2
        assert VOICE in record.streams[1].heard_pcmu()
        assert record.warnings == []
        await until(lambda: ended(here, record))
        story = await here.story(record, at=second)
        assert story.count("stream.started") == story.count("stream.stopped") == 1
        assert story[-1] == "call.ended"
        call = await here.call_of(record, at=second)
        assert (call["end"]["outcome"], call["end"]["ended_by"]) == ("completed", "caller")


async def ended(here, record) -> bool:
    return await here.state_of(record, at=here.instances[-1]) == "ended"
