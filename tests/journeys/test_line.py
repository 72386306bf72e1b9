"""Whole calls with the line test: sockets, webhooks, REST and the store, over both carriers."""

import asyncio
from typing import Any

import pytest

from service.replay.stage import Stage
from service.twin.behaviour import Delivery, Outcome, RestFault
from service.twin.caller import DropSocket, HangUp, Press, Say, Silence, Step
from tests.journeys.stages import (
    CALLING,
    CARRIERS,
    DIALLED,
    calls,
    events,
    human,
    only_call,
    over,
    place,
    play,
    story,
    twin_of,
    unblemished,
)

pytestmark = pytest.mark.parametrize("carrier", CARRIERS)

WHOLE = ["call.ringing", "call.answered", "stream.started", "turn.agent"]
WHOLE += ["stream.stopped", "call.ended"]
VOICE = human("agent-alreadyon")


async def end_of(stage: Stage) -> tuple[str, str]:
    await over()
    end = (await only_call(stage))["end"]
    return end["outcome"], end["ended_by"]


def test_an_inbound_call_hears_its_own_voice_byte_for_byte(carrier: str) -> None:
    async def scene(stage: Stage) -> None:
        steps: list[Step] = [Silence(200), Say(VOICE), Silence(300), HangUp()]
        record = await twin_of(stage, carrier).call(DIALLED, CALLING, steps)
        assert VOICE in record.heard_pcmu()
        assert unblemished(record)
        assert await story(stage) == WHOLE
        assert await end_of(stage) == ("completed", "caller")

    play(scene)


@pytest.mark.parametrize("delay_ms", [(0, 0), (0, 3000)])
def test_webhooks_in_triplicate_and_any_order_make_one_story(
    carrier: str, delay_ms: tuple[int, int]
) -> None:
    async def scene(stage: Stage) -> None:
        twin = twin_of(stage, carrier)
        twin.delivery = Delivery(copies=3, delay_ms=delay_ms)
        record = await twin.call(DIALLED, CALLING, [Silence(1500), HangUp()])
        assert unblemished(record)
        assert await story(stage) == WHOLE

    play(scene)


def test_an_outbound_call_is_answered_and_talks(carrier: str) -> None:
    async def scene(stage: Stage) -> None:
        twin = twin_of(stage, carrier)
        twin.outcomes[CALLING] = Outcome(steps=(Silence(100), Say(VOICE), Silence(300), HangUp()))
        placed = await place(stage, carrier, agent="default", metadata={"order": "42"})
        assert placed["state"] in ("queued", "ringing")
        await twin.settle()
        [record] = twin.records
        assert VOICE in record.heard_pcmu()
        assert unblemished(record)
        told = await story(stage)
        assert told[:1] == ["call.queued"]
        assert told[-5:] == WHOLE[1:]
        assert await end_of(stage) == ("completed", "caller")

    play(scene)


@pytest.mark.parametrize(
    ("result", "outcome"),
    [("busy", "busy"), ("no-answer", "no_answer"), ("failed", "carrier_failed")],
)
def test_an_outbound_call_that_nobody_takes_says_why(
    carrier: str, result: Any, outcome: str
) -> None:
    async def scene(stage: Stage) -> None:
        twin = twin_of(stage, carrier)
        twin.outcomes[CALLING] = Outcome(result=result)
        await place(stage, carrier, agent="default")
        await twin.settle()
        call = await only_call(stage)
        assert call["end"]["outcome"] == outcome
        assert call["end"]["duration_ms"] == 0
        assert (await story(stage))[-1] == "call.ended"

    play(scene)


def test_hanging_up_through_the_api_ends_a_talking_call(carrier: str) -> None:
    async def scene(stage: Stage) -> None:
        twin = twin_of(stage, carrier)
        talking = asyncio.create_task(twin.call(DIALLED, CALLING, [Silence(60_000)]))
        await asyncio.sleep(2)
        call = await only_call(stage)
        assert call["state"] == "bridged"
        answer = await stage.http.post(f"/v1/calls/{call['call_id']}/hangup")
        assert answer.status_code == 202
        record = await talking
        assert unblemished(record)
        assert await end_of(stage) == ("completed", "api")
        assert await story(stage) == WHOLE
        again = await stage.http.post(f"/v1/calls/{call['call_id']}/hangup")
        assert again.status_code == 200

    play(scene)


def test_hanging_up_while_it_rings_cancels_the_call(carrier: str) -> None:
    async def scene(stage: Stage) -> None:
        twin = twin_of(stage, carrier)
        twin.outcomes[CALLING] = Outcome(ring_ms=20_000)
        placed = await place(stage, carrier, agent="default")
        await asyncio.sleep(2)
        await stage.http.post(f"/v1/calls/{placed['call_id']}/hangup")
        await twin.settle()
        assert await end_of(stage) == ("canceled", "api")

    play(scene)


def test_a_socket_that_is_lost_is_taken_up_again_by_the_same_call(carrier: str) -> None:
    async def scene(stage: Stage) -> None:
        steps: list[Step] = [
            Silence(500),
            DropSocket(),
            Silence(500),
            Say(VOICE),
            Silence(300),
            HangUp(),
        ]
        record = await twin_of(stage, carrier).call(DIALLED, CALLING, steps)
        assert VOICE in record.heard_pcmu()
        told = await story(stage)
        assert told.count("stream.started") == told.count("stream.stopped") == 1
        assert await end_of(stage) == ("completed", "caller")

    play(scene)


def test_a_key_press_is_one_event(carrier: str) -> None:
    async def scene(stage: Stage) -> None:
        steps: list[Step] = [Silence(300), Press("5#"), Silence(300), HangUp()]
        await twin_of(stage, carrier).call(DIALLED, CALLING, steps)
        call = await only_call(stage)
        pressed = [
            event["data"]["digit"]
            for event in await events(stage, call["call_id"])
            if event["type"] == "dtmf.received"
        ]
        assert pressed == ["5", "#"]

    play(scene)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (RestFault(kind="status", status=429, retry_after_s=2), 503),
        (RestFault(kind="status", status=500), 502),
        (RestFault(kind="html", status=502), 502),
        (RestFault(kind="hang", executes=True), 504),
    ],
)
def test_a_carrier_in_trouble_is_told_plainly_and_never_dialled_twice(
    carrier: str, fault: RestFault, status: int
) -> None:
    async def scene(stage: Stage) -> None:
        twin = twin_of(stage, carrier)
        twin.faults.append(fault)
        order = {"provider": carrier, "to": CALLING, "from": DIALLED, "agent": "default"}
        answer = await stage.http.post("/v1/calls", json=order)
        assert answer.status_code == status
        assert answer.headers["content-type"].startswith("application/problem+json")
        assert answer.json()["code"].startswith(f"{carrier}.")
        if status == 503:
            assert int(answer.headers["retry-after"]) >= 1
        await asyncio.sleep(30)
        assert len(twin.records) == int(fault.executes)
        call = await only_call(stage)
        assert (call["state"], call["end"]["outcome"]) == ("ended", "carrier_failed")

    play(scene)


def test_a_full_house_is_busy(carrier: str) -> None:
    async def scene(stage: Stage) -> None:
        twin = twin_of(stage, carrier)
        first = asyncio.create_task(twin.call(DIALLED, CALLING, [Silence(5000), HangUp()]))
        await asyncio.sleep(2)
        record = await twin.call(DIALLED, CALLING, [Silence(1000), HangUp()])
        assert record.streams == []
        assert record.status in ("busy", "user_busy")
        order = {"provider": carrier, "to": CALLING, "from": DIALLED, "agent": "default"}
        answer = await stage.http.post("/v1/calls", json=order)
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
        await first
        assert len(await calls(stage)) == 1

    play(scene, settings={"CALLBRIDGE_MAX_CALLS": "1"})


def test_a_call_ends_at_its_longest_duration(carrier: str) -> None:
    async def scene(stage: Stage) -> None:
        record = await twin_of(stage, carrier).call(DIALLED, CALLING, [Silence(60_000)])
        assert record.ended_at_ms is not None
        assert record.ended_at_ms < 8000
        assert await end_of(stage) == ("completed", "limit")

    play(scene, settings={"CALLBRIDGE_MAX_CALL_SECONDS": "5"})
