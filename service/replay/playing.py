"""Where cassettes are played: against the whole service in this process, or against one that runs.

In process nothing goes over the network and time is virtual, unless the speed of speech is asked
for. A running service must know the carriers' credentials and API addresses named here.
"""

import asyncio
import random
import socket
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import httpx
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from service.cassettes.cassette import Cassette, Line
from service.replay.carrier import RecordedCarrier
from service.replay.ear import heeding
from service.replay.engines import engines_for
from service.replay.hands import TelnyxHand, TwilioHand
from service.replay.player import Hand, Player
from service.replay.recorded_engine import RecordedEngine, needs_no_engine
from service.replay.stage import (
    AUTH_TOKEN,
    PUBLIC_URL,
    SEED,
    TELNYX_SEED,
    inside,
    only_errors_logged,
    open_service,
    stage_time,
)
from service.replay.virtual import VirtualLoop
from service.twin.socket import dial_app, dial_network
from service.twin.telnyx_webhooks import Webhooks


def play_inside(
    cassette: Cassette,
    *,
    agents: Path,
    real_time: bool = False,
    engine: Literal["recorded", "live"] = "recorded",
) -> list[Line]:
    """What the service of this process did.

    Of the engine it hears what the cassette's said; `live`, or a cassette without an engine lane:
    what the agent's own says today.
    """
    recorded = engine == "recorded" and needs_no_engine(cassette.lines)
    loop = asyncio.SelectorEventLoop if real_time else VirtualLoop
    with only_errors_logged(), asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(_play_inside(cassette, agents, recorded=recorded, real_time=real_time))


def play_outside(
    cassette: Cassette, *, url: str, listener: socket.socket, env: Mapping[str, str]
) -> list[Line]:
    """What the service at `url` did; its commands to the carrier come to `listener`."""
    return asyncio.run(_play_outside(cassette, url, listener, env))


async def _play_inside(
    cassette: Cassette, agents: Path, *, recorded: bool, real_time: bool
) -> list[Line]:
    carrier = LateCarrier()
    engine = RecordedEngine(cassette.lines) if recorded else None
    service = open_service(
        agents=agents,
        carriers=carrier,
        chance=random.Random(SEED),
        engines=engines_for(cassette, agents, engine) if engine or not real_time else None,
    )
    async with service as app, inside(app) as http:
        player = Player(
            cassette,
            hand_for(cassette, http, stage_time, auth_token=AUTH_TOKEN),
            http=http,
            dial=heeding(cassette.header, dial_app(app)),
            public_url=PUBLIC_URL,
        )
        carrier.app = RecordedCarrier(cassette, player.commanded)
        if engine is not None:
            engine.tap = player.told_engine
        await player.play(stage_time)
    return player.lines


async def _play_outside(
    cassette: Cassette, url: str, listener: socket.socket, env: Mapping[str, str]
) -> list[Line]:
    key = env.get("CALLBRIDGE_API_KEYS", "").partition(",")[0].partition("=")[2]
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as http:
        token = env.get("TWILIO_AUTH_TOKEN") or AUTH_TOKEN
        player = Player(
            cassette,
            hand_for(cassette, http, _now, auth_token=token),
            http=http,
            dial=heeding(cassette.header, dial_network),
            public_url=url,
        )
        carrier = RecordedCarrier(cassette, player.commanded)
        server = uvicorn.Server(uvicorn.Config(carrier, log_level="warning", lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listener.dup()]), name="carrier")
        try:
            await player.play(_now)
        finally:
            server.should_exit = True
            await serving
    return player.lines


def hand_for(
    cassette: Cassette, http: httpx.AsyncClient, utc: Callable[[], datetime], *, auth_token: str
) -> Hand:
    """The hand of the cassette's carrier."""
    if cassette.header.provider == "twilio":
        return TwilioHand(auth_token)
    return TelnyxHand(Webhooks(http, TELNYX_SEED, utc))


def _now() -> datetime:
    return datetime.now(UTC)


class LateCarrier:
    """Stands in the service's way to the carrier until there is one."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As the carrier does it."""
        await self.app(scope, receive, send)
