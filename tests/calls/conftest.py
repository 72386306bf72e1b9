"""Stores for the tests: a real Redis, and the embedded one."""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from service.calls.redis import open_redis
from service.calls.store import CallStore
from tests.calls.house import House, at_work, make_store
from tests.calls.samples import StoppedClock
from tests.redis_server import RedisServer


@pytest.fixture(scope="session")
def redis_session() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
def redis_server(redis_session: RedisServer) -> RedisServer:
    redis_session.flush()
    return redis_session


@pytest.fixture(params=["redis", "embedded"])
def store_url(request: pytest.FixtureRequest) -> str:
    if request.param == "embedded":
        return "embedded://"
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
async def redis(store_url: str) -> AsyncIterator[Redis]:
    client = open_redis(store_url)
    yield client
    await client.aclose()


@pytest.fixture
def store(redis: Redis, clock: StoppedClock) -> CallStore:
    return make_store(redis, clock)


@pytest.fixture
async def house(redis: Redis, clock: StoppedClock) -> AsyncIterator[House]:
    async with at_work(House(redis, clock)) as house:
        yield house


@pytest.fixture
async def neighbour(redis: Redis, clock: StoppedClock, house: House) -> AsyncIterator[House]:
    """Another instance over the same Redis, and the same carriers."""
    other = House(redis, clock, instance="B", carrier=house.carrier)
    async with at_work(other, reads_mail=True):
        yield other
