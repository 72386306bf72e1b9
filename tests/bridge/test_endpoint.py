"""Who may bring a media socket, for which call, and how soon it has to start."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from prometheus_client import generate_latest

from service.bridge.endpoint import MediaEndpoint
from service.calls.access import Access
from service.calls.admission import Admission
from service.calls.desk import Desk
from service.calls.mailbox import Mailbox
from service.calls.redis import open_redis
from service.core.calls import Call
from service.core.events import MediaEvent, StreamStopped
from tests.bridge.fakes import FakeCarrier
from tests.bridge.scene import Scene, on_virtual_time, scene, started
from tests.calls.samples import answered, outbound

START_TIMEOUT_MS = 5000


class Door:
    """The endpoint of an instance, and carriers who knock at it."""

    def __init__(self, here: Scene) -> None:
        self.here = here
        self.desk = Desk(
            here.store,
            agents=here.agents,
            clock=here.clock,
            ids=here.shared.ids,
            metrics=here.metrics,
            stream_base="wss://bridge.test",
            max_call_s=3600,
        )
        self.admission = Admission(
            max_calls=10,
            max_loop_lag_ms=1000,
            live=here.exchange.live_ids,
            now_ms=here.clock.now_ms,
        )
        self.mailbox = Mailbox(
            here.store, instance=here.shared.instance, deliver=here.exchange.deliver
        )

    async def knock(self, token: str | None, *events: MediaEvent) -> "Visit":
        visit = Visit(*events)
        provider = replace(self.here.provider, open_wire=lambda: visit.carrier)
        endpoint = MediaEndpoint(
            provider,
            exchange=self.here.exchange,
            desk=self.desk,
            access=Access({}),
            admission=self.admission,
            mailbox=self.mailbox,
            start_timeout_ms=START_TIMEOUT_MS,
            insecure=False,
        )
        scope = {
            "path": "/acme/stream",
            "query_string": b"",
            "headers": [],
            "path_params": {} if token is None else {"token": token},
        }
        serving = asyncio.create_task(endpoint(scope, visit.receive, visit.send))
        self.here.sockets.append(serving)
        await asyncio.sleep(0.1)
        return visit

    async def token(self, call: Call) -> str:
        return await self.here.store.token(call.call_id)


class Visit:
    """A carrier's websocket, as an ASGI server shows it."""

    def __init__(self, *events: MediaEvent) -> None:
        self.carrier = FakeCarrier()
        self.carrier.tell(*events)
        self.answers: list[str] = []
        self.code: int | None = None
        self._connected = False

    async def receive(self) -> MutableMapping[str, Any]:
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        text = await self.carrier.receive()
        return {"type": "websocket.disconnect"} if text is None else _message(text)

    async def send(self, message: MutableMapping[str, Any]) -> None:
        kind = message["type"].partition(".")[2]
        self.answers.append(kind)
        if kind == "close":
            self.code = message["code"]
        elif kind == "send":
            await self.carrier.send(message["text"])


def _message(text: str) -> dict[str, Any]:
    return {"type": "websocket.receive", "text": text}


@on_virtual_time
async def test_the_token_and_the_start_of_a_call_open_its_bridge(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        door, call = Door(here), await here.announced()
        visit = await door.knock(await door.token(call), started())
        assert visit.answers == ["accept"]
        assert here.exchange.live_ids() == [call.call_id]
        visit.carrier.tell(StreamStopped("stop"))
        await asyncio.sleep(0.1)
        assert visit.code == 1000


@pytest.mark.parametrize("token", ["", "0" * 48, "../../calls", "\x00"])
def test_an_unknown_token_is_not_let_in(tmp_path: Path, token: str) -> None:
    @on_virtual_time
    async def played() -> None:
        async with scene(tmp_path) as here:
            await here.announced()
            visit = await Door(here).knock(token, started())
            assert visit.answers == ["close"]  # before the upgrade: a server makes 403 of it
            assert here.exchange.live_ids() == []

    played()


@on_virtual_time
async def test_the_token_of_another_call_opens_neither(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        door, mine = Door(here), await here.announced()
        await here.announced(provider_call_id="CA2")
        visit = await door.knock(await door.token(mine), started(call="CA2"))
        assert (visit.answers, visit.code) == (["accept", "close"], 1008)
        assert here.exchange.live_ids() == []


@on_virtual_time
async def test_who_does_not_start_in_time_is_shown_out(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        door, call = Door(here), await here.announced()
        visit = await door.knock(await door.token(call))
        await asyncio.sleep(START_TIMEOUT_MS / 1000 - 0.3)
        assert visit.code is None
        await asyncio.sleep(0.5)
        assert visit.code == 1008


@on_virtual_time
async def test_while_an_outbound_call_rings_its_start_is_not_late(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        call = (await here.store.create(outbound(agent="default"))).call
        door = Door(here)
        visit = await door.knock(await door.token(call))
        await asyncio.sleep(20)
        assert visit.code is None
        await here.store.apply(call.call_id, answered(here.clock.now_ms() / 1000))
        await asyncio.sleep(START_TIMEOUT_MS / 1000 + 0.5)
        assert visit.code == 1008


@on_virtual_time
async def test_garbage_before_the_start_is_counted_and_passed_over(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        door, call = Door(here), await here.announced()
        visit = await door.knock(await door.token(call))
        visit.carrier.babble()
        visit.carrier.tell(started())
        await asyncio.sleep(0.1)
        assert here.exchange.live_ids() == [call.call_id]
        counted = 'callbridge_malformed_messages_total{provider="acme"} 1.0'
        assert counted in generate_latest(here.metrics.registry).decode()


@on_virtual_time
async def test_an_unannounced_call_begins_at_its_start(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        visit = await Door(here).knock(None, started(call="CA9"))
        assert visit.answers == ["accept"]
        [call_id] = here.exchange.live_ids()
        call = await here.store.get(call_id)
        assert call is not None
        assert call.provider_call_id == "CA9"


@on_virtual_time
async def test_a_full_house_lets_only_announced_calls_in(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        door, call = Door(here), await here.announced()
        door.admission.draining = True
        unannounced = await door.knock(None, started(call="CA9"))
        announced = await door.knock(await door.token(call), started())
        assert (unannounced.answers, announced.answers) == (["close"], ["accept"])


@on_virtual_time
async def test_a_second_start_of_a_call_replaces_the_first(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        door, call = Door(here), await here.announced()
        token = await door.token(call)
        first = await door.knock(token, started())
        second = await door.knock(token, started(stream="MZ2"))
        assert (first.code, second.code) == (1000, None)
        assert len(here.engine.briefs) == 1


async def after(seconds: float, job: Callable[[], Awaitable[None]]) -> None:
    await asyncio.sleep(seconds)
    await job()


@on_virtual_time
async def test_who_takes_a_call_over_knows_what_was_heard_of_the_turn_that_was_cut_off(
    tmp_path: Path,
) -> None:
    redis = open_redis("embedded://")
    async with (
        scene(tmp_path, redis=redis, instance="A") as one,
        scene(tmp_path, redis=redis, instance="B") as two,
    ):
        first, second = Door(one), Door(two)
        call = await one.announced()
        token = await first.token(call)
        await first.knock(token, started())
        one.engine.say("t1", 4000, text="One two three four five six seven eight.")
        await asyncio.sleep(2)
        reading = asyncio.create_task(after(0.2, first.mailbox.run))  # post takes its time
        await second.knock(token, started(stream="MZ2"))
        await asyncio.sleep(1)
        [brief] = two.engine.briefs
        [past] = brief.history
        assert past.who == "agent"
        assert past.text
        assert "One two three four".startswith(past.text)
        assert one.exchange.held_ids() == []
        assert two.exchange.live_ids() == [call.call_id]
        reading.cancel()


@on_virtual_time
async def test_an_instance_that_is_dead_is_not_waited_for_for_long(tmp_path: Path) -> None:
    redis = open_redis("embedded://")
    async with (
        scene(tmp_path, redis=redis, instance="A") as dead,
        scene(tmp_path, redis=redis, instance="B") as here,
    ):
        door, call = Door(here), await dead.announced()
        token = await door.token(call)
        await Door(dead).knock(token, started())
        await door.knock(token, started(stream="MZ2"))
        await asyncio.sleep(0.6)
        assert here.exchange.live_ids() == [call.call_id]
