"""Faults inside of the service: an engine that fails its conversation, a Redis out of reach.

Both stand around the real thing and let everything through until it is time. The engine's sound
gets a watermark on its way, and what it said and was told is taken down for the invariants.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from fakeredis import FakeAsyncRedis, FakeServer
from fakeredis.aioredis import FakeAsyncRedisConnection
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError

from service.agents import Agent
from service.ai.base import Brief, Emit, Engine, Talk
from service.ai.spoken import Spoken
from service.calls.redis import ANSWER_TIMEOUT_S, RETRIES
from service.core.commands import EngineCommand, Interrupt
from service.core.events import (
    EngineEvent,
    EngineFailed,
    TurnAudio,
    TurnEnded,
    TurnId,
    TurnStarted,
    TurnText,
)
from service.replay.faults import EngineTrouble, Fault, RedisAway, RedisFailover, RedisSlow
from service.replay.watermark import marked

DIED = EngineFailed("engine.lost", "the connection broke", fatal=True)
GONE_MS, READ_ONLY_MS = 1500, 500
"""A fail-over: until the replica is asked, and until it is told that it may write."""

_WRITES = re.compile(rb"\r\n(?:EVALSHA|EVAL|SET|SADD|DEL|ZADD|XADD|HSET|PEXPIRE)\r\n")


def whole(exact_ms: float) -> int:
    """The millisecond that has begun."""
    return int(exact_ms + 1e-6)


class Witness:
    """What the engine said and was told. `exact_ms`: since the call began, to the microsecond."""

    def __init__(self, exact_ms: Callable[[], float]) -> None:
        self.exact_ms = exact_ms
        self.turns: dict[TurnId, int] = {}  # numbered from 1, in the order begun
        self.said: list[tuple[int, EngineEvent]] = []
        self.interrupted: list[tuple[float, int]] = []  # when, and which turn by its number
        self.greets = False

    def told(self, command: EngineCommand) -> None:
        """The bridge told the engine this."""
        if isinstance(command, Interrupt) and command.turn_id in self.turns:
            self.interrupted.append((self.exact_ms(), self.turns[command.turn_id]))


class TroubledEngine:
    """An engine as its bridge sees it, until it gets into trouble."""

    def __init__(self, engine: Engine, faults: Sequence[Fault], witness: Witness) -> None:
        self._engine = engine
        self._troubles = {f.turn: f.how for f in faults if isinstance(f, EngineTrouble)}
        self._witness = witness

    @property
    def name(self) -> str:
        """Its own."""
        return self._engine.name

    @asynccontextmanager
    async def open(self, brief: Brief, emit: Emit) -> AsyncIterator["TroubledTalk"]:
        """A conversation of the engine's."""
        self._witness.greets |= bool(brief.agent.greeting) and not brief.history
        talk = TroubledTalk(emit, self._troubles, self._witness)
        async with self._engine.open(brief, talk.emit) as talk.engine:
            yield talk

    async def speak(self, text: str, agent: Agent) -> Spoken:
        """The engine's own voice."""
        return await self._engine.speak(text, agent)


class TroubledTalk:
    """Passes on what the engine says and is told; a talk in trouble is silent and deaf."""

    engine: Talk

    def __init__(self, emit: Emit, troubles: Mapping[int, str], witness: Witness) -> None:
        self._emit = emit
        self._troubles = troubles
        self._witness = witness
        self._made: dict[TurnId, int] = {}  # bytes of each turn so far
        self._again: dict[TurnId, list[EngineEvent]] = {}  # turns that will be said twice
        self._silent = False

    def do(self, command: EngineCommand, now_ms: int) -> None:
        """Take a command."""
        self._witness.told(command)
        if not self._silent:
            self.engine.do(command, now_ms)

    async def hear_out(self) -> None:
        """As the engine does it."""
        if not self._silent:
            await self.engine.hear_out()

    def emit(self, event: EngineEvent) -> None:
        """The engine says this."""
        if self._silent:
            return
        self._say(event)
        if not isinstance(event, TurnStarted | TurnText | TurnAudio | TurnEnded):
            return
        match self._troubles.get(self._witness.turns.get(event.turn_id, 0)):
            case "stall":
                self._silent = True
            case "die" if isinstance(event, TurnAudio | TurnEnded):
                self._say(DIED)
                self._silent = True
            case "twice":
                self._keep(event)
            case _:
                pass

    def _say(self, event: EngineEvent) -> None:
        witness = self._witness
        if isinstance(event, TurnStarted):
            witness.turns.setdefault(event.turn_id, len(witness.turns) + 1)
        if isinstance(event, TurnAudio) and event.turn_id in witness.turns:
            position = self._made.get(event.turn_id, 0)
            self._made[event.turn_id] = position + len(event.frame.data)
            frame = marked(event.frame, witness.turns[event.turn_id], position)
            event = TurnAudio(event.turn_id, frame)
        witness.said.append((whole(witness.exact_ms()), event))
        self._emit(event)

    def _keep(self, event: TurnStarted | TurnText | TurnAudio | TurnEnded) -> None:
        again = TurnId(f"{event.turn_id}.again")
        kept = self._again.setdefault(event.turn_id, [])
        match event:
            case TurnStarted():
                kept.append(TurnStarted(again))
            case TurnText(_, text, start_ms):
                kept.append(TurnText(again, text, start_ms))
            case TurnAudio(_, frame):
                kept.append(TurnAudio(again, frame))
            case TurnEnded():
                for late in (*kept, TurnEnded(again)):
                    self._say(late)


def troubled_redis(server: FakeServer, faults: Sequence[Fault], now_ms: Callable[[], int]) -> Redis:
    """A client of a Redis in this process, with the patience of the client of a real one."""
    troubles = [f for f in faults if isinstance(f, RedisSlow | RedisAway | RedisFailover)]

    class Connection(FakeAsyncRedisConnection):
        async def send_packed_command(
            self, command: bytes | str | Iterable[bytes], check_health: bool = True
        ) -> None:
            parts = [command.encode()] if isinstance(command, str) else command
            packed = parts if isinstance(parts, bytes) else b"".join(parts)
            for trouble in troubles:
                await _suffer(trouble, packed, now_ms())
            await super().send_packed_command(packed, check_health)

    client: Redis = FakeAsyncRedis(
        server=server,
        decode_responses=True,
        connection_class=Connection,
        retry=Retry(ExponentialBackoff(cap=0.1, base=0.01), RETRIES),
        retry_on_error=[RedisConnectionError, RedisTimeoutError],
    )
    return client


async def _suffer(
    trouble: RedisSlow | RedisAway | RedisFailover, command: bytes, now_ms: int
) -> None:
    match trouble:
        case RedisSlow(late_ms):
            if now_ms < 0:
                return  # the service is only starting
            await asyncio.sleep(min(late_ms / 1000, ANSWER_TIMEOUT_S))
            if late_ms / 1000 >= ANSWER_TIMEOUT_S:
                raise RedisTimeoutError("no answer in time")
        case RedisAway(from_ms, to_ms):
            if from_ms <= now_ms < to_ms:
                raise RedisConnectionError("connection refused")
        case RedisFailover(at_ms):
            if at_ms <= now_ms < at_ms + GONE_MS:
                raise RedisConnectionError("connection refused")
            until_ms = at_ms + GONE_MS + READ_ONLY_MS
            if at_ms <= now_ms < until_ms and _WRITES.search(command):
                raise ReadOnlyError("You can't write against a read only replica.")
