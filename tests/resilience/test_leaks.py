"""After many calls an instance is as it was before them."""

import asyncio

import psutil

from service.twin.caller import HangUp, Press, Silence, Step
from tests.resilience.world import CALLING, DIALLED, World, keys, until

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
        held.append((process.memory_info().rss, process.num_fds(), process.num_threads()))
    (rss, fds, threads), (rss_after, fds_after, threads_after) = held
    assert rss_after - rss < GROWTH_BYTES
    assert fds_after <= fds + 5  # connections to Redis and the carriers are kept and used again
    assert threads_after <= threads + 1
    calls = 2 * WAVES * AT_ONCE
    found = keys(here.redis, "*")
    assert len(found) == 4 * calls + 2, found  # record, events, what was seen, the carrier's name
    assert "Traceback" not in instance.output()
