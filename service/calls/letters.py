"""Mail between instances: a Redis stream for each, which forgets after a minute."""

from typing import Any

from redis.asyncio import Redis

from service.calls import keys
from service.calls.redis import reaching_redis

TTL_MS = 60_000
KEPT = 1000


class Letters:
    """The letters of all instances. Every method may raise StoreAway."""

    def __init__(self, redis: Redis) -> None:
        self._redis: Any = redis

    async def post(self, instance: str, letter: str) -> None:
        """Leave a letter for another instance; it is kept for a minute."""
        key = keys.mail(instance)
        with reaching_redis():
            pipe = self._redis.pipeline(transaction=False)
            pipe.xadd(key, {"letter": letter}, maxlen=KEPT, approximate=True)
            pipe.pexpire(key, TTL_MS)
            await pipe.execute()

    async def collect(
        self, instance: str, after_id: str, *, wait_ms: int
    ) -> tuple[tuple[str, str], ...]:
        """Id and text of letters that came since; waits for the first."""
        key = keys.mail(instance)
        with reaching_redis():
            found = await self._redis.xread({key: after_id}, count=100, block=wait_ms)
        rows = found[0][1] if found else []
        return tuple((letter_id, fields["letter"]) for letter_id, fields in rows)
