"""The slow life of one instance, put together as the composition root does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from redis.asyncio import Redis
from starlette.applications import Starlette

from providers.base import Provider
from service.agents import AgentBook
from service.calls import probes, webhooks
from service.calls.access import Access
from service.calls.admission import Admission
from service.calls.api import Api
from service.calls.control import Control
from service.calls.desk import Desk
from service.calls.errands import Errands
from service.calls.guard import Guard
from service.calls.journal import Journal
from service.calls.mailbox import Letter, Mailbox
from service.calls.metrics import Metrics
from service.calls.phases import Limits
from service.calls.placing import Placing
from service.calls.problems import exception_handlers
from service.calls.reception import Reception
from service.calls.store import CallStore
from service.calls.sweep import Sweep
from service.clock import Ids
from service.core.calls import CallId
from tests.calls.fakes import FakeCarrierApi, fake_provider
from tests.calls.samples import StoppedClock

LIMITS = Limits()
AGENTS = Path(__file__).parent / "agents"


def make_store(redis: Redis, clock: StoppedClock) -> CallStore:
    """A store as one instance has it."""
    return CallStore(redis, clock, Ids(clock), limits=LIMITS)


class House:
    """One instance: everything but media."""

    def __init__(
        self,
        redis: Redis,
        clock: StoppedClock,
        *,
        instance: str = "A",
        keys: dict[str, str] | None = None,
        carrier: FakeCarrierApi | None = None,
        max_body_bytes: int = 10_000,
        insecure: bool = False,
    ) -> None:
        self.clock = clock
        self.carrier = carrier or FakeCarrierApi()
        self.told: list[tuple[CallId, Letter]] = []
        self.heard = asyncio.Event()
        self.draining = False
        providers: dict[str, Provider] = {
            "acme": fake_provider("acme"),
            "bolt": fake_provider("bolt", by_flow=True),
        }
        ids, agents = Ids(clock), AgentBook(AGENTS)
        agents.load()
        self.metrics = Metrics()
        self.talking: list[CallId] = []
        self.admission = Admission(
            max_calls=50,
            max_loop_lag_ms=100,
            live=lambda: self.talking,
            now_ms=lambda: int(clock.utc().timestamp() * 1000),
        )
        self.store = make_store(redis, clock)
        self.journal = Journal(self.store, self.metrics)
        self.http = httpx.AsyncClient(transport=httpx.MockTransport(self.carrier))
        self.control = Control(self.http, providers, self.metrics)
        self.mailbox = Mailbox(
            self.store,
            instance=instance,
            deliver=self._deliver,
        )
        self.errands = Errands()
        self.desk = Desk(
            self.store,
            agents=agents,
            clock=clock,
            ids=ids,
            metrics=self.metrics,
            stream_base="wss://bridge.test",
            max_call_s=3600,
        )
        self.sweep = Sweep(
            self.store,
            self.control,
            clock=clock,
            metrics=self.metrics,
            lease_ms=LIMITS.lease_ms,
        )
        reception = Reception(
            desk=self.desk,
            control=self.control,
            journal=self.journal,
            mailbox=self.mailbox,
            errands=self.errands,
            admission=self.admission,
            clock=clock,
            metrics=self.metrics,
            attach_ms=LIMITS.attach_ms,
            reattach_ms=LIMITS.reattach_ms,
        )
        gate = webhooks.Gate(
            max_body_bytes=max_body_bytes,
            max_form_fields=200,
            insecure=insecure,
            now_s=lambda: clock.utc().timestamp(),
        )
        guard = Guard(Access(keys or {}), max_body_bytes=max_body_bytes)
        placing = Placing(
            desk=self.desk,
            control=self.control,
            journal=self.journal,
            providers=providers,
            agents=agents,
            admission=self.admission,
            mailbox=self.mailbox,
            attach_ms=LIMITS.attach_ms,
            clock=clock,
            max_call_s=3600,
        )
        api = Api(
            store=self.store,
            guard=guard,
            placing=placing,
            control=self.control,
            mailbox=self.mailbox,
            agents=agents,
            clock=clock,
            ids=ids,
            closing=lambda: self.draining,
            mute_engines=frozenset({"loopback"}),
        )
        self.app = Starlette(
            routes=[
                *webhooks.routes(providers, reception=reception, gate=gate),
                *api.routes(),
                *probes.routes(self.store, self.metrics, draining=lambda: self.draining),
            ],
            exception_handlers=exception_handlers,
        )

    def _deliver(self, call_id: CallId, event: Letter) -> None:
        self.told.append((call_id, event))
        self.heard.set()

    def client(self, address: str = "127.0.0.1") -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, client=(address, 50_000))
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")

    def fill(self) -> None:
        """As many calls as there is room for are talking."""
        self.talking = [CallId(f"call_{number}") for number in range(50)]

    async def events(self, call_id: str) -> list[str]:
        return [event.type for event in await self.store.entries(call_id)]


@asynccontextmanager
async def at_work(house: House, *, reads_mail: bool = False) -> AsyncIterator[House]:
    """With its tasks running."""
    tasks = [asyncio.create_task(house.journal.run())]
    if reads_mail:
        tasks.append(asyncio.create_task(house.mailbox.run()))
    try:
        yield house
    finally:
        await house.errands.finish(5)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await house.http.aclose()
