"""The connection to Redis: a real one, or one inside this process that forgets with it.

Timeouts are short, since whoever asks may be answering a carrier; every trouble with the
connection becomes StoreAway.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fakeredis import FakeAsyncRedis, FakeServer
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from service.core.errors import StoreAway

CONNECTIONS = 64
CONNECT_TIMEOUT_S = 1.0
ANSWER_TIMEOUT_S = 2.0
HEALTH_CHECK_S = 15
RETRIES = 1


def open_redis(url: str) -> Redis:
    """A client for `url`; `embedded://` is an empty store in this process."""
    if url.startswith("embedded://"):
        embedded: Redis = FakeAsyncRedis(server=FakeServer(), decode_responses=True)
        return embedded
    pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=ANSWER_TIMEOUT_S,
        decode_responses=True,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=ANSWER_TIMEOUT_S,
        health_check_interval=HEALTH_CHECK_S,
        retry=Retry(ExponentialBackoff(cap=0.1, base=0.01), RETRIES),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
    )
    return Redis.from_pool(pool)


@contextmanager
def reaching_redis() -> Iterator[None]:
    """Turns the ways in which Redis can be out of reach into StoreAway.

    A client that is cancelled while it connects takes that for a broken connection and tries again
    (redis-py 8.1): who was cancelled in here is told so when it is through.
    """
    cancellings = _cancellings()
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, OSError, TimeoutError) as away:
        _still_wanted(cancellings)
        raise StoreAway("store.away", type(away).__name__, retryable=True) from away
    except (ReadOnlyError, OutOfMemoryError) as unwilling:
        raise StoreAway("store.read_only", type(unwilling).__name__, retryable=True) from unwilling
    except RedisError as refusal:
        if not str(refusal).startswith(("MISCONF", "LOADING", "CLUSTERDOWN", "MASTERDOWN")):
            raise
        raise StoreAway("store.read_only", type(refusal).__name__, retryable=True) from refusal
    _still_wanted(cancellings)


async def ask(redis: Redis, *command: str | int) -> Any:
    """The answer to one command. StoreAway."""
    client: Any = redis  # whose stubs give sync and async answers in one
    with reaching_redis():
        return await client.execute_command(*command)


def _cancellings() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _still_wanted(cancellings: int) -> None:
    if _cancellings() > cancellings:
        raise asyncio.CancelledError
