"""Live calls handed to another number: taken, taken by nobody, and refused by the carrier."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from service.replay.stage import Stage
from service.twin.behaviour import Outcome, RestFault
from service.twin.caller import HangUp, Silence, Step
from service.twin.record import CallRecord
from tests.journeys.stages import (
    CALLING,
    CARRIERS,
    events,
    only_call,
    over,
    play,
    story,
    transcript,
    twin_of,
    unblemished,
)

pytestmark = pytest.mark.parametrize("carrier", CARRIERS)

DESK, SALES = "+14155550177", "+14155550190"
GREETING = "Hello, Acme Dental. How can I help?"
WHOLE = ["call.ringing", "call.answered", "stream.started", "turn.agent"]


async def call_desk(
    stage: Stage,
    carrier: str,
    steps: list[Step],
    meanwhile: Callable[[str], Awaitable[None]],
) -> CallRecord:
    """A call that is to be handed over while the agent still greets."""
    calling = asyncio.create_task(twin_of(stage, carrier).call(DESK, CALLING, steps))
    await asyncio.sleep(1)
    call_id = (await only_call(stage))["call_id"]
    answer = await stage.http.post(f"/v1/calls/{call_id}/transfer", json={"to": SALES})
    assert answer.status_code == 202
    await meanwhile(call_id)
    record = await calling
    assert unblemished(record)
    await over()
    return record


async def agent_said(stage: Stage) -> list[tuple[str, bool]]:
    turns = await transcript(stage, (await only_call(stage))["call_id"])
    return [(turn["heard_text"], turn["interrupted"]) for turn in turns if turn["who"] == "agent"]


async def faults(stage: Stage) -> list[str]:
    call_id = (await only_call(stage))["call_id"]
    told = await events(stage, call_id)
    return [event["data"]["code"] for event in told if event["type"] == "fault"]


def test_the_sentence_is_heard_and_the_call_goes_to_the_other_number(carrier: str) -> None:
    async def scene(stage: Stage) -> None:
        twin_of(stage, carrier).outcomes[SALES] = Outcome(ring_ms=2000, talk_ms=20_000)

        async def look(call_id: str) -> None:
            await asyncio.sleep(15)  # they talk: longer than any lease of ours
            call = (await stage.http.get(f"/v1/calls/{call_id}")).json()
            assert (call["state"], call["end"]) == ("bridged", None)
            late = await stage.http.post(f"/v1/calls/{call_id}/transfer", json={"to": SALES})
            assert (late.status_code, late.json()["code"]) == (409, "call.transferred")

        record = await call_desk(stage, carrier, [Silence(120_000)], look)
        assert await agent_said(stage) == [(GREETING, False)]
        [connected] = [remark for remark in record.remarks if remark.kind == "is_connected"]
        assert connected.text == SALES
        assert record.spans()[-1].end_ms <= connected.at_ms
        assert await story(stage) == [*WHOLE, "stream.stopped", "call.ended"]
        end = (await only_call(stage))["end"]
        assert end["outcome"] == "completed"
        assert end["ended_by"] in ("carrier", "caller")
        assert end["duration_ms"] >= 24_000

    play(scene)


def test_a_caller_who_is_handed_over_is_hung_up_through_the_api(carrier: str) -> None:
    async def scene(stage: Stage) -> None:
        twin_of(stage, carrier).outcomes[SALES] = Outcome(talk_ms=60_000)

        async def hang_up(call_id: str) -> None:
            await asyncio.sleep(10)
            assert (await stage.http.post(f"/v1/calls/{call_id}/hangup")).status_code == 202

        record = await call_desk(stage, carrier, [Silence(120_000)], hang_up)
        assert record.ended_at_ms is not None
        assert record.ended_at_ms < 15_000
        end = (await only_call(stage))["end"]
        assert (end["outcome"], end["ended_by"]) == ("completed", "api")

    play(scene)


def test_a_call_handed_over_ends_at_its_longest_duration(carrier: str) -> None:
    async def scene(stage: Stage) -> None:
        twin_of(stage, carrier).outcomes[SALES] = Outcome(talk_ms=600_000)

        async def wait(_call_id: str) -> None:
            await asyncio.sleep(35)

        record = await call_desk(stage, carrier, [Silence(120_000)], wait)
        assert record.ended_at_ms is not None
        assert 30_000 <= record.ended_at_ms < 35_000
        assert (await only_call(stage))["end"]["cause"] == "max_duration"

    play(scene, settings={"CALLBRIDGE_MAX_CALL_SECONDS": "30"})


@pytest.mark.parametrize("outcome", [Outcome(result="busy", ring_ms=1000), Outcome(ring_ms=90_000)])
def test_a_call_that_nobody_takes_comes_back_to_the_agent(carrier: str, outcome: Any) -> None:
    async def scene(stage: Stage) -> None:
        twin_of(stage, carrier).outcomes[SALES] = outcome

        async def speak(call_id: str) -> None:
            await asyncio.sleep(40)
            said = await stage.http.post(f"/v1/calls/{call_id}/say", json={"text": "I am back."})
            assert said.status_code == 202, said.text

        record = await call_desk(stage, carrier, [Silence(45_000), HangUp()], speak)
        assert len(record.streams) == 2
        assert await agent_said(stage) == [(GREETING, False), ("I am back.", False)]
        [code] = await faults(stage)
        assert code.startswith(f"{carrier}.transfer_")
        assert (await only_call(stage))["end"]["ended_by"] == "caller"

    play(scene)


def test_a_transfer_that_the_carrier_refuses_keeps_the_agent_on_the_line(carrier: str) -> None:
    async def scene(stage: Stage) -> None:
        async def refuse(_call_id: str) -> None:
            twin_of(stage, carrier).faults.append(RestFault(kind="status", status=403))
            await asyncio.sleep(8)
            assert (await only_call(stage))["state"] == "bridged"

        record = await call_desk(stage, carrier, [Silence(12_000), HangUp()], refuse)
        assert len(record.streams) == 1
        [greeting, excuse] = await agent_said(stage)
        assert greeting == (GREETING, False)
        assert excuse[0]
        assert await faults(stage) == [f"{carrier}.403"]
        end = (await only_call(stage))["end"]
        assert (end["outcome"], end["ended_by"]) == ("completed", "caller")

    play(scene)


@pytest.mark.parametrize("ring_ms", [20_000, 500])
def test_a_caller_who_hangs_up_meanwhile_ends_the_call_whoever_tells_of_it(
    carrier: str, ring_ms: int
) -> None:
    async def scene(stage: Stage) -> None:
        twin = twin_of(stage, carrier)
        twin.outcomes[SALES] = Outcome(ring_ms=ring_ms, talk_ms=600_000)

        async def wait(_call_id: str) -> None:
            """Until they have left."""

        await call_desk(stage, carrier, [Silence(9000), HangUp()], wait)
        # Nobody need be asked what comes next: Twilio may say of the other leg alone that it ended.
        await asyncio.sleep(12)
        end = (await only_call(stage))["end"]
        assert end["outcome"] == "completed"
        assert all(record.ended_at_ms is not None for record in twin.records)
        assert await faults(stage) == []

    play(scene)
