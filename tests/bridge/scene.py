"""One instance's live half on virtual time, over a store that may be shared with another's."""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ParamSpec

import httpx
from msgspec.structs import replace
from redis.asyncio import Redis

from providers.base import Provider
from service.agents import Agent, AgentBook
from service.ai.spoken import Spoken
from service.bridge.bridge import Bridge
from service.bridge.exchange import Exchange
from service.bridge.pacer import Ticker
from service.bridge.sentences import Sentences
from service.bridge.shared import Shared
from service.calls.control import Control
from service.calls.journal import Journal
from service.calls.metrics import Metrics
from service.calls.phases import Limits
from service.calls.records import Event
from service.calls.redis import open_redis
from service.calls.store import CallStore
from service.clock import Clock, Ids
from service.core.audio import PCMU_8K, AudioFrame, MediaFormat, Party
from service.core.calls import Call
from service.core.events import MediaReceived, StreamStarted
from service.core.turns import PastTurn
from service.replay import virtual
from service.tools import Tools
from tests.bridge.fakes import FakeCarrier, FakeEngine
from tests.calls.fakes import FakeCarrierApi, fake_provider
from tests.calls.samples import START, inbound

SORRY = b"\x00\x01" * 8160  # 1020 ms of PCM16: whole frames
REATTACH_MS = 5000

P = ParamSpec("P")


async def _sorry(_text: str, _agent: Agent) -> Spoken:
    return Spoken(SORRY)


def on_virtual_time(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Hours pass in no time; a test that would wait for ever fails."""

    @functools.wraps(test)
    def played(*args: P.args, **kwargs: P.kwargs) -> None:
        async def main() -> None:
            await test(*args, **kwargs)

        virtual.run(main())

    return played


def started(
    line: MediaFormat = PCMU_8K, *, call: str = "CA1", stream: str = "MZ1"
) -> StreamStarted:
    return StreamStarted(stream, call, line, {})


def heard(start_ms: int = 0, *, data: bytes = b"\xff" * 160) -> MediaReceived:
    return MediaReceived(AudioFrame(data, PCMU_8K, start_ms, 20, Party.REMOTE), 1)


class Scene:
    """What a test has at hand."""

    def __init__(self, redis: Redis, instance: str, folder: Path, **agent: Any) -> None:
        self.engine = FakeEngine()
        self.second = FakeEngine("offline")  # where the agent's file names a fallback
        self.api = FakeCarrierApi()
        self.clock = Clock(START)
        ids = Ids(self.clock)
        self.metrics = Metrics()
        self.store = CallStore(redis, self.clock, ids, limits=Limits())
        self.journal = Journal(self.store, self.metrics)
        self.agents = AgentBook(folder)
        folder.mkdir(exist_ok=True)
        lines = {"name": "default", "engine": self.engine.name} | agent
        folder.joinpath("default.yaml").write_text(
            "".join(f"{key}: {value}\n" for key, value in lines.items())
        )
        self.agents.load()
        self.provider: Provider = fake_provider()
        self.http = httpx.AsyncClient(transport=httpx.MockTransport(self.api))
        self.ticker = Ticker(lambda _lag: None)
        self.shared = Shared(
            instance=instance,
            clock=self.clock,
            ids=ids,
            ticker=self.ticker,
            store=self.store,
            journal=self.journal,
            control=Control(self.http, {"acme": self.provider}, self.metrics),
            metrics=self.metrics,
            sentences=Sentences(_sorry),
            tools=Tools(secrets={}),
            lead_ms=200,
            reattach_ms=REATTACH_MS,
            max_call_ms=3_600_000,
        )
        self.exchange = Exchange(
            self.shared,
            agents=self.agents,
            engines={engine.name: engine for engine in (self.engine, self.second)},
        )
        self.sockets: list[asyncio.Task[None]] = []

    async def announced(self, **changes: Any) -> Call:
        """A call that waits for its socket."""
        return (await self.store.create(inbound(agent="default", **changes))).call

    def open(
        self, call: Call, *, tells_end: bool = False, history: Sequence[PastTurn] = ()
    ) -> Bridge:
        provider = replace(self.provider, tells_end=tells_end)
        return self.exchange.open(call, provider, history)

    def plug(self, bridge: Bridge, start: StreamStarted | None = None) -> FakeCarrier:
        """A socket of the carrier's, carried by the bridge."""
        carrier = FakeCarrier()
        serving = bridge.serve(carrier, carrier, start or started())
        self.sockets.append(asyncio.create_task(serving))
        return carrier

    async def live(self, **changes: Any) -> tuple[Bridge, FakeCarrier]:
        """A call that has begun."""
        bridge = self.open(await self.announced(**changes))
        carrier = self.plug(bridge)
        await asyncio.sleep(0.01)
        return bridge, carrier

    async def record(self, bridge: Bridge) -> tuple[Event, ...]:
        await self.journal.flush()
        return await self.store.record(bridge.call.call_id)

    async def story(self, bridge: Bridge) -> list[str]:
        return [event.type for event in await self.record(bridge)]

    async def end(self, bridge: Bridge) -> dict[str, Any]:
        """How the call ended, once it has."""
        for _ in range(60_000 // 20):
            if bridge.call.call_id not in self.exchange.held_ids():
                break
            await asyncio.sleep(0.02)
        [last] = [e for e in await self.record(bridge) if e.type == "call.ended"]
        return last.data


@asynccontextmanager
async def scene(
    tmp_path: Path, *, redis: Redis | None = None, instance: str = "A", **agent: Any
) -> AsyncIterator[Scene]:
    """An instance whose agent is described by `agent`."""
    here = Scene(redis or open_redis("embedded://"), instance, tmp_path / instance, **agent)
    await here.shared.sentences.prepare(here.agents)
    jobs = [asyncio.create_task(job()) for job in (here.ticker.run, here.journal.run)]
    try:
        yield here
    finally:
        await here.exchange.drain(0)
        for job in [*jobs, *here.sockets]:
            job.cancel()
        await asyncio.gather(*jobs, *here.sockets, return_exceptions=True)
        await here.http.aclose()
