"""Calls, their events, tokens and leases in Redis: the only file that knows a key.

Nothing is locked: a change is loaded, advanced, and written only if nobody wrote in between, in
one atomic script. Audio never comes here. Follows section 6 of the interface.
"""

import asyncio
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from ulid import ULID

from service.calls import scripts
from service.calls.phases import Limits, patience_ms, phase
from service.calls.records import Event, entry_fields, event_from, from_fields, plain, to_fields
from service.calls.redis import reaching_redis
from service.clock import Clock, Ids
from service.core.calls import Call, CallEvent, CallId, CallState, Entry, advance
from service.core.errors import StaleCall, UnknownCall

PREFIX = "callbridge:"
EVENTS = PREFIX + "events"
LIVE = PREFIX + "calls:live"
INDEX = PREFIX + "calls:index"  # every call_id, in the order of time since they are ULIDs

ID = re.compile(r"[0-9A-Za-z_]{1,64}")
"""What a call_id looks like: nothing that comes from outside may name another key of ours."""

DAY_MS = 86_400_000
TOKEN_TTL_MS = 2 * DAY_MS  # longer than any call; deleted at its end
IDEMPOTENCY_TTL_MS = DAY_MS
IN_PROGRESS_TTL_MS = 60_000  # longer than any order takes, in case who took it dies
MAIL_TTL_MS = 60_000
MAIL_KEPT = 1000
EVENTS_KEPT = 100_000
ATTEMPTS = 8
SCANNED = 500  # calls looked at for one page of a filtered list
RENEWED = 25  # leases renewed in one go
CLAIMED = 100  # overdue calls taken by one sweep

Args = list[str | int | float]  # of a script


class Applied(Struct, frozen=True):
    """A call after an event. Not `fresh`: the event, or the call, was there before."""

    call: Call
    fresh: bool
    entries: tuple[Event, ...] = ()


class Page(Struct, frozen=True):
    """Some calls, and where the next ones begin; None: there are no more."""

    calls: tuple[Call, ...]
    next_cursor: str | None


class Overdue(Struct, frozen=True):
    """A call whose lease ran out, and its version at that moment."""

    call_id: CallId
    version: int


class Remembered(Struct, frozen=True):
    """An idempotent request that was made before; `status` None: it is still being answered."""

    digest: str
    status: int | None = None
    body: str = ""


class CallStore:
    """Everything that outlives a process. Every method may raise StoreAway."""

    def __init__(
        self, redis: Redis, clock: Clock, ids: Ids, *, limits: Limits, ttl_days: int = 30
    ) -> None:
        self._redis: Any = redis  # its stubs give sync and async answers in one
        self._clock = clock
        self._ids = ids
        self._limits = limits
        self._ttl_ms = ttl_days * DAY_MS
        self._create = redis.register_script(scripts.CREATE)
        self._write = redis.register_script(scripts.WRITE)
        self._claim = redis.register_script(scripts.CLAIM)

    async def ping(self) -> None:
        """Raise StoreAway unless Redis answers."""
        await self._ask("PING")

    async def close(self) -> None:
        """Give the connections back."""
        await self._redis.aclose()

    # Calls -------------------------------------------------------------------------------------

    async def create(self, call: Call, *entries: Entry) -> Applied:
        """Keep a new call, with a token. One that the carrier named before is left as it is."""
        lines = [entry_fields(entry) for entry in entries]
        fields = to_fields(call)
        args: Args = [
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
        keys = [_call(call.call_id), _events(call.call_id), EVENTS, LIVE, INDEX]
        keys += [_token(call.call_id), *_carriers_name(call)]
        with reaching_redis():
            stands, *made = await self._create(keys=keys, args=args)
        if made:
            return Applied(call, True, _events_of(call, entries, made[0]))
        return Applied(await self._known(CallId(stands)), False)

    async def get(self, call_id: str) -> Call | None:
        """The call, or None."""
        if not ID.fullmatch(call_id):
            return None
        fields = await self._ask("HGETALL", _call(call_id))
        return from_fields(fields) if fields else None

    async def find(self, provider: str, provider_call_id: str) -> Call | None:
        """The call that this carrier knows by this id, or None."""
        call_id = await self._ask("GET", _name(provider, provider_call_id))
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
                return Applied(after, True, _events_of(after, step.entries, ids))
        raise StaleCall("call.stale", "the call changed under us", retryable=True)

    async def once(self, call_id: str, what: str) -> bool:
        """Whether nobody has claimed to do this for this call before."""
        first = await self._ask("SADD", _seen(call_id), what)
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
            ids = await self._ask("ZREVRANGEBYLEX", INDEX, below, "-", "LIMIT", 0, 2 * limit)
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
        secret = await self._ask("GET", _token(call_id))
        if secret is None:
            raise UnknownCall("call.unknown", "no such call, or it has ended")
        return f"{call_id}.{secret}"

    async def by_token(self, token: str) -> Call | None:
        """The live call that this token opens, or None."""
        call_id, _, given = token.partition(".")
        if not ID.fullmatch(call_id):
            return None
        secret = await self._ask("GET", _token(call_id))
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
        key = EVENTS if call_id is None else _events(call_id)
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
            rows = await self._redis.xrevrange(EVENTS, "+", "-", count=1)
        return str(rows[0][0]) if rows else "0-0"

    # Leases ------------------------------------------------------------------------------------

    async def renew(self, call_ids: Iterable[str], now: datetime) -> frozenset[str]:
        """We still hold these calls. Returns those that have ended meanwhile.

        A call whose record is gone has not ended: Redis came back without what it held, and the
        person on the line is not to pay for that.
        """
        ids = [*call_ids]
        until_ms = _unix_ms(now) + self._limits.lease_ms
        gone: set[str] = set()
        for at in range(0, len(ids), RENEWED):
            gone |= await self._renew(ids[at : at + RENEWED], until_ms)
            await asyncio.sleep(0)  # the embedded store works on this very loop
        return frozenset(gone)

    async def _renew(self, ids: Sequence[str], until_ms: int) -> set[str]:
        with reaching_redis():
            pipe = self._redis.pipeline(transaction=False)
            pipe.zadd(LIVE, dict.fromkeys(ids, until_ms), xx=True)
            pipe.zmscore(LIVE, ids)
            _, scores = await pipe.execute()
            gone = [call_id for call_id, score in zip(ids, scores, strict=True) if score is None]
            for call_id in gone:
                pipe.exists(_call(call_id))
            kept = await pipe.execute()
        return {call_id for call_id, there in zip(gone, kept, strict=True) if there}

    async def overdue(self, now: datetime, *, claim_ms: int) -> tuple[Overdue, ...]:
        """Calls whose lease ran out; nobody else gets them for `claim_ms`."""
        now_ms = _unix_ms(now)
        args: Args = [now_ms, now_ms + claim_ms, CLAIMED, _call("")]
        with reaching_redis():
            rows = await self._claim(keys=[LIVE], args=args)
        return tuple(Overdue(CallId(call_id), int(version)) for call_id, version in rows)

    # Requests that may be repeated ---------------------------------------------------------------

    async def begin(self, key: str, digest: str) -> Remembered | None:
        """None: this request is new, and ours to answer; else what is known of it."""
        name = _idempotency(key)
        running = msgspec.json.encode(Remembered(digest)).decode()
        if await self._ask("SET", name, running, "NX", "PX", IN_PROGRESS_TTL_MS):
            return None
        known = await self._ask("GET", name)
        return Remembered(digest) if known is None else msgspec.json.decode(known, type=Remembered)

    async def remember(self, key: str, answer: Remembered) -> None:
        """The request's answer, for everyone who repeats it."""
        text = msgspec.json.encode(answer).decode()
        await self._ask("SET", _idempotency(key), text, "PX", IDEMPOTENCY_TTL_MS)

    async def forget(self, key: str) -> None:
        """The request failed and may be tried again."""
        await self._ask("DEL", _idempotency(key))

    # Mail between instances ----------------------------------------------------------------------

    async def post(self, instance: str, letter: str) -> None:
        """Leave a letter for another instance; it is kept for a minute."""
        key = _mail(instance)
        with reaching_redis():
            pipe = self._redis.pipeline(transaction=False)
            pipe.xadd(key, {"letter": letter}, maxlen=MAIL_KEPT, approximate=True)
            pipe.pexpire(key, MAIL_TTL_MS)
            await pipe.execute()

    async def collect(
        self, instance: str, after_id: str, *, wait_ms: int
    ) -> tuple[tuple[str, str], ...]:
        """Id and text of letters that came since; waits for the first."""
        key = _mail(instance)
        with reaching_redis():
            found = await self._redis.xread({key: after_id}, count=100, block=wait_ms)
        rows = found[0][1] if found else []
        return tuple((letter_id, fields["letter"]) for letter_id, fields in rows)

    # Inside --------------------------------------------------------------------------------------

    async def _ask(self, *command: str | int) -> Any:
        with reaching_redis():
            return await self._redis.execute_command(*command)

    async def _known(self, call_id: CallId) -> Call:
        call = await self.get(call_id)
        if call is None:
            raise UnknownCall("call.unknown", "no such call")
        return call

    async def _load(self, call_id: str, event_id: str) -> tuple[Call, bool]:
        if not ID.fullmatch(call_id):
            raise UnknownCall("call.unknown", "no such call")
        with reaching_redis():
            pipe = self._redis.pipeline(transaction=False)
            pipe.hgetall(_call(call_id))
            pipe.sismember(_seen(call_id), event_id)
            fields, seen = await pipe.execute()
        if not fields:
            raise UnknownCall("call.unknown", "no such call")
        return from_fields(fields), bool(seen)

    async def _calls(self, call_ids: Iterable[str]) -> tuple[Call, ...]:
        with reaching_redis():
            pipe = self._redis.pipeline(transaction=False)
            for call_id in call_ids:
                pipe.hgetall(_call(call_id))
            return tuple(from_fields(fields) for fields in await pipe.execute() if fields)

    async def _put(
        self, before: Call, after: Call, event_id: str, entries: tuple[Entry, ...]
    ) -> tuple[str, ...] | None:
        """The ids of the entries; None: somebody else wrote meanwhile."""
        old = to_fields(before)
        fields = {name: value for name, value in to_fields(after).items() if old[name] != value}
        args: Args = [
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
        keys = [_call(after.call_id), _events(after.call_id), EVENTS, LIVE]
        keys += [_seen(after.call_id), _token(after.call_id), *_carriers_name(after)]
        with reaching_redis():
            written = await self._write(keys=keys, args=args)
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
        return _unix_ms(self._clock.utc())

    def _oldest(self) -> str:
        """The least call_id that may still be in the store."""
        kept = timedelta(milliseconds=self._ttl_ms + TOKEN_TTL_MS)
        return f"call_{ULID.from_datetime(self._clock.utc() - kept)}"


def _unix_ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _flat(rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [value for row in rows for value in row]


def _events_of(call: Call, entries: tuple[Entry, ...], ids: Iterable[str]) -> tuple[Event, ...]:
    return tuple(
        Event(id=id_, type=entry.type, call_id=call.call_id, at=entry.at, data=plain(entry.data))
        for id_, entry in zip(ids, entries, strict=True)
    )


# Keys --------------------------------------------------------------------------------------------


def _call(call_id: str) -> str:
    return f"{PREFIX}call:{call_id}"


def _events(call_id: str) -> str:
    return f"{PREFIX}call:{call_id}:events"


def _seen(call_id: str) -> str:
    return f"{PREFIX}call:{call_id}:seen"


def _token(call_id: str) -> str:
    return f"{PREFIX}call:{call_id}:token"


def _name(provider: str, provider_call_id: str) -> str:
    return f"{PREFIX}provider:{provider}:{provider_call_id}"


def _carriers_name(call: Call) -> list[str]:
    if call.provider_call_id is None:
        return []
    return [_name(call.provider, call.provider_call_id)]


def _mail(instance: str) -> str:
    return f"{PREFIX}instance:{instance}:mail"


def _idempotency(key: str) -> str:
    return f"{PREFIX}idempotency:{hashlib.sha256(key.encode()).hexdigest()}"
