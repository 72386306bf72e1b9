"""A stage: the whole service and both carriers' twins in one process, wired to each other.

Nothing goes over the network, so it runs on virtual time; chance and ids come from a seed, so that
two runs are alike. Used by tests, the demo and replays.
"""

import logging
import random
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import structlog
from msgspec import Struct
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from service.agents import Agent, Voice
from service.ai.base import Engine
from service.ai.offline import speech
from service.ai.offline.espeak import Espeak
from service.ai.openai.access import Access
from service.ai.spoken import Spoken
from service.app import AroundEngine, create_app
from service.clock import Clock, Ids
from service.settings import Settings
from service.standin import KEY, Script, Standin, connect, transport
from service.tools import Tools
from service.twin.socket import dial_app
from service.twin.telnyx import TelnyxTwin
from service.twin.twilio import TwilioTwin

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
PUBLIC_URL = "http://127.0.0.1:8080"
ACCOUNT_SID = "AC" + "0" * 31 + "1"
AUTH_TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"  # noqa: S105  a carrier of our own knows it
TELNYX_KEY = "KEY-on-stage"
TELNYX_SEED = bytes(range(32))
TELNYX_PUBLIC_KEY = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
CONNECTION_ID = "1000000000000000001"
SEED = 1
"""Of what a replay leaves to chance."""

ENVIRONMENT = {
    "CALLBRIDGE_PUBLIC_URL": PUBLIC_URL,
    "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
    "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
    "TWILIO_API_BASE": "http://twilio.stage",
    "TELNYX_API_KEY": TELNYX_KEY,
    "TELNYX_PUBLIC_KEY": TELNYX_PUBLIC_KEY,
    "TELNYX_CONNECTION_ID": CONNECTION_ID,
    "TELNYX_API_BASE": "http://telnyx.stage/v2",
    "CALLBRIDGE_CASSETTES": "off",
}


class Stage(Struct, frozen=True):
    """What stands on it. `http` asks the service, as an operator on this machine."""

    app: Starlette
    http: httpx.AsyncClient
    twilio: TwilioTwin
    telnyx: TelnyxTwin


@asynccontextmanager
async def open_service(
    *,
    agents: Path,
    carriers: ASGIApp,
    settings: Mapping[str, str] | None = None,
    chance: random.Random,
    redis: Redis | None = None,
    around_engine: AroundEngine | None = None,
    engines: Mapping[str, Engine] | None = None,
    openai: Access | None = None,
    tools: Tools | None = None,
) -> AsyncIterator[Starlette]:
    """The service, started, with `carriers` as all that its REST commands can reach.

    `redis`, `around_engine`, `engines`, `openai` and `tools` as in `create_app`.
    """
    clock = Clock(EPOCH)
    app = create_app(
        Settings.load({**ENVIRONMENT, "CALLBRIDGE_AGENTS": str(agents), **(settings or {})}),
        clock=clock,
        ids=Ids(clock, chance.randbytes),
        carrier_transport=httpx.ASGITransport(carriers),
        redis=redis,
        around_engine=around_engine,
        engines=engines,
        own_voice=None if engines is None else _own_voice,
        openai=openai,
        tools=tools,
    )
    async with app.router.lifespan_context(app):
        yield app


async def _own_voice(text: str, agent: Agent) -> Spoken:
    """What the service's own engine would have said, without its processes."""
    return _spoken(text, agent.voice)


@cache
def _spoken(text: str, voice: Voice) -> Spoken:
    return speech.say(
        Espeak(),
        text,
        voice=voice.name,
        words_per_minute=voice.words_per_minute,
        pitch=voice.pitch,
    )


def inside(app: Starlette) -> httpx.AsyncClient:
    """A client that reaches the service without a network."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=PUBLIC_URL)


def stage_time() -> datetime:
    """The time of day on a stage."""
    return Clock(EPOCH).utc()


@asynccontextmanager
async def open_stage(
    *,
    agents: Path,
    agent: str = "",
    settings: Mapping[str, str] | None = None,
    seed: int = 1,
    twilio: Mapping[str, Any] | None = None,
    telnyx: Mapping[str, Any] | None = None,
    openai: Access | None = None,
    tools: Tools | None = None,
) -> AsyncIterator[Stage]:
    """The service, started, with twins that call it and that it can call.

    `settings` over those of the stage; `agent`: who is asked for by name when the twins call;
    `twilio` and `telnyx`: more arguments for the twins; `openai` and `tools` as in `create_app`.
    """
    asked = f"?agent={agent}" if agent else ""
    chance = random.Random(seed)
    carriers = _Carriers()
    service = open_service(
        agents=agents,
        carriers=carriers,
        settings=settings,
        chance=chance,
        openai=openai,
        tools=tools,
    )
    async with service as app, inside(app) as http:
        dial = dial_app(app)
        on_twilio = TwilioTwin(
            http,
            dial,
            account_sid=ACCOUNT_SID,
            auth_token=AUTH_TOKEN,
            voice_url=f"{PUBLIC_URL}/twilio/voice{asked}",
            chance=chance,
            utc=stage_time,
            **(twilio or {}),
        )
        on_telnyx = TelnyxTwin(
            http,
            dial,
            api_key=TELNYX_KEY,
            seed=TELNYX_SEED,
            connection_id=CONNECTION_ID,
            webhook_url=f"{PUBLIC_URL}/telnyx/webhook{asked}",
            chance=chance,
            utc=stage_time,
            **(telnyx or {}),
        )
        carriers.apps = {"twilio.stage": on_twilio.app, "telnyx.stage": on_telnyx.app}
        yield Stage(app, http, on_twilio, on_telnyx)


@asynccontextmanager
async def standing_in(script: Script) -> AsyncIterator[tuple[Standin, Access]]:
    """A stand-in for OpenAI, and the way to it, without a network: what `openai` may be."""
    standin = Standin(script)
    access = Access(
        key=KEY,
        url="http://openai.stage/v1",
        secrets={},
        http=httpx.AsyncClient(transport=transport(standin.app)),
        connect=connect(standin.app),
    )
    try:
        yield standin, access
    finally:
        await standin.aclose()


@contextmanager
def only_errors_logged() -> Iterator[None]:
    """Of the service's log nothing but errors, on stderr: what is played is the output."""
    before = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        yield
    finally:
        structlog.configure(**before)


class _Carriers:
    """The carriers' REST APIs, by host name, once they are there."""

    def __init__(self) -> None:
        self.apps: dict[str, ASGIApp] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = dict(scope["headers"])[b"host"].decode()
        await self.apps[host](scope, receive, send)
