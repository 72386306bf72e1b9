"""Calls, their events and their tokens in Redis; leases, letters and requests hang on to it.

Nothing is locked: a change is loaded, advanced, and written only if nobody wrote in between, in
one atomic script. Audio never comes here. Follows section 6 of the interface.
"""

import hmac
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from ulid import ULID

from service.calls import keys, scripts
from service.calls.leases import LeaseTable
from service.calls.letters import Letters
from service.calls.milestones import log_opened, log_step
from service.calls.phases import Limits, patience_ms, phase
from service.calls.records import Event, entry_fields, event_from, from_fields, plain, to_fields
from service.calls.redis import ask, reaching_redis
from service.calls.requests import Requests
from service.clock import Clock, Ids, unix_ms
from service.core.calls import Call, CallEvent, CallId, CallState, Entry, advance
from service.core.errors import StaleCall, UnknownCall

DAY_MS = 86_400_000
TOKEN_TTL_MS = 2 * DAY_MS  # longer than any call; deleted at its end
EVENTS_KEPT = 100_000
ATTEMPTS = 8
SCANNED = 500  # calls looked at for one page of a filtered list

Told = Callable[[Call, Iterable[Event]], None]


class Applied(Struct, frozen=True):
    """A call after an event. Not `fresh`: the event, or the call, was there before."""

    call: Call
    fresh: bool
    entries: tuple[Event, ...] = ()


class Page(Struct, frozen=True):
    """Some calls, and where the next ones begin; None: there are no more."""

    calls: tuple[Call, ...]
    next_cursor: str | None


class CallStore:
    """Everything that outlives a process. Every method may raise StoreAway."""

    def __init__(
        self,
        redis: Redis,
        clock: Clock,
        ids: Ids,
        *,
        limits: Limits,
        ttl_days: int = 30,
        told: Told | None = None,
    ) -> None:
        """`told` hears of each change that was written, with the entries that came of it."""
        self._redis: Any = redis  # its stubs give sync and async answers in one
        self._clock = clock
        self._ids = ids
        self._limits = limits
        self._ttl_ms = ttl_days * DAY_MS
        self._told = told
        self._create = redis.register_script(scripts.CREATE)
        self._write = redis.register_script(scripts.WRITE)
        self._once = redis.register_script(scripts.ONCE)
        self.leases = LeaseTable(redis, lease_ms=limits.lease_ms)
        self.letters = Letters(redis)
        self.requests = Requests(redis, ids)

    async def ping(self) -> None:
        """Raise StoreAway unless Redis answers."""
        await ask(self._redis, "PING")

    async def close(self) -> None:
        """Give the connections back."""
        await self._redis.aclose()

    # Calls -------------------------------------------------------------------------------------

    async def create(self, call: Call, *entries: Entry) -> Applied:
        """Keep a new call, with a token. One that the carrier named before is left as it is."""
        lines = [entry_fields(entry) for entry in entries]
        fields = to_fields(call)
        args: scripts.Args = [
            call.call_id,
            self._now_ms(),
            EVENTS_KEPT,
            self._lease_ms(call),
            self._ids.token(),
            TOKEN_TTL_MS,
            self._oldest(),
            len(fields),
            *_flat(fields.items()),
            *_flat(lines),
        ]
        touched = [
            keys.call(call.call_id),
            keys.events(call.call_id),
            keys.EVENTS,
            keys.LIVE,
            keys.INDEX,
        ]
        touched += [keys.token(call.call_id), *keys.names(call)]
        with reaching_redis():
            stands, *made = await self._create(keys=touched, args=args)
        if made:
            log_opened(call)
            return self._applied(call, entries, made[0])
        return Applied(await self._known(CallId(stands)), False)

    async def get(self, call_id: str) -> Call | None:
        """The call, or None."""
        if not keys.ID.fullmatch(call_id):
            return None
        fields = await ask(self._redis, "HGETALL", keys.call(call_id))
        return from_fields(fields) if fields else None

    async def find(self, provider: str, provider_call_id: str) -> Call | None:
        """The call that this carrier knows by this id, or None."""
        call_id = await ask(self._redis, "GET", keys.name(provider, provider_call_id))
        return None if call_id is None else await self.get(call_id)

    async def apply(self, call_id: str, event: CallEvent, *, version: int | None = None) -> Applied:
        """Advance a call, once per event_id. UnknownCall, StaleCall.

        With `version`, only if the call is still at that version.
        """
        for _ in range(ATTEMPTS):
            call, seen = await self._load(call_id, event.event_id)
            if version is not None and call.version != version:
                break
            step = advance(call, event)
            if seen or (step.call == call and not step.entries):
                return Applied(call, False)
            after = msgspec.structs.replace(step.call, version=call.version + 1)
            ids = await self._put(call, after, event.event_id, step.entries)
            if ids is not None:
                log_step(call, after)
                return self._applied(after, step.entries, ids)
        raise StaleCall("call.stale", "the call changed under us", retryable=True)

    async def once(self, call_id: str, what: str) -> bool:
        """Whether nobody has claimed to do this for this call before."""
        args = [what, f"{what} {self._ids.token()}"]
        with reaching_redis():
            first = await self._once(keys=[keys.seen(call_id)], args=args)
        return bool(first)

    async def list(
        self,
        *,
        state: CallState | None = None,
        provider: str | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> Page:
        """Newest first. A page may hold less than `limit` and still have a next one."""
        below = "+" if cursor is None else f"({cursor}"
        found: tuple[Call, ...] = ()
        scanned = 0
        while scanned < SCANNED:
            ids = await ask(
                self._redis, "ZREVRANGEBYLEX", keys.INDEX, below, "-", "LIMIT", 0, 2 * limit
            )
            for call in await self._calls(ids):
                if state in (None, call.state) and provider in (None, call.provider):
                    found = (*found, call)
                    if len(found) == limit:
                        return Page(found, str(call.call_id))
            if len(ids) < 2 * limit:
                return Page(found, None)
            scanned += len(ids)
            below = f"({ids[-1]}"
        return Page(found, below.removeprefix("("))

    # Tokens ------------------------------------------------------------------------------------

    async def token(self, call_id: str) -> str:
        """What a media socket's URL ends with: it opens this call until its end. UnknownCall."""
        secret = await ask(self._redis, "GET", keys.token(call_id))
        if secret is None:
            raise UnknownCall("call.unknown", "no such call, or it has ended")
        return f"{call_id}.{secret}"

    async def by_token(self, token: str) -> Call | None:
        """The live call that this token opens, or None."""
        call_id, _, given = token.partition(".")
        if not keys.ID.fullmatch(call_id):
            return None
        secret = await ask(self._redis, "GET", keys.token(call_id))
        if (
            not hmac.compare_digest((secret or "").encode(), given.encode(errors="replace"))
            or not secret
        ):
            return None
        call = await self.get(call_id)
        return None if call is None or call.state is CallState.ENDED else call

    # Events ------------------------------------------------------------------------------------

    async def entries(
        self, call_id: str | None = None, *, after_id: str | None = None, limit: int = 1000
    ) -> tuple[Event, ...]:
        """Events of one call, or of all, in the order applied, later than `after_id`."""
        key = keys.EVENTS if call_id is None else keys.events(call_id)
        start = "-" if after_id is None else f"({after_id}"
        with reaching_redis():
            rows = await self._redis.xrange(key, start, "+", count=limit)
        return tuple(event_from(fields) for _, fields in rows or ())

    async def record(self, call_id: str) -> tuple[Event, ...]:
        """Everything that was written down about one call."""
        events: list[Event] = []
        while page := await self.entries(call_id, after_id=events[-1].id if events else None):
            events += page
        return tuple(events)

    async def last_id(self) -> str:
        """The id of the latest event of all calls."""
        with reaching_redis():
            rows = await self._redis.xrevrange(keys.EVENTS, "+", "-", count=1)
        return str(rows[0][0]) if rows else "0-0"

    # Inside --------------------------------------------------------------------------------------

    def _applied(self, call: Call, entries: tuple[Entry, ...], ids: Iterable[str]) -> Applied:
        events = _events_of(call, entries, ids)
        if self._told is not None:
            self._told(call, events)
        return Applied(call, True, events)

    async def _known(self, call_id: CallId) -> Call:
        call = await self.get(call_id)
        if call is None:
            raise UnknownCall("call.unknown", "no such call")
        return call

    async def _load(self, call_id: str, event_id: str) -> tuple[Call, bool]:
        if not keys.ID.fullmatch(call_id):
            raise UnknownCall("call.unknown", "no such call")
        with reaching_redis():
            pipe = self._redis.pipeline(transaction=False)
            pipe.hgetall(keys.call(call_id))
            pipe.sismember(keys.seen(call_id), event_id)
            fields, seen = await pipe.execute()
        if not fields:
            raise UnknownCall("call.unknown", "no such call")
        return from_fields(fields), bool(seen)

    async def _calls(self, call_ids: Iterable[str]) -> tuple[Call, ...]:
        with reaching_redis():
            pipe = self._redis.pipeline(transaction=False)
            for call_id in call_ids:
                pipe.hgetall(keys.call(call_id))
            return tuple(from_fields(fields) for fields in await pipe.execute() if fields)

    async def _put(
        self, before: Call, after: Call, event_id: str, entries: tuple[Entry, ...]
    ) -> tuple[str, ...] | None:
        """The ids of the entries; None: somebody else wrote meanwhile."""
        old = to_fields(before)
        fields = {name: value for name, value in to_fields(after).items() if old[name] != value}
        args: scripts.Args = [
            after.call_id,
            self._now_ms(),
            EVENTS_KEPT,
            before.version,
            event_id,
            self._lease_after(before, after),
            self._ttl_ms,
            len(fields),
            *_flat(fields.items()),
            *_flat(entry_fields(entry) for entry in entries),
        ]
        touched = [keys.call(after.call_id), keys.events(after.call_id), keys.EVENTS, keys.LIVE]
        touched += [keys.seen(after.call_id), keys.token(after.call_id), *keys.names(after)]
        with reaching_redis():
            written = await self._write(keys=touched, args=args)
        if written == "unknown":
            raise UnknownCall("call.unknown", "no such call")
        return None if written == "stale" else tuple(written)

    def _lease_after(self, before: Call, after: Call) -> str | int:
        """A lease begins with its phase; writing something down does not make it longer."""
        if after.state is CallState.ENDED:
            return "end"
        same = phase(before) is phase(after) and before.owner == after.owner
        return "keep" if same else self._lease_ms(after)

    def _lease_ms(self, call: Call) -> int:
        return self._now_ms() + (patience_ms(call, self._limits) or 0)

    def _now_ms(self) -> int:
        return unix_ms(self._clock.utc())

    def _oldest(self) -> str:
        """The least call_id that may still be in the store."""
        kept = timedelta(milliseconds=self._ttl_ms + TOKEN_TTL_MS)
        return f"call_{ULID.from_datetime(self._clock.utc() - kept)}"


def _flat(rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [value for row in rows for value in row]


def _events_of(call: Call, entries: tuple[Entry, ...], ids: Iterable[str]) -> tuple[Event, ...]:
    return tuple(
        Event(id=id_, type=entry.type, call_id=call.call_id, at=entry.at, data=plain(entry.data))
        for id_, entry in zip(ids, entries, strict=True)
    )
