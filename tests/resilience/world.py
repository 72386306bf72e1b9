"""The world around the service: two carriers, a load balancer, and a real Redis."""

import asyncio
import base64
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import redis

from service.media.g711 import PCMU_SILENCE
from service.replay.stage import (
    ACCOUNT_SID,
    AUTH_TOKEN,
    CONNECTION_ID,
    TELNYX_KEY,
    TELNYX_PUBLIC_KEY,
    TELNYX_SEED,
)
from service.twin.behaviour import Delivery
from service.twin.record import CallRecord
from service.twin.socket import Dial, Socket, dial_network
from service.twin.telnyx import TelnyxTwin
from service.twin.twilio import TwilioTwin
from tests.redis_server import RedisServer
from tests.resilience.instance import AGENTS, Instance, instances
from tests.twin.serving import listen, serving

PUBLIC_URL = "https://bridge.test"
DIALLED, CALLING = "+14155550123", "+14155550100"
DESK, CLOUD = "+14155550177", "+14155550188"
GREETING = "Hello, Acme Dental. How can I help?"
DEADLINE_S = 20.0
FRAME_BYTES = 160

_SILENCE = base64.b64encode(PCMU_SILENCE * FRAME_BYTES).decode()

T = TypeVar("T")


def voice(ms: int, seed: int = 1) -> bytes:
    """Sound that comes back as it went only if no frame of it is lost, late or doubled."""
    return random.Random(seed).randbytes(ms * FRAME_BYTES // 20)


def commands(record: CallRecord) -> list[dict[str, Any]]:
    """What the bridge asked the carrier to do with this call."""
    lines = [line for line in record.lines if line["lane"] == "rest" and line["from"] == "bridge"]
    return [line["request"] for line in lines]


def returned(record: CallRecord) -> bytes:
    """The sound that the bridge sent, without the pauses between."""
    return b"".join(base64.b64decode(m["media"]["payload"]) for m in record.messages("media"))


def delays_ms(record: CallRecord) -> list[int]:
    """How long each frame of sound that came back was on its way; silence tells nothing."""
    sent: dict[str, int] = {}
    delays = []
    for line in record.lines:
        message = line.get("message", {})
        if message.get("event") != "media" or (payload := message["media"]["payload"]) == _SILENCE:
            continue
        if line["from"] == "carrier":
            sent[payload] = line["at_ms"]
        elif payload in sent:
            delays.append(line["at_ms"] - sent.pop(payload))
    return delays


class Balancer(httpx.AsyncBaseTransport):
    """Sends what carriers dial to the instances that a test chooses."""

    def __init__(self) -> None:
        self.webhooks_to: list[Instance] = []  # in turn
        self.sockets_to: Instance | None = None
        self.telnyx_sockets: Dial | None = None  # instead of that
        # Each request by a connection of its own, so that any process of an instance may get it.
        self._network = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_keepalive_connections=0))
        self._count = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._count += 1
        instance = self.webhooks_to[self._count % len(self.webhooks_to)]
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=instance.port)
        return await self._network.handle_async_request(request)

    async def dial(self, url: str, headers: Mapping[str, str]) -> Socket:
        assert self.sockets_to is not None
        parts = urlsplit(url)
        if self.telnyx_sockets is not None and parts.path.startswith("/telnyx/"):
            return await self.telnyx_sockets(url, headers)
        query = f"?{parts.query}" if parts.query else ""
        where = f"ws://127.0.0.1:{self.sockets_to.port}{parts.path}{query}"
        return await dial_network(where, headers)

    async def aclose(self) -> None:
        await self._network.aclose()


class World:
    """What a test of this folder has at hand."""

    def __init__(self, server: RedisServer, balancer: Balancer) -> None:
        self.redis = server
        self.balancer = balancer
        self.instances: list[Instance] = []
        self.twilio: TwilioTwin
        self.telnyx: TelnyxTwin
        self.http: httpx.AsyncClient

    async def renew(self) -> None:
        """As if nothing had been yet."""
        await until(self.all_over)
        self.redis.flush()
        for twin in (self.twilio, self.telnyx):
            twin.records.clear()
            twin.delivery = Delivery()
        self.balancer.telnyx_sockets = None
        self.route(webhooks=self.instances[:1], sockets=self.instances[0])

    def route(self, *, webhooks: list[Instance], sockets: Instance) -> None:
        self.balancer.webhooks_to = webhooks
        self.balancer.sockets_to = sockets

    def twin(self, carrier: str) -> TwilioTwin | TelnyxTwin:
        return self.twilio if carrier == "twilio" else self.telnyx

    # The REST API, of the first instance when none is named

    async def ask(self, path: str, *, at: Instance | None = None) -> dict[str, Any]:
        answer = await self.http.get(f"{(at or self.instances[0]).url}{path}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def tell(
        self, path: str, body: dict[str, Any] | None = None, *, at: Instance | None = None
    ) -> httpx.Response:
        return await self.http.post(f"{(at or self.instances[0]).url}{path}", json=body)

    async def call_of(self, record: CallRecord, *, at: Instance | None = None) -> dict[str, Any]:
        """The Call that a carrier's call is, as the API shows it."""
        calls = (await self.ask("/v1/calls?limit=100", at=at))["calls"]
        [call] = [call for call in calls if call["provider_call_id"] == record.call_id]
        found: dict[str, Any] = call
        return found

    async def state_of(self, record: CallRecord, *, at: Instance | None = None) -> str:
        return str((await self.call_of(record, at=at))["state"])

    async def bridged(self, *, at: Instance | None = None, count: int = 1) -> list[dict[str, Any]]:
        """The calls that talk, once there are this many."""

        async def enough() -> list[dict[str, Any]]:
            calls = (await self.ask("/v1/calls?state=bridged&limit=100", at=at))["calls"]
            return calls if len(calls) >= count else []

        return await until(enough)

    async def ended(self, record: CallRecord, *, at: Instance | None = None) -> dict[str, Any]:
        """The Call's `end`, once it has one."""

        async def end() -> Any:
            return (await self.call_of(record, at=at))["end"]

        found: dict[str, Any] = await until(end)
        return found

    async def all_over(self) -> bool:
        """Whether nothing of any call is left but its record."""
        if keys(self.redis, "calls:live") or keys(self.redis, "call:*:token"):
            return False
        return [await self.live_at(instance) for instance in self.instances] == [0] * len(
            self.instances
        )

    async def live_at(self, instance: Instance) -> int:
        """How many bridges an instance holds."""
        text = (await self.http.get(f"{instance.url}/metrics")).text
        [live] = [line for line in text.splitlines() if line.startswith("callbridge_calls_live ")]
        return int(float(live.split()[1]))

    async def turns(self, call_id: str, *, at: Instance | None = None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.ask(f"/v1/calls/{call_id}/transcript", at=at))[
            "turns"
        ]
        return found

    async def story(self, record: CallRecord, *, at: Instance | None = None) -> list[str]:
        call = await self.call_of(record, at=at)
        events = (await self.ask(f"/v1/calls/{call['call_id']}/events", at=at))["events"]
        return [event["type"] for event in events]


@asynccontextmanager
async def world(
    server: RedisServer, *settings: Mapping[str, str], flags: tuple[str, ...] = ()
) -> AsyncIterator[World]:
    """A world with one instance for each of `settings`."""
    server.flush()
    async with AsyncExitStack() as stack:
        balancer = Balancer()
        here = World(server, balancer)
        http = await stack.enter_async_context(httpx.AsyncClient(transport=balancer))
        here.http = await stack.enter_async_context(httpx.AsyncClient(timeout=20))
        here.twilio = TwilioTwin(
            http,
            balancer.dial,
            account_sid=ACCOUNT_SID,
            auth_token=AUTH_TOKEN,
            voice_url=f"{PUBLIC_URL}/twilio/voice",
            status_url=f"{PUBLIC_URL}/twilio/status",
        )
        here.telnyx = TelnyxTwin(
            http,
            balancer.dial,
            api_key=TELNYX_KEY,
            seed=TELNYX_SEED,
            connection_id=CONNECTION_ID,
            webhook_url=f"{PUBLIC_URL}/telnyx/webhook",
        )
        urls = []
        for twin in (here.twilio, here.telnyx):
            listener, url = listen()
            await stack.enter_async_context(serving(twin.app, listener))
            urls.append(url)
        common = _environment(server.url, *urls)
        started = instances(*({**common, **own} for own in settings), flags=flags)
        here.instances = await asyncio.to_thread(stack.enter_context, started)
        here.route(webhooks=here.instances[:1], sockets=here.instances[0])
        yield here


def _environment(redis_url: str, twilio_url: str, telnyx_url: str) -> dict[str, str]:
    return {
        "REDIS_URL": redis_url,
        "CALLBRIDGE_PUBLIC_URL": PUBLIC_URL,
        "CALLBRIDGE_AGENTS": str(AGENTS),
        "CALLBRIDGE_LOG_FORMAT": "json",
        "CALLBRIDGE_MAX_LOOP_LAG_MS": "2000",  # the machine that tests has other things to do
        "CALLBRIDGE_LEASE_MS": "1000",
        "CALLBRIDGE_REATTACH_MS": "1500",
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWILIO_API_BASE": twilio_url,
        "TELNYX_API_KEY": TELNYX_KEY,
        "TELNYX_PUBLIC_KEY": TELNYX_PUBLIC_KEY,
        "TELNYX_CONNECTION_ID": CONNECTION_ID,
        "TELNYX_API_BASE": f"{telnyx_url}/v2",
    }


async def until(condition: Callable[[], Awaitable[T]], *, within_s: float = DEADLINE_S) -> T:
    """What `condition` gives once it is true."""
    deadline = time.monotonic() + within_s
    while not (found := await condition()):
        assert time.monotonic() < deadline, f"not within {within_s} s"
        await asyncio.sleep(0.05)
    return found


async def until_true(condition: Callable[[], bool], *, within_s: float = DEADLINE_S) -> None:
    async def ask() -> bool:
        return condition()

    await until(ask, within_s=within_s)


def keys(redis_server: RedisServer, pattern: str) -> list[str]:
    """What Redis holds under our prefix."""
    with redis.Redis(port=redis_server.port, decode_responses=True) as client:
        found: list[str] = client.keys(f"callbridge:{pattern}")
        return sorted(found)
