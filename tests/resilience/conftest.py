"""One Redis for all tests of this folder, and two instances for those that leave them alive."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from tests.resilience.instance import AGENTS
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
def agents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent files of the pair, which a test may change."""
    return shutil.copytree(AGENTS, tmp_path_factory.mktemp("service") / "agents")


@pytest.fixture(scope="session")
async def lasting_pair(redis_server: RedisServer, agents: Path) -> AsyncIterator[World]:
    folder = {"CALLBRIDGE_AGENTS": str(agents)}
    async with world(redis_server, folder, folder) as here:
        yield here


@pytest.fixture
async def here(lasting_pair: World) -> World:
    """Two instances without any call, the first of which gets all that carriers send."""
    await lasting_pair.renew()
    return lasting_pair
