"""One service, one Redis and one stand-in for the carriers' REST APIs for all tests of the outside.

A second service has no keys and keeps its calls in its own memory, as a newcomer's does.
"""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis

from tests.cli.live_server import serving
from tests.redis_server import RedisServer
from tests.service.bench import Bench
from tests.service.carriers import (
    PUBLIC_URL,
    SECONDARY_TOKEN,
    STREAM_KEY,
    TELNYX_PUBLIC_KEY,
    Caller,
)
from tests.service.leaks import leaks
from tests.service.process import NO_TLS, Process, running
from tests.service.rest_api import ACCOUNT, AUTH_TOKEN, CONNECTION, TELNYX_KEY, RestApi

AGENTS = {
    "default": "engine: loopback\n",
    "parrot": 'engine: echo\ngreeting: "Hello there."\nnumbers: ["+14155550177"]\n',
    "desk": 'engine: offline\ngreeting: "Hello, this is the desk."\n'
    'replies:\n  - key: "1"\n    hears: [one]\n    says: "We open at nine."\n',
}
KEYS = {"tester": "tester-secret-0001", "other": "other-secret-0002"}


@pytest.fixture(scope="session")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("agents")
    for name, rest in AGENTS.items():
        (folder / f"{name}.yaml").write_text(f"name: {name}\n{rest}")
    return folder


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def rest_api() -> Iterator[tuple[RestApi, str]]:
    api = RestApi()
    with serving(api.app) as url:
        yield api, url


@pytest.fixture(scope="session")
def carrier_settings(rest_api: tuple[RestApi, str], agents: Path) -> dict[str, str]:
    """Both carriers on."""
    return {
        "CALLBRIDGE_AGENTS": str(agents),
        "CALLBRIDGE_PUBLIC_URL": PUBLIC_URL,
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWILIO_AUTH_TOKEN_SECONDARY": SECONDARY_TOKEN,
        "TWILIO_API_BASE": rest_api[1],
        "TELNYX_API_KEY": TELNYX_KEY,
        "TELNYX_PUBLIC_KEY": TELNYX_PUBLIC_KEY,
        "TELNYX_CONNECTION_ID": CONNECTION,
        "TELNYX_STREAM_AUTH_TOKEN": STREAM_KEY,
        "TELNYX_API_BASE": f"{rest_api[1]}/v2",
        "CALLBRIDGE_MAX_LOOP_LAG_MS": "10000",  # a busy test machine is not a full house
        "CALLBRIDGE_LOG_FORMAT": "json",
    }


@pytest.fixture(scope="session")
def full_settings(carrier_settings: dict[str, str], redis_server: RedisServer) -> dict[str, str]:
    """Keys, a real Redis, and little patience."""
    return carrier_settings | {
        "REDIS_URL": redis_server.url,
        "CALLBRIDGE_API_KEYS": ",".join(f"{name}={secret}" for name, secret in KEYS.items()),
        "CALLBRIDGE_START_TIMEOUT_MS": "800",
        "CALLBRIDGE_ATTACH_TIMEOUT_MS": "3000",
        "CALLBRIDGE_REATTACH_MS": "1500",
        "CALLBRIDGE_LEASE_MS": "2000",
    }


@pytest.fixture(scope="session")
def service(full_settings: dict[str, str]) -> Iterator[Process]:
    with running(full_settings) as process:
        yield process
        # The whole run's log, whatever the tests did.
        assert leaks(process.log()) == []


@pytest.fixture(scope="session")
def neighbour(full_settings: dict[str, str]) -> Iterator[Process]:
    """Another instance of the same service."""
    with running(full_settings) as process:
        yield process
        assert leaks(process.log()) == []


@pytest.fixture(scope="session")
def open_service(carrier_settings: dict[str, str]) -> Iterator[Process]:
    """No keys, no Redis, and room for one call."""
    settings = carrier_settings | {"CALLBRIDGE_MAX_CALLS": "1"}
    with running(settings) as process:
        yield process


@pytest.fixture
async def bench(
    service: Process, redis_server: RedisServer, rest_api: tuple[RestApi, str]
) -> AsyncIterator[Bench]:
    """The service with everything around it."""
    headers = {"authorization": f"Bearer {KEYS['tester']}"}
    async with (
        httpx.AsyncClient(base_url=service.url, timeout=20, verify=NO_TLS) as http,
        httpx.AsyncClient(base_url=service.url, headers=headers, timeout=20, verify=NO_TLS) as api,
    ):
        with Redis(port=redis_server.port, decode_responses=True) as redis:
            yield Bench(service, Caller(http), api, redis, rest_api[0])


@pytest.fixture(scope="session", autouse=True)
def no_proxy() -> None:
    os.environ["NO_PROXY"] = "127.0.0.1,localhost"
