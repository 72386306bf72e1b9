"""One Redis for all tests of this folder, and two instances for those that leave them alive."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.redis_server import RedisServer
from tests.resilience.world import World, world


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
async def lasting_pair(redis_server: RedisServer) -> AsyncIterator[World]:
    async with world(redis_server, {}, {}) as here:
        yield here


@pytest.fixture
async def here(lasting_pair: World) -> World:
    """Two instances without any call, the first of which gets all that carriers send."""
    await lasting_pair.renew()
    return lasting_pair
