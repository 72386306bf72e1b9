"""One call of a cassette, played on virtual time with faults in it: what came of it as evidence.

The whole service runs in this process and is stopped at the end, or in the middle when the fault
is that it is told to stop. Nothing is judged here: `invariants.py` does that.
"""

import asyncio
import random
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import httpx
from fakeredis import FakeAsyncRedis, FakeServer
from redis.asyncio import Redis
from starlette.applications import Starlette

from service.ai.base import Engine
from service.calls.phases import Limits
from service.calls.redis import ANSWER_TIMEOUT_S
from service.calls.store import CallStore
from service.cassettes.cassette import Cassette, Happening, Line
from service.clock import Clock, Ids
from service.core.calls import Call, CallState
from service.core.errors import UnknownCall
from service.replay.carrier import RecordedCarrier
from service.replay.disturb import disturb, is_frame
from service.replay.ear import Ears, marks_of
from service.replay.engines import engines_for
from service.replay.faults import (
    EngineTrouble,
    Fault,
    Faults,
    Marks,
    RedisAway,
    RedisFailover,
    RedisSlow,
    Sigterm,
)
from service.replay.invariants import DEAD_AIR_MS, STALLED_MS, Entry, Evidence, Left
from service.replay.player import Player
from service.replay.playing import LateCarrier, hand_for
from service.replay.recorded_engine import RecordedEngine, needs_no_engine
from service.replay.stage import (
    AUTH_TOKEN,
    EPOCH,
    PUBLIC_URL,
    SEED,
    inside,
    only_errors_logged,
    open_service,
    stage_time,
)
from service.replay.trouble import (
    GONE_MS,
    READ_ONLY_MS,
    TroubledEngine,
    Witness,
    troubled_redis,
    whole,
)
from service.replay.virtual import VirtualLoop
from service.twin.socket import Dial, Socket, UpgradeRefused, dial_app

LIVE = "callbridge:calls:live"  # interface, 6
DRAIN_S = 2.0
SETTLED_WITHIN_S = 90
"""However a call was lost, it is found by its lease and ended within a minute (interface, 6)."""

AFTERWARDS_S = 5.0
"""Until tasks that end with a call have ended."""

FOR_EVER_MS = 10**9


def try_out(cassette: Cassette, faults: Faults, *, agents: Path) -> Evidence:
    """Play the call with these faults."""
    disturbed = disturb(cassette, faults)
    with only_errors_logged(), asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(
            _Trial(disturbed, (*faults.faults, *marks_of(cassette.header)), agents).run()
        )


class _Trial:
    def __init__(self, cassette: Cassette, faults: tuple[Fault, ...], agents: Path) -> None:
        self._cassette = cassette
        self._faults = faults
        self._agents = agents
        self._server = FakeServer()
        self._clock = Clock(EPOCH)
        self._carrier = LateCarrier()
        self._began_s: float | None = None
        self._began_at = EPOCH
        self._witness = Witness(self._exact_ms)
        self._told_to_stop = asyncio.Event()
        self._stopped_ms: int | None = None
        self._store = CallStore(
            _plain_client(self._server), self._clock, Ids(self._clock), limits=Limits()
        )

    async def run(self) -> Evidence:
        """From the service's start to its stop."""
        ready: asyncio.Future[Starlette] = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(self._serve(ready), name="replay")
        serving.add_done_callback(lambda _: ready.cancel())
        try:
            return await self._play(await ready, serving)
        finally:
            self._told_to_stop.set()
            await serving
            await self._store.close()

    async def _serve(self, ready: "asyncio.Future[Starlette]") -> None:
        lines = self._cassette.lines
        recorded = needs_no_engine(lines) or not any(map(is_frame, lines))  # or nothing to hear
        engine = RecordedEngine(lines) if recorded else None
        service = open_service(
            agents=self._agents,
            carriers=self._carrier,
            chance=random.Random(SEED),
            redis=troubled_redis(self._server, self._faults, self._now_ms),
            around_engine=self._around,
            engines=engines_for(self._cassette, self._agents, engine),
        )
        async with service as app:
            ready.set_result(app)
            await self._told_to_stop.wait()
            await app.state.drain(DRAIN_S)

    def _around(self, engine: Engine) -> Engine:
        return TroubledEngine(engine, self._faults, self._witness)

    def _now_ms(self) -> int:
        """Since the call began; before that, negative."""
        return -1 if self._began_s is None else whole(self._exact_ms())

    def _exact_ms(self) -> float:
        """The same to the microsecond: in which order things happen of which one is the cause."""
        return (asyncio.get_running_loop().time() - (self._began_s or 0.0)) * 1000

    async def _play(self, app: Starlette, serving: "asyncio.Task[None]") -> Evidence:
        door = _Door(serving)
        before = {*asyncio.all_tasks()}
        self._began_s = asyncio.get_running_loop().time()
        self._began_at = stage_time()
        ears = Ears(door.dial(dial_app(app)), self._faults, self._exact_ms)
        stopping = [asyncio.create_task(self._stop_at(f.at_ms), name="replay") for f in self._stops]
        async with (
            inside(app) as service,
            httpx.AsyncClient(transport=door.transport(app), base_url=PUBLIC_URL) as http,
        ):
            hand = hand_for(self._cassette, http, stage_time, auth_token=AUTH_TOKEN)
            player = Player(self._cassette, hand, http=http, dial=ears.dial, public_url=PUBLIC_URL)
            self._carrier.app = RecordedCarrier(self._cassette, player.commanded)
            with suppress(httpx.HTTPError):  # of its last question, for what is in the store
                await player.play(stage_time)
            await self._settle()
            metrics = "" if serving.done() else (await service.get("/metrics")).text
            if stopping:
                await asyncio.wait([*stopping, serving])
        return await self._evidence(player.lines, ears, _left_over(before), metrics)

    @property
    def _stops(self) -> list[Sigterm]:
        return [fault for fault in self._faults if isinstance(fault, Sigterm)]

    @property
    def _away(self) -> list[tuple[int, int]]:
        return [window for fault in self._faults for window in _away(fault)]

    async def _stop_at(self, at_ms: int) -> None:
        await asyncio.sleep(at_ms / 1000)
        self._stopped_ms = self._now_ms()
        self._told_to_stop.set()

    async def _settle(self) -> None:
        """Give everything the time that it may take; while Redis is away nothing gets on."""
        for _, to_ms in self._away:
            if to_ms < FOR_EVER_MS:
                await asyncio.sleep(max(0, to_ms - self._now_ms()) / 1000)
        for _ in range(SETTLED_WITHIN_S):
            if all(call.state is CallState.ENDED for call in await self._calls()):
                break
            await asyncio.sleep(1)
        await asyncio.sleep(AFTERWARDS_S)

    async def _calls(self) -> tuple[Call, ...]:
        return (await self._store.list()).calls

    async def _evidence(
        self, lines: list[Line], ears: Ears, tasks: tuple[str, ...], metrics: str
    ) -> Evidence:
        witness = self._witness
        calls = await self._calls()
        return Evidence(
            lines=[line for line in lines if line.lane != "store"],
            calls=calls,
            entries={call.call_id: await self._entries(call) for call in calls},
            wire=ears.events,
            heard=ears.heard(),
            said=witness.said,
            turns=witness.turns,
            interrupted=witness.interrupted,
            greets=witness.greets,
            dead_air_ms=STALLED_MS if any(map(_stalls, self._faults)) else DEAD_AIR_MS,
            honest_marks=not any(isinstance(fault, Marks) for fault in self._faults),
            away=self._away,
            stopped_ms=self._stopped_ms,
            left=await self._left(calls, tasks, metrics),
        )

    async def _entries(self, call: Call) -> list[Entry]:
        events = await self._store.record(call.call_id)
        return [
            Entry(_ms_between(self._began_at, event.at), Happening(event.type, event.data))
            for event in events
        ]

    async def _left(self, calls: Iterable[Call], tasks: tuple[str, ...], metrics: str) -> Left:
        for_ever = any(to_ms == FOR_EVER_MS for _, to_ms in self._away)
        client = _plain_client(self._server)
        try:
            leases = int(await client.zcard(LIVE))
        finally:
            await client.aclose()
        return Left(
            tasks=tasks,
            live=_gauge(metrics, "callbridge_calls_live"),
            backlog=0 if for_ever else _gauge(metrics, "callbridge_journal_backlog"),
            leases=leases,
            tokens=sum([await self._has_token(call) for call in calls]),
        )

    async def _has_token(self, call: Call) -> bool:
        try:
            await self._store.token(call.call_id)
        except UnknownCall:
            return False
        return True


class _Door:
    """The way into the service; nobody answers there once it has stopped."""

    def __init__(self, serving: "asyncio.Task[None]") -> None:
        self._serving = serving

    def dial(self, dial: Dial) -> Dial:
        """A dial that finds nobody once the service has stopped."""

        async def dial_if_there(url: str, headers: Mapping[str, str]) -> Socket:
            if self._serving.done():
                raise UpgradeRefused(0)
            return await dial(url, headers)

        return dial_if_there

    def transport(self, app: Starlette) -> httpx.AsyncBaseTransport:
        """HTTP that finds nobody once the service has stopped."""
        serving = self._serving

        class Transport(httpx.ASGITransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                if serving.done():
                    raise httpx.ConnectError("connection refused")
                return await super().handle_async_request(request)

        return Transport(app)


def _plain_client(server: FakeServer) -> Redis:
    client: Redis = FakeAsyncRedis(server=server, decode_responses=True)
    return client


def _left_over(before: set["asyncio.Task[object]"]) -> tuple[str, ...]:
    """The names of the tasks that the call began and that still go on."""
    return tuple(
        task.get_name()
        for task in asyncio.all_tasks() - before
        if task is not asyncio.current_task() and task.get_name() != "replay"
    )


def _away(fault: Fault) -> list[tuple[int, int]]:
    match fault:
        case RedisAway(from_ms, to_ms):
            return [(from_ms, to_ms)]
        case RedisFailover(at_ms):
            return [(at_ms, at_ms + GONE_MS + READ_ONLY_MS)]
        case RedisSlow(late_ms) if late_ms >= ANSWER_TIMEOUT_S * 1000:
            return [(0, FOR_EVER_MS)]
        case _:
            return []


def _stalls(fault: Fault) -> bool:
    return isinstance(fault, EngineTrouble) and fault.how == "stall"


def _gauge(metrics: str, name: str) -> int:
    for line in metrics.splitlines():
        if line.startswith(f"{name} "):
            return int(float(line.split()[1]))
    return 0


def _ms_between(began_at: datetime, at: datetime) -> int:
    return round((at - began_at).total_seconds() * 1000)
