"""The journal: nothing noted is lost, nothing is written twice, nobody waits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from service.calls.journal import Journal
from service.calls.metrics import Metrics
from service.calls.redis import open_redis
from service.calls.store import CallStore
from service.core.errors import StoreAway
from tests.calls.house import make_store
from tests.calls.samples import (
    StoppedClock,
    answered,
    attached,
    ended,
    inbound,
    noted,
    stopped,
)
from tests.redis_server import RedisServer


@asynccontextmanager
async def writing(journal: Journal) -> AsyncIterator[Journal]:
    task = asyncio.create_task(journal.run())
    try:
        yield journal
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_events_are_written_in_the_order_they_were_noted(store: CallStore) -> None:
    call = inbound()
    await store.create(call)
    async with writing(Journal(store, Metrics())) as journal:
        journal.note(call.call_id, attached())
        for number in range(20):
            journal.note(call.call_id, noted(f"n{number}", number=number))
        journal.note(call.call_id, stopped())
        journal.note(call.call_id, ended())
        await journal.flush()
    events = await store.entries(call.call_id)
    assert [event.type for event in events] == [
        "call.answered",
        "stream.started",
        *["turn.user"] * 20,
        "stream.stopped",
        "call.ended",
    ]
    assert [event.data["number"] for event in events if event.data.get("number")] == [*range(1, 20)]


async def test_events_are_kept_while_redis_is_away(
    redis_server: RedisServer, clock: StoppedClock
) -> None:
    client = open_redis(redis_server.url)
    store, metrics = make_store(client, clock), Metrics()
    call = inbound()
    await store.create(call)
    async with writing(Journal(store, metrics)) as journal:
        await asyncio.to_thread(redis_server.stop)
        journal.note(call.call_id, attached())
        journal.note(call.call_id, noted("while away"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(journal.flush(), 0.3)
        assert journal.away
        assert "callbridge_journal_backlog 2.0" in metrics.text().decode()
        with pytest.raises(StoreAway):
            await store.ping()
        await asyncio.to_thread(redis_server.start)
        async with asyncio.timeout(20):
            await journal.flush()
        assert not journal.away
    types = [event.type for event in await store.entries(call.call_id)]
    assert types == ["call.answered", "stream.started", "turn.user"]
    await store.close()


async def test_what_is_noted_later_is_not_waited_for(store: CallStore) -> None:
    call = inbound()
    await store.create(call)
    async with writing(Journal(store, Metrics())) as journal:
        busy = True

        async def talk() -> None:
            number = 0
            while busy:
                for _ in range(3):  # more than is written meanwhile
                    journal.note(call.call_id, noted(f"later {number}"))
                    number += 1
                await asyncio.sleep(0.001)

        journal.note(call.call_id, answered())
        talking = asyncio.create_task(talk())
        await asyncio.wait_for(journal.flush(), 5)
        assert "call.answered" in [event.type for event in await store.entries(call.call_id)]
        busy = False
        await talking
        await asyncio.wait_for(journal.flush(), 20)


async def test_a_note_for_nobody_does_not_hold_up_the_others(store: CallStore) -> None:
    call = inbound()
    await store.create(call)
    metrics = Metrics()
    async with writing(Journal(store, metrics)) as journal:
        journal.note("call_unknown", answered())
        journal.note(call.call_id, answered())
        await journal.flush()
    assert len(await store.entries(call.call_id)) == 1
    assert 'callbridge_journal_dropped_total{reason="call.unknown"} 1.0' in metrics.text().decode()


async def test_an_event_that_cannot_be_written_does_not_stop_the_writing(
    store: CallStore,
) -> None:
    call = inbound()
    await store.create(call)
    metrics = Metrics()
    async with writing(Journal(store, metrics)) as journal:
        journal.note(call.call_id, noted("strange", strange=object()))
        journal.note(call.call_id, answered())
        await asyncio.wait_for(journal.flush(), 5)
    assert [event.type for event in await store.entries(call.call_id)] == ["call.answered"]
    assert 'callbridge_journal_dropped_total{reason="unwritable"} 1.0' in metrics.text().decode()


async def test_a_full_outbox_drops_what_was_said_but_never_what_happened(
    redis: Redis, clock: StoppedClock
) -> None:
    store = make_store(redis, clock)
    call = inbound()
    await store.create(call)
    journal = Journal(store, Metrics(), kept=2)
    for number in range(5):
        journal.note(call.call_id, noted(f"n{number}"))
    journal.note(call.call_id, ended())
    async with writing(journal):
        await journal.flush()
    types = [event.type for event in await store.entries(call.call_id)]
    assert types == ["turn.user", "turn.user", "call.ended"]
