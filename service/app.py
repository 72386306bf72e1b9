"""The composition root: the one place that knows every part and joins them.

The clock, the source of ids and the way to the carriers come from outside, so that a whole
service can run in one process on virtual time.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import anyio.lowlevel
import httpx
import structlog
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import BaseRoute, WebSocketRoute

from providers.base import Provider
from providers.catalog import catalog
from service.agents import AgentBook
from service.ai.base import Engine
from service.ai.openai.access import Access as OpenAIAccess
from service.bridge.endpoint import MediaEndpoint
from service.bridge.exchange import Exchange
from service.bridge.pacer import Ticker
from service.bridge.sentences import OwnVoice, Sentences
from service.bridge.shared import Shared
from service.calls import probes, webhooks
from service.calls.access import Access
from service.calls.admission import Admission
from service.calls.api import Api
from service.calls.control import Control
from service.calls.desk import Desk
from service.calls.drain import Drain
from service.calls.errands import Errands
from service.calls.guard import Guard
from service.calls.journal import Journal
from service.calls.mailbox import Letter, Mailbox
from service.calls.metrics import Metrics
from service.calls.phases import Limits as Patience
from service.calls.placing import Placing
from service.calls.problems import exception_handlers
from service.calls.reception import Reception
from service.calls.redis import open_redis
from service.calls.store import CallStore
from service.calls.sweep import Leases, Sweep
from service.calls.tape import Tape
from service.cassettes.recorder import Recorder
from service.cassettes.shelf import Policy
from service.clock import Clock, Ids
from service.core.calls import CallId
from service.core.events import HangUpRequested
from service.engines import MUTE, Engines, lacks
from service.page import routes as page
from service.settings import Settings
from service.tools import Tools

CARRIER_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
AGENTS_EVERY_S = 2.0
ERRANDS_TIMEOUT_S = 5.0
JOURNAL_TIMEOUT_S = 5.0
RESTART_AFTER_S = 1.0
Job = Callable[[], Awaitable[None]]
AroundEngine = Callable[[Engine], Engine]

log = structlog.get_logger(__name__)


async def reach_store(settings: Settings) -> None:
    """Raise StoreAway unless the store can be used."""
    clock = Clock()
    store = CallStore(open_redis(settings.redis_url), clock, Ids(clock), limits=_patience(settings))
    try:
        await store.ping()
    finally:
        await store.close()


def create_app(
    settings: Settings,
    *,
    clock: Clock | None = None,
    ids: Ids | None = None,
    carrier_transport: httpx.AsyncBaseTransport | None = None,
    redis: Redis | None = None,
    around_engine: AroundEngine | None = None,
    engines: Mapping[str, Engine] | None = None,
    own_voice: OwnVoice | None = None,
    openai: OpenAIAccess | None = None,
    tools: Tools | None = None,
) -> Starlette:
    """The service. ConfigError when agents or carriers are described wrongly.

    `redis`: a client in place of the one to REDIS_URL; `around_engine`: what each engine is used
    through. `engines`: all there are, by name, in place of the service's own, which then do not
    start; `own_voice` then says what is kept ready for their troubles. `openai` and `tools`: other
    ways to OpenAI, and to what agents use, than the network.
    `await app.state.drain(seconds)` lets its calls come to an end.
    """
    clock = clock or Clock()
    service = _Service(
        settings,
        clock,
        ids or Ids(clock),
        carrier_transport,
        redis=redis or open_redis(settings.redis_url),
        around_engine=around_engine or _as_it_is,
        engines=engines,
        sentences=Sentences(own_voice),
        openai=openai,
        tools=tools,
    )
    app = Starlette(
        routes=service.routes(), lifespan=service.lifespan, exception_handlers=exception_handlers
    )
    # A redirect would be made of what the client says of itself, and lose a key or a signature.
    app.router.redirect_slashes = False
    app.state.drain = service.drain
    return app


class _Service:
    """All parts of one process, joined."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        ids: Ids,
        carrier_transport: httpx.AsyncBaseTransport | None,
        *,
        redis: Redis,
        around_engine: AroundEngine,
        engines: Mapping[str, Engine] | None,
        sentences: Sentences,
        openai: OpenAIAccess | None,
        tools: Tools | None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._ids = ids
        self._instance = ids.new("instance")
        self._providers = catalog(settings)
        self._agents = AgentBook(settings.callbridge_agents)
        self._agents.load()
        self._metrics = Metrics()
        self._errands = Errands()
        self._access = Access(settings.callbridge_api_keys)
        self._http = httpx.AsyncClient(transport=carrier_transport, timeout=CARRIER_TIMEOUT)
        self._recorder = self._make_recorder()
        self._tape = Tape(self._recorder)
        self._store = CallStore(
            redis,
            clock,
            ids,
            limits=_patience(settings),
            ttl_days=1 if settings.embedded else settings.callbridge_call_ttl_days,
            told=self._tape.wrote,
        )
        self._journal = Journal(self._store, self._metrics)
        self._control = Control(self._http, self._providers, self._metrics, self._tape)
        self._mailbox = Mailbox(self._store, instance=self._instance, deliver=self._deliver)
        self._desk = Desk(
            self._store,
            agents=self._agents,
            clock=clock,
            ids=ids,
            metrics=self._metrics,
            stream_base=settings.stream_base,
            max_call_s=settings.callbridge_max_call_seconds,
        )
        self._sentences = sentences
        self._tools = tools or _tools(settings)
        access = openai or access_to_openai(settings)
        self._own = Engines(ids.new, access, self._tools) if engines is None else None
        given = self._own.by_name if self._own is not None else engines or {}
        self._lacks = lacks(access)
        self._lacking: list[str] = []  # as was said last
        self._ticker = Ticker(self._lagged)
        self.exchange = Exchange(
            self._shared(),
            agents=self._agents,
            engines={name: around_engine(engine) for name, engine in given.items()},
            recorder=self._recorder,
        )
        self.admission = Admission(
            max_calls=settings.callbridge_max_calls,
            max_loop_lag_ms=settings.callbridge_max_loop_lag_ms,
            live=self.exchange.live_ids,
            now_ms=clock.now_ms,
        )
        self._drain = Drain(self._store, self._control, admission=self.admission, clock=clock)

    # What the process answers to ---------------------------------------------------------------

    def routes(self) -> list[BaseRoute]:
        """Webhooks, media sockets, the API, probes and the page."""
        return [
            *webhooks.routes(
                self._providers, reception=self._reception(), gate=self._gate(), tape=self._tape
            ),
            *self._sockets(),
            *self._api().routes(),
            *probes.routes(self._store, self._metrics, draining=self._draining),
            *page.routes(),
        ]

    def _sockets(self) -> list[BaseRoute]:
        return [
            WebSocketRoute(path, self._endpoint(provider))
            for name, provider in self._providers.items()
            for path in (f"/{name}/stream", f"/{name}/stream/{{token}}")
        ]

    def _endpoint(self, provider: Provider) -> MediaEndpoint:
        return MediaEndpoint(
            provider,
            exchange=self.exchange,
            desk=self._desk,
            access=self._access,
            admission=self.admission,
            mailbox=self._mailbox,
            start_timeout_ms=self._settings.callbridge_start_timeout_ms,
            insecure=self._settings.callbridge_insecure,
        )

    def _gate(self) -> webhooks.Gate:
        return webhooks.Gate(
            max_body_bytes=self._settings.callbridge_max_body_bytes,
            max_form_fields=self._settings.callbridge_max_form_fields,
            insecure=self._settings.callbridge_insecure,
            now_s=lambda: self._clock.utc().timestamp(),
        )

    def _reception(self) -> Reception:
        return Reception(
            desk=self._desk,
            control=self._control,
            journal=self._journal,
            mailbox=self._mailbox,
            errands=self._errands,
            admission=self.admission,
            clock=self._clock,
            metrics=self._metrics,
            attach_ms=self._settings.callbridge_attach_timeout_ms,
            reattach_ms=self._settings.callbridge_reattach_ms,
        )

    def _api(self) -> Api:
        guard = Guard(self._access, max_body_bytes=self._settings.callbridge_max_body_bytes)
        placing = Placing(
            desk=self._desk,
            control=self._control,
            journal=self._journal,
            providers=self._providers,
            agents=self._agents,
            admission=self.admission,
            mailbox=self._mailbox,
            attach_ms=self._settings.callbridge_attach_timeout_ms,
            clock=self._clock,
            max_call_s=self._settings.callbridge_max_call_seconds,
        )
        return Api(
            store=self._store,
            guard=guard,
            placing=placing,
            control=self._control,
            mailbox=self._mailbox,
            agents=self._agents,
            clock=self._clock,
            ids=self._ids,
            closing=self._draining,
            mute_engines=MUTE,
            tape=self._tape,
        )

    def _make_recorder(self) -> Recorder:
        settings = self._settings
        folder = settings.callbridge_cassettes
        policy = None
        if folder is not None:
            policy = Policy(
                folder=folder,
                sound=settings.callbridge_cassette_audio,
                redact=settings.callbridge_cassette_redact,
            )
        return Recorder(
            policy,
            now_ms=self._clock.now_ms,
            utc=self._clock.utc,
            count_result=lambda result: self._metrics.cassettes.labels(result).inc(),
        )

    # Live calls --------------------------------------------------------------------------------

    def _shared(self) -> Shared:
        return Shared(
            instance=self._instance,
            clock=self._clock,
            ids=self._ids,
            ticker=self._ticker,
            store=self._store,
            journal=self._journal,
            control=self._control,
            metrics=self._metrics,
            sentences=self._sentences,
            tools=self._tools,
            lead_ms=self._settings.callbridge_lead_ms,
            reattach_ms=self._settings.callbridge_reattach_ms,
            max_call_ms=self._settings.callbridge_max_call_seconds * 1000,
        )

    def _draining(self) -> bool:
        return self.admission.draining

    def _deliver(self, call_id: CallId, event: Letter) -> None:
        self.exchange.deliver(call_id, event)

    def _lagged(self, seconds: float) -> None:
        self._metrics.lagged(seconds)
        self.admission.lagged(seconds)

    # The process's life ------------------------------------------------------------------------

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Everything that runs beside the requests, from start to stop."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._store.close)
            await stack.enter_async_context(self._http)
            await stack.enter_async_context(self._tools)
            if self._own is not None:
                await stack.enter_async_context(self._own)
                self._sentences.own_voice = self._own.own_voice
            await self._sentences.prepare(self._agents)
            await (
                anyio.lowlevel.checkpoint()
            )  # loads what the first hang-up would otherwise wait 50 ms for
            stack.push_async_callback(self._recorder.close)
            tasks = [asyncio.create_task(_keep_up(job)) for job in self._jobs()]
            stack.push_async_callback(_stop, tasks)
            self._say_ready()
            yield
            await self.drain(0)
            await self._errands.finish(ERRANDS_TIMEOUT_S)
            await self._finish_journal()

    async def drain(self, seconds: float) -> None:
        """Take no more calls, give those we have this long to end, then hang them up."""
        if not self.admission.draining and seconds:
            log.info("Draining", live=len(self.exchange.live_ids()), seconds=seconds)
        self.admission.draining = True
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        await self._drain.wait(seconds)
        left_s = max(0.0, until - loop.time())
        await asyncio.gather(self._drain.end(), self.exchange.drain(left_s))

    def _jobs(self) -> list[Job]:
        lease_ms = self._settings.callbridge_lease_ms
        jobs: list[Job] = [
            self._ticker.run,
            self._journal.run,
            self._recorder.run,
            self._sweep(lease_ms).run,
            self._leases(lease_ms).run,
            self._watch_agents,
        ]
        if not self._settings.embedded:  # the embedded store has no other instance to write to us
            jobs.append(self._mailbox.run)
        return jobs

    def _sweep(self, lease_ms: int) -> Sweep:
        return Sweep(
            self._store,
            self._control,
            clock=self._clock,
            metrics=self._metrics,
            lease_ms=lease_ms,
        )

    def _leases(self, lease_ms: int) -> Leases:
        return Leases(
            self._store,
            clock=self._clock,
            lease_ms=lease_ms,
            held_ids=self.exchange.held_ids,
            ended_elsewhere=lambda call_id: self._deliver(
                call_id, HangUpRequested("ended_elsewhere", "carrier")
            ),
        )

    async def _watch_agents(self) -> None:
        while True:
            await asyncio.sleep(AGENTS_EVERY_S)
            faults = await asyncio.to_thread(self._agents.refresh)
            if faults:
                log.warning("Agent files cannot be used, the old ones stay", faults=faults)
            await self._sentences.prepare(self._agents)
            self._say_lacking()

    def _say_lacking(self) -> None:
        """Once, until other files say otherwise."""
        found = [] if self._own is None else self._agents.lacking(self._lacks)
        if found != self._lacking:
            for where in found:
                log.warning("An agent's engine cannot be used", where=where)
        self._lacking = found

    async def _finish_journal(self) -> None:
        try:
            async with asyncio.timeout(JOURNAL_TIMEOUT_S):
                await self._journal.flush()
        except TimeoutError:
            log.error("Events were not written, since the store is away")

    def _say_ready(self) -> None:
        settings = self._settings
        self._say_lacking()
        log.info(
            "Ready", carriers=[n for n, p in self._providers.items() if p.webhooks is not None]
        )
        if settings.embedded:
            log.warning("The embedded store forgets every call when this process ends")
        if self._access.open_to_loopback:
            log.warning("No API key is set: the REST API answers this machine only")
        if settings.callbridge_insecure:
            log.warning("CALLBRIDGE_INSECURE: webhooks and sockets are let in unsigned")


async def _keep_up(job: Job) -> None:
    """Run a job that never ends; one that fails is logged and begun again."""
    while True:
        try:
            await job()
        except Exception:
            log.exception("A job of the service failed and is begun again")
        await asyncio.sleep(RESTART_AFTER_S)


async def _stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _as_it_is(engine: Engine) -> Engine:
    return engine


def _patience(settings: Settings) -> Patience:
    return Patience(
        attach_ms=settings.callbridge_attach_timeout_ms,
        reattach_ms=settings.callbridge_reattach_ms,
        lease_ms=settings.callbridge_lease_ms,
    )


def access_to_openai(settings: Settings) -> OpenAIAccess:
    """The way to OpenAI, or to another server like it, that the settings say."""
    return OpenAIAccess(
        key=settings.openai_api_key,
        url=settings.openai_base_url,
        secrets=settings.callbridge_secrets,
    )


def _tools(settings: Settings) -> Tools:
    return Tools(
        secrets=settings.callbridge_secrets, private_hosts=settings.callbridge_private_hosts
    )
