"""An instance is told to stop: no new calls, time for the live ones, then a proper end."""

import asyncio
import json
import signal
import socket
import time

import redis

from service.twin.caller import HangUp, Say, Silence, Step
from tests.redis_server import RedisServer
from tests.resilience.instance import AGENTS, Instance, free_port
from tests.resilience.world import (
    CALLING,
    DIALLED,
    World,
    commands,
    keys,
    returned,
    until_true,
    voice,
    world,
)


async def test_told_to_stop_it_lets_live_calls_end_and_takes_no_others(
    redis_server: RedisServer,
) -> None:
    said = voice(3000)
    async with world(redis_server, {"CALLBRIDGE_DRAIN_SECONDS": "20"}, {}) as here:
        first, second = here.instances
        steps: list[Step] = [Silence(300), Say(said), Silence(300), HangUp()]
        calling = asyncio.create_task(here.twilio.call(DIALLED, CALLING, steps))
        await here.bridged()
        first.tell(signal.SIGTERM)
        await until_true(lambda: first.readiness() == 503)
        busy = await here.twilio.call(DIALLED, CALLING, [Silence(1000)])
        assert (busy.status, busy.streams) == ("busy", [])
        rejected = await here.telnyx.call(DIALLED, CALLING, [Silence(1000)], patience_ms=5000)
        assert rejected.status == "user_busy"
        order = {"provider": "twilio", "to": CALLING, "from": DIALLED, "agent": "default"}
        refused = await here.tell("/v1/calls", order)
        assert (refused.status_code, refused.json()["code"]) == (503, "busy.draining")
        record = await calling
        assert said in returned(record)
        assert await asyncio.to_thread(first.wait) == 0
        end = await here.ended(record, at=second)
        assert (end["outcome"], end["ended_by"]) == ("completed", "caller")
        assert (await here.story(record, at=second))[-1] == "call.ended"


async def test_calls_that_outlast_the_drain_are_hung_up_and_written_down(
    redis_server: RedisServer,
) -> None:
    async with world(redis_server, {"CALLBRIDGE_DRAIN_SECONDS": "1"}, {}) as here:
        first, second = here.instances
        calls = [
            asyncio.create_task(twin.call(DIALLED, CALLING, [Silence(60_000)]))
            for twin in (here.twilio, here.telnyx)
        ]
        await here.bridged(count=2)
        first.tell(signal.SIGTERM)
        assert await asyncio.to_thread(first.wait) == 0
        here.route(webhooks=[second], sockets=second)
        for record in await asyncio.gather(*calls):
            end = await here.ended(record, at=second)
            assert (end["cause"], end["ended_by"]) == ("shutdown", "bridge")
            assert (await here.story(record, at=second))[-1] == "call.ended"
            assert len([c for c in commands(record) if "answer" not in c["path"]]) == 1
        assert "Traceback" not in first.output()


async def test_a_second_interrupt_hangs_up_at_once(redis_server: RedisServer) -> None:
    async with world(redis_server, {"CALLBRIDGE_DRAIN_SECONDS": "60"}) as here:
        [instance] = here.instances
        calling = asyncio.create_task(here.telnyx.call(DIALLED, CALLING, [Silence(60_000)]))
        await here.bridged()
        voices = instance.children()
        instance.tell(signal.SIGINT)
        await until_true(lambda: instance.readiness() == 503)
        instance.tell(signal.SIGINT)
        began_s = time.monotonic()
        assert await asyncio.to_thread(instance.wait) == 0
        assert time.monotonic() - began_s < 10
        assert "Traceback" not in instance.output()
        record = await calling
        assert commands(record)[-1]["path"].endswith("/actions/hangup")
        await until_true(lambda: not any(child.is_running() for child in voices))


async def test_live_calls_of_all_workers_end_in_their_own_time_when_told_to_stop(
    redis_server: RedisServer,
) -> None:
    # The lease outlasts the time for which a worker is held still here.
    settings = {"CALLBRIDGE_DRAIN_SECONDS": "20", "CALLBRIDGE_LEASE_MS": "15000"}
    async with world(redis_server, settings, flags=("--workers", "2")) as here:
        [crew] = here.instances
        workers = crew.children()
        calls, sounds = [], [voice(4000, seed) for seed in (1, 2)]
        for said, other in zip(sounds, reversed(workers), strict=True):
            other.suspend()  # so that the call is this worker's
            steps: list[Step] = [Silence(300), Say(said), Silence(300), HangUp()]
            calls.append(asyncio.create_task(here.twilio.call(DIALLED, CALLING, steps)))
            await until_true(lambda: talking(here) == len(calls))
            other.resume()
        crew.tell(signal.SIGTERM)
        await until_true(lambda: len(crew.logged("Draining")) == len(workers))
        assert crew.readiness() == 503
        busy = await here.twilio.call(DIALLED, CALLING, [Silence(1000)])
        assert (busy.status, busy.streams) == ("busy", [])
        for said, record in zip(sounds, await asyncio.gather(*calls), strict=True):
            assert said in returned(record)
            assert record.status == "completed"
        assert await asyncio.to_thread(crew.wait) == 0
        assert "Traceback" not in crew.output()
        assert ended_by(redis_server) == ["caller", "caller"]
        assert keys(redis_server, "calls:live") == []


def talking(here: World) -> int:
    """How many calls have heard something."""
    return sum(bool(record.messages("media")) for record in here.twilio.records)


def ended_by(redis_server: RedisServer) -> list[str]:
    """Who ended each call, when no instance is left to ask."""
    with redis.Redis(port=redis_server.port, decode_responses=True) as client:
        calls = [key for key in keys(redis_server, "call:*") if key.count(":") == 2]
        return [json.loads(str(client.hget(key, "end")))["ended_by"] for key in calls]


async def test_nobody_who_waits_is_lost_with_a_worker_that_dies_and_it_is_replaced(
    redis_server: RedisServer,
) -> None:
    async with world(redis_server, {}, flags=("--workers", "2")) as here:
        [crew] = here.instances
        stuck, _ = crew.children()
        stuck.suspend()
        waiting = [socket.create_connection(("127.0.0.1", crew.port)) for _ in range(16)]
        for connection in waiting:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        stuck.kill()
        for connection in waiting:
            connection.settimeout(10)
            assert (await asyncio.to_thread(connection.recv, 15)) == b"HTTP/1.1 200 OK"
            connection.close()
        await until_true(lambda: stuck not in (crew_now := crew.children()) and len(crew_now) == 2)


async def test_workers_whose_parent_is_killed_stop_too(redis_server: RedisServer) -> None:
    async with world(redis_server, {}, flags=("--workers", "2")) as here:
        [crew] = here.instances
        family = crew.children(recursive=True)
        crew.kill()
        await until_true(lambda: not any(process.is_running() for process in family))


async def test_workers_that_cannot_start_are_not_tried_for_ever(
    redis_server: RedisServer,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = {"REDIS_URL": redis_server.url, "CALLBRIDGE_AGENTS": str(AGENTS)}
        crew = Instance(settings, "--workers", "2", port=taken.getsockname()[1])
        try:
            assert await asyncio.to_thread(crew.wait) == 1
            assert "cannot listen" in crew.output()
        finally:
            crew.remove()


async def test_without_redis_it_says_so_and_does_not_start(redis_server: RedisServer) -> None:
    settings = {"REDIS_URL": f"redis://127.0.0.1:{free_port()}", "CALLBRIDGE_AGENTS": str(AGENTS)}
    gone = Instance(settings)
    redis_server.freeze()
    silent = Instance(settings | {"REDIS_URL": redis_server.url})
    try:
        for instance in (gone, silent):
            assert await asyncio.to_thread(instance.wait) == 1
            assert "Redis does not answer" in instance.output()
            assert "REDIS_URL" in instance.output()
            assert "Traceback" not in instance.output()
    finally:
        redis_server.thaw()
        for instance in (gone, silent):
            instance.remove()
