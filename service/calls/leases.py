"""Who speaks for which live call, and until when: the sorted set of leases in Redis.

A lease begins with a call's phase (store) and is renewed by the instance that holds its socket.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from redis.asyncio import Redis

from service.calls import keys, scripts
from service.calls.redis import reaching_redis
from service.clock import unix_ms
from service.core.calls import CallId

RENEWED = 25  # leases renewed in one go
CLAIMED = 100  # overdue calls taken by one sweep


class Overdue(Struct, frozen=True):
    """A call whose lease ran out, and its version at that moment."""

    call_id: CallId
    version: int


class LeaseTable:
    """The leases of all calls. Every method may raise StoreAway."""

    def __init__(self, redis: Redis, *, lease_ms: int) -> None:
        self._redis: Any = redis
        self._lease_ms = lease_ms
        self._claim = redis.register_script(scripts.CLAIM)

    async def renew(self, call_ids: Iterable[str], now: datetime) -> frozenset[str]:
        """We still hold these calls. Returns those that have ended meanwhile.

        A call whose record is gone has not ended: Redis came back without what it held, and the
        person on the line is not to pay for that.
        """
        ids = [*call_ids]
        until_ms = unix_ms(now) + self._lease_ms
        gone: set[str] = set()
        for at in range(0, len(ids), RENEWED):
            gone |= await self._renew(ids[at : at + RENEWED], until_ms)
            await asyncio.sleep(0)  # the embedded store works on this very loop
        return frozenset(gone)

    async def _renew(self, ids: Sequence[str], until_ms: int) -> set[str]:
        with reaching_redis():
            pipe = self._redis.pipeline(transaction=False)
            pipe.zadd(keys.LIVE, dict.fromkeys(ids, until_ms), xx=True)
            pipe.zmscore(keys.LIVE, ids)
            _, scores = await pipe.execute()
            gone = [call_id for call_id, score in zip(ids, scores, strict=True) if score is None]
            for call_id in gone:
                pipe.exists(keys.call(call_id))
            kept = await pipe.execute()
        return {call_id for call_id, there in zip(gone, kept, strict=True) if there}

    async def overdue(self, now: datetime, *, claim_ms: int) -> tuple[Overdue, ...]:
        """Calls whose lease ran out; nobody else gets them for `claim_ms`."""
        now_ms = unix_ms(now)
        args: scripts.Args = [now_ms, now_ms + claim_ms, CLAIMED, keys.call("")]
        with reaching_redis():
            rows = await self._claim(keys=[keys.LIVE], args=args)
        return tuple(Overdue(CallId(call_id), int(version)) for call_id, version in rows)
