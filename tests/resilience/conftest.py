"""A Redis for each test, and two lasting instances with one of theirs for tests that harm none.

Never the same one: every instance sweeps all that is in its Redis. The pair ends with this folder's
tests: while an asynchronous fixture lives, tests elsewhere get its event loop in place of theirs.
"""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.redis_server import RedisServer
from tests.resilience.instance import AGENTS
from tests.resilience.world import World, world


@pytest.fixture(scope="package")
def anyio_backend() -> str:
    return "asyncio"


@contextmanager
def running() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    with running() as server:
        yield server


@pytest.fixture(scope="package")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent files of the pair, which a test may change."""
    return shutil.copytree(AGENTS, tmp_path_factory.mktemp("service") / "agents")


@pytest.fixture(scope="package")
async def lasting_pair(agents: Path) -> AsyncIterator[World]:
    folder = {"CALLBRIDGE_AGENTS": str(agents)}
    with running() as server:
        async with world(server, folder, folder) as here:
            yield here


@pytest.fixture
async def here(lasting_pair: World) -> World:
    """Two instances without any call, the first of which gets all that carriers send."""
    await lasting_pair.renew()
    return lasting_pair
