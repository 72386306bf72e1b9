"""Requests that may be repeated under a key: done once, told as often as they are asked again."""

import msgspec
from msgspec import Struct
from redis.asyncio import Redis

from service.calls import keys
from service.calls.redis import ask
from service.clock import Ids

TTL_MS = 86_400_000
IN_PROGRESS_TTL_MS = 60_000  # longer than any order takes, in case who took it dies


class Remembered(Struct, frozen=True):
    """An idempotent request that was made before; `status` None: it is still being answered."""

    digest: str
    status: int | None = None
    body: str = ""


class _Taken(Struct, frozen=True):
    """A request that somebody is answering: read by others as a Remembered."""

    digest: str
    holder: str = ""  # known to who took it alone: whose answer was lost asks again


class Requests:
    """What is known of such requests. Every method may raise StoreAway."""

    def __init__(self, redis: Redis, ids: Ids) -> None:
        self._redis = redis
        self._ids = ids

    async def begin(self, key: str, digest: str) -> Remembered | None:
        """None: this request is new, and ours to answer; else what is known of it."""
        name, holder = keys.idempotency(key), self._ids.token()
        taken = msgspec.json.encode(_Taken(digest, holder)).decode()
        if await ask(self._redis, "SET", name, taken, "NX", "PX", IN_PROGRESS_TTL_MS):
            return None
        known = await ask(self._redis, "GET", name)
        if known is None:
            return Remembered(digest)
        if msgspec.json.decode(known, type=_Taken).holder == holder:
            return None
        return msgspec.json.decode(known, type=Remembered)

    async def remember(self, key: str, answer: Remembered) -> None:
        """The request's answer, for everyone who repeats it."""
        text = msgspec.json.encode(answer).decode()
        await ask(self._redis, "SET", keys.idempotency(key), text, "PX", TTL_MS)

    async def forget(self, key: str) -> None:
        """The request failed and may be tried again."""
        await ask(self._redis, "DEL", keys.idempotency(key))
