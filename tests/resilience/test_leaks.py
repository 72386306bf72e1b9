"""After many calls an instance is as it was before them."""

import asyncio

import psutil

from service.calls.redis import CONNECTIONS
from service.twin.caller import HangUp, Press, Silence, Step
from tests.resilience.world import CALLING, DIALLED, World, keys, until, until_true

AT_ONCE = 20
WAVES = 5
GROWTH_BYTES = 4_000_000
"""For a hundred calls: what an allocator keeps, and no more than 40 kB a call."""


async def many_calls(here: World) -> None:
    for wave in range(WAVES):
        twin = (here.twilio, here.telnyx)[wave % 2]
        steps: list[Step] = [Silence(200), Press("1"), Silence(200), HangUp()]
        calls = [twin.call(DIALLED, CALLING, steps) for _ in range(AT_ONCE)]
        for record in await asyncio.gather(*calls):
            assert record.streams
            assert record.warnings == []
        twin.records.clear()
        twin.calls.clear()


async def test_two_hundred_calls_leave_nothing_but_their_records(here: World) -> None:
    instance = here.instances[0]
    process = psutil.Process(instance.pid)
    held = []
    for _ in range(2):
        await many_calls(here)
        await until(here.all_over)
        await until_true(lambda: not dialled_in(process, instance.port))
        held.append((process.memory_info().rss, descriptors(process, here), process.num_threads()))
    (rss, fds, threads), (rss_after, fds_after, threads_after) = held
    assert rss_after - rss < GROWTH_BYTES
    assert fds_after <= fds + 5
    assert threads_after <= threads + 1
    calls = 2 * WAVES * AT_ONCE
    found = keys(here.redis, "*")
    assert len(found) == 4 * calls + 2, found  # record, events, what was seen, the carrier's name
    assert "Traceback" not in instance.output()


def dialled_in(process: psutil.Process, port: int) -> bool:
    """Whether carriers still keep connections open for their next webhook."""
    return any(c.laddr.port == port and c.raddr for c in process.net_connections("tcp"))


def descriptors(process: psutil.Process, here: World) -> int:
    """Open descriptors without the pool to Redis, which grows to the most ever used at once."""
    ports = [c.raddr.port for c in process.net_connections("tcp") if c.raddr]
    pooled = ports.count(here.redis.port)
    assert pooled <= CONNECTIONS
    return process.num_fds() - pooled
