"""The store, on a real Redis and on the embedded one."""

import asyncio
import itertools
import random

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from service.calls.records import opening, public
from service.calls.redis import open_redis
from service.calls.requests import Remembered
from service.calls.store import CallStore
from service.core.calls import CallEvent, CallPlaced, CallState, MediaLost, Outcome
from service.core.errors import StaleCall, StoreAway, UnknownCall
from tests.calls.house import make_store
from tests.calls.lossy_redis import lossy_way
from tests.calls.samples import (
    StoppedClock,
    answered,
    at,
    attached,
    end,
    ended,
    inbound,
    noted,
    outbound,
    stopped,
)
from tests.redis_server import RedisServer


async def test_a_call_comes_back_as_it_was_kept(store: CallStore) -> None:
    call = inbound(variables={"name": "Ana"}, max_duration_s=60, record=True)
    assert (await store.create(call, opening(call))).fresh
    assert await store.get(call.call_id) == call
    assert await store.find("acme", "CA1") == call
    assert await store.find("other", "CA1") is None
    assert await store.get("call_unknown") is None


async def test_an_ended_call_comes_back_with_its_end(store: CallStore) -> None:
    call = inbound()
    await store.create(call)
    for event in (answered(1), attached(2), stopped(8), ended(9)):
        call = (await store.apply(call.call_id, event)).call
    kept = await store.get(call.call_id)
    assert kept == call
    assert kept is not None
    assert public(kept)["end"] == {
        "outcome": "completed",
        "cause": "hangup",
        "ended_by": "caller",
        "duration_ms": 8000,
    }


async def test_redis_holds_what_the_interface_says(store: CallStore, redis: Redis) -> None:
    call = inbound()
    await store.create(call, opening(call))
    await store.apply(call.call_id, answered())
    fields = await redis.hgetall(f"callbridge:call:{call.call_id}")
    assert fields["state"] == '"answered"'
    assert fields["from"] == '"+525512345678"'
    assert fields["created_at"] == '"2026-11-20T08:00:00.000Z"'
    assert fields["end"] == "null"
    assert fields["metadata"] == '{"order":"42"}'
    own = await redis.xrange(f"callbridge:call:{call.call_id}:events")
    everybodys = await redis.xrange("callbridge:events")
    assert own == everybodys
    assert own is not None
    event_id, event = own[1]
    assert event == {
        "id": event_id,
        "type": "call.answered",
        "call_id": call.call_id,
        "at": "2026-11-20T08:00:01.000Z",
        "data": "{}",
    }
    assert await redis.zrange("callbridge:calls:live", 0, -1) == [call.call_id]


async def test_an_ended_call_lives_no_more_and_expires(store: CallStore, redis: Redis) -> None:
    call = inbound()
    await store.create(call, opening(call))
    token = await store.token(call.call_id)
    await store.apply(call.call_id, ended())
    assert await redis.zcard("callbridge:calls:live") == 0
    for key in ("", ":events", ":seen"):
        ttl = await redis.ttl(f"callbridge:call:{call.call_id}{key}")
        assert 29 * 86_400 < ttl <= 30 * 86_400
    assert await store.by_token(token) is None
    with pytest.raises(UnknownCall):
        await store.token(call.call_id)


async def test_a_call_offered_twice_is_one_call(redis: Redis, clock: StoppedClock) -> None:
    stores = [make_store(redis, clock) for _ in range(3)]
    calls = [inbound("CA7") for _ in stores]
    made = await asyncio.gather(
        *(store.create(call, opening(call)) for store, call in zip(stores, calls, strict=True))
    )
    assert [one.fresh for one in made].count(True) == 1
    assert len({one.call.call_id for one in made}) == 1
    assert len(await stores[0].entries()) == 1
    assert await redis.zcard("callbridge:calls:live") == 1


async def test_a_token_opens_its_own_call_and_no_other(store: CallStore) -> None:
    one, other = inbound("CA1"), inbound("CA2")
    await store.create(one)
    await store.create(other)
    token = await store.token(one.call_id)
    opened = await store.by_token(token)
    assert opened is not None
    assert opened.call_id == one.call_id
    secret = token.partition(".")[2]
    assert len(secret) >= 32
    for wrong in ("", ".", one.call_id, f"{one.call_id}.", f"{other.call_id}.{secret}", "é.é"):
        assert await store.by_token(wrong) is None


@pytest.mark.parametrize("suffix", [":events", ":seen", ":token", "*", "", "x" * 100])
async def test_a_made_up_call_id_names_no_other_key(store: CallStore, suffix: str) -> None:
    call = inbound()
    await store.create(call, opening(call))
    await store.apply(call.call_id, answered())
    made_up = f"{call.call_id}{suffix}" if suffix else ""
    assert await store.get(made_up) is None
    assert await store.by_token(f"{made_up}.x") is None
    with pytest.raises(UnknownCall):
        await store.apply(made_up, answered())


async def test_each_event_is_applied_once_however_often_and_wherever_it_arrives(
    redis: Redis, clock: StoppedClock
) -> None:
    stores = [make_store(redis, clock) for _ in range(2)]
    call = inbound()
    await stores[0].create(call)
    told: list[CallEvent] = [
        answered(),
        ended(),
        noted("digit", "machine.detected"),
        noted("recording", "recording.saved"),
    ]
    deliveries = [(store, event) for event in told * 3 for store in stores]
    random.Random(1).shuffle(deliveries)
    await asyncio.gather(*(_persist(store, call.call_id, event) for store, event in deliveries))
    types = [event.type for event in await stores[0].entries(call.call_id)]
    assert types.count("call.ended") == 1
    assert types.count("recording.saved") == 1
    assert len(types) == len(set(types))
    assert types.index("call.ended") >= len(types) - 2
    after = await stores[0].get(call.call_id)
    assert after is not None
    assert after.state is CallState.ENDED


async def _persist(store: CallStore, call_id: str, event: CallEvent) -> None:
    """As a carrier does: again until it is taken."""
    while True:
        try:
            await store.apply(call_id, event)
        except StaleCall:
            continue
        return


async def test_a_repeated_event_is_not_fresh(store: CallStore) -> None:
    call = inbound()
    await store.create(call)
    assert (await store.apply(call.call_id, noted())).fresh
    assert not (await store.apply(call.call_id, noted())).fresh
    assert len(await store.entries(call.call_id)) == 1


async def test_an_event_for_nobody_is_refused(store: CallStore) -> None:
    with pytest.raises(UnknownCall):
        await store.apply("call_unknown", answered())


async def test_a_change_meant_for_an_older_version_is_refused(store: CallStore) -> None:
    call = inbound()
    await store.create(call)
    await store.apply(call.call_id, answered())
    with pytest.raises(StaleCall):
        await store.apply(call.call_id, ended(), version=call.version)
    assert (await store.apply(call.call_id, ended(), version=1)).fresh


async def test_ids_of_events_grow_even_when_the_clock_goes_back(
    store: CallStore, clock: StoppedClock
) -> None:
    one, other = inbound("CA1"), inbound("CA2")
    await store.create(one, opening(one))
    clock.pass_ms(-5000)
    await store.create(other, opening(other))
    for number in range(12):
        await store.apply(one.call_id, noted(f"n{number}", number=number))
    ids = [tuple(map(int, event.id.split("-"))) for event in await store.entries()]
    assert ids == sorted(set(ids))
    assert len(ids) == 14
    assert await store.last_id() == "-".join(map(str, ids[-1]))


async def test_events_are_read_on_from_the_last_one_seen(store: CallStore) -> None:
    call = inbound()
    await store.create(call, opening(call))
    await store.apply(call.call_id, answered())
    first, second = await store.entries(call.call_id)
    assert await store.entries(call.call_id, after_id=first.id) == (second,)
    assert await store.entries(call.call_id, after_id=second.id) == ()
    assert await store.entries(call.call_id, limit=1) == (first,)


async def test_the_carriers_id_is_learnt_and_found_by(store: CallStore) -> None:
    call = outbound()
    await store.create(call)
    placed = CallPlaced(event_id="placed", occurred_at=at(1), provider_call_id="CA9")
    await store.apply(call.call_id, placed)
    found = await store.find("acme", "CA9")
    assert found is not None
    assert found.call_id == call.call_id


async def test_calls_are_listed_newest_first_and_page_by_page(store: CallStore) -> None:
    calls = [inbound(f"CA{n}", provider=("acme", "bolt")[n % 2]) for n in range(7)]
    for call in calls:
        await store.create(call)
    await store.apply(calls[2].call_id, ended())
    newest = [call.call_id for call in reversed(calls)]
    first = await store.list(limit=3)
    assert [call.call_id for call in first.calls] == newest[:3]
    second = await store.list(limit=3, cursor=first.next_cursor)
    third = await store.list(limit=3, cursor=second.next_cursor)
    pages = [*first.calls, *second.calls, *third.calls]
    assert [call.call_id for call in pages] == newest
    assert third.next_cursor is None
    over = await store.list(state=CallState.ENDED)
    assert [call.call_id for call in over.calls] == [calls[2].call_id]
    bolt = await store.list(provider="bolt")
    assert {call.provider for call in bolt.calls} == {"bolt"}
    assert len(bolt.calls) == 3


async def test_a_call_whose_lease_ran_out_is_given_to_one_sweep_only(
    redis: Redis, clock: StoppedClock
) -> None:
    stores = [make_store(redis, clock) for _ in range(3)]
    call = inbound()
    await stores[0].create(call)
    assert await stores[0].leases.overdue(clock.utc(), claim_ms=5000) == ()
    clock.pass_ms(20_001)
    found = await asyncio.gather(
        *(store.leases.overdue(clock.utc(), claim_ms=5000) for store in stores)
    )
    assert [overdue.call_id for overdue in itertools.chain(*found)] == [call.call_id]
    clock.pass_ms(5001)
    assert len(await stores[1].leases.overdue(clock.utc(), claim_ms=5000)) == 1


async def test_a_lease_is_kept_by_its_owner_and_by_nothing_else(
    store: CallStore, clock: StoppedClock
) -> None:
    call, gone = inbound("CA1"), inbound("CA2")
    await store.create(call)
    await store.create(gone)
    await store.apply(gone.call_id, ended())
    await store.apply(call.call_id, attached())
    clock.pass_ms(14_000)
    assert await store.leases.renew([call.call_id, gone.call_id], clock.utc()) == {gone.call_id}
    clock.pass_ms(14_000)
    assert await store.leases.overdue(clock.utc(), claim_ms=1) == ()
    await store.apply(call.call_id, noted("n", "machine.detected"))
    clock.pass_ms(1001)
    assert len(await store.leases.overdue(clock.utc(), claim_ms=1)) == 1


async def test_a_lost_socket_shortens_the_lease(store: CallStore, clock: StoppedClock) -> None:
    call = inbound()
    await store.create(call)
    await store.apply(call.call_id, attached())
    await store.apply(call.call_id, MediaLost(event_id="lost", occurred_at=at(3), owner="A"))
    clock.pass_ms(5001)
    assert len(await store.leases.overdue(clock.utc(), claim_ms=1)) == 1


async def test_a_request_is_answered_once_and_remembered(store: CallStore) -> None:
    assert await store.requests.begin("key", "digest") is None
    assert await store.requests.begin("key", "digest") == Remembered("digest")
    answer = Remembered("digest", 201, "{}")
    await store.requests.remember("key", answer)
    assert await store.requests.begin("key", "other") == answer
    assert await store.requests.begin("other key", "digest") is None
    await store.requests.forget("other key")
    assert await store.requests.begin("other key", "digest") is None


async def test_something_is_claimed_once(store: CallStore) -> None:
    call = inbound()
    await store.create(call)
    assert await store.once(call.call_id, "answer")
    assert not await store.once(call.call_id, "answer")


async def test_a_claim_whose_answer_was_lost_is_still_ours(
    redis_server: RedisServer, clock: StoppedClock
) -> None:
    async with lossy_way(redis_server) as way:
        client, direct = open_redis(way.url), open_redis(redis_server.url)
        store, other = make_store(client, clock), make_store(direct, clock)
        call = inbound()
        await store.create(call)
        await store.once(call.call_id, "anything")  # so that its script is there
        way.lose_answer_to(b"digit.1")
        assert await store.once(call.call_id, "digit.1")
        assert not await store.once(call.call_id, "digit.1")
        assert not await other.once(call.call_id, "digit.1")
        way.lose_answer_to(b"the digest")
        assert await store.requests.begin("key", "the digest") is None
        assert await store.requests.begin("key", "the digest") == Remembered("the digest")
        assert await other.requests.begin("key", "the digest") == Remembered("the digest")
        assert way.lost == 2
        await store.close()
        await other.close()


async def test_letters_reach_the_instance_they_are_for(store: CallStore) -> None:
    await store.letters.post("A", "one")
    await store.letters.post("B", "two")
    (letter_id, letter), *rest = await store.letters.collect("A", "0", wait_ms=1)
    assert (letter, rest) == ("one", [])
    assert await store.letters.collect("A", letter_id, wait_ms=1) == ()


async def test_a_redis_that_is_not_there_is_said_to_be_away(clock: StoppedClock) -> None:
    client = open_redis("redis://127.0.0.1:1/0")
    store = make_store(client, clock)
    with pytest.raises(StoreAway):
        await store.ping()
    with pytest.raises(StoreAway):
        await store.create(inbound())
    with pytest.raises(StoreAway):
        await store.apply("call_1", answered())
    await store.close()


async def test_the_first_end_that_was_decided_is_the_end(store: CallStore) -> None:
    call = replace(inbound(), pending_end=end(Outcome.CANCELED, "hangup", "api"))
    await store.create(call)
    after = (await store.apply(call.call_id, ended())).call
    assert after.end == end(Outcome.CANCELED, "hangup", "api")
