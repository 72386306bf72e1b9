"""Whole conversations with the offline agent: heard, understood, answered, interrupted, ended."""

import asyncio
import audioop
from functools import cache
from typing import Any

import pytest

from service.ai.offline.espeak import Espeak
from service.ai.offline.speech import say
from service.replay.stage import Stage
from service.twin.behaviour import Outcome
from service.twin.caller import (
    HangUp,
    InterruptAfter,
    Say,
    Silence,
    Step,
    WaitForAgent,
    WaitForAgentStart,
)
from service.twin.record import CallRecord
from service.twin.speech import pcmu_of
from tests.journeys.stages import (
    CALLING,
    CARRIERS,
    human,
    only_call,
    over,
    place,
    play,
    story,
    transcript,
    twin_of,
    unblemished,
)

pytestmark = pytest.mark.parametrize("carrier", CARRIERS)

DESK = "+14155550177"
GREETING = "Hello, Acme Dental. How can I help?"
HOURS = "We are open from nine to five, Monday to Friday, and on Saturday from ten to two."
FRAME = 160


@cache
def spoken(text: str) -> Say:
    """A caller with a voice that is not the agent's."""
    made = say(Espeak(), text, voice="en-us+f3", words_per_minute=150, pitch=60)
    return Say(pcmu_of(made.pcm, 8000), text)


async def call_desk(stage: Stage, carrier: str, *steps: Step) -> CallRecord:
    record = await twin_of(stage, carrier).call(DESK, CALLING, steps)
    assert unblemished(record)
    await over()
    return record


async def turns(stage: Stage) -> list[dict[str, Any]]:
    return await transcript(stage, (await only_call(stage))["call_id"])


def first_loud_ms(pcmu: bytes) -> int:
    """Where sound begins."""
    for at in range(0, len(pcmu), FRAME):
        if audioop.rms(audioop.ulaw2lin(pcmu[at : at + FRAME], 2), 2) > 300:
            return at // 8
    return len(pcmu) // 8


def test_a_question_is_understood_and_answered(carrier: str) -> None:
    async def scene(stage: Stage) -> None:
        ask, leave = spoken("what are your opening hours"), spoken("goodbye")
        steps: list[Step] = [WaitForAgent(), ask, WaitForAgent(), leave, Silence(20_000)]
        await call_desk(stage, carrier, *steps)
        said = [(turn["who"], turn["text"]) for turn in await turns(stage)]
        assert said == [
            ("agent", GREETING),
            ("caller", "what are your opening hours"),
            ("agent", HOURS),
            ("caller", "goodbye"),
            ("agent", "Goodbye."),
        ]
        assert all(turn["heard_text"] in (turn["text"], None) for turn in await turns(stage))
        end = (await only_call(stage))["end"]
        assert (end["outcome"], end["ended_by"]) == ("completed", "agent")

    play(scene)


def test_the_greeting_is_heard_at_once(carrier: str) -> None:
    async def scene(stage: Stage) -> None:
        record = await call_desk(stage, carrier, Silence(1500), HangUp())
        assert first_loud_ms(record.heard_pcmu()) <= 300

    play(scene)


def test_the_goodbye_is_heard_to_its_end_before_the_line_closes(carrier: str) -> None:
    async def scene(stage: Stage) -> None:
        steps: list[Step] = [WaitForAgent(), spoken("goodbye"), Silence(20_000)]
        record = await call_desk(stage, carrier, *steps)
        goodbye = (await turns(stage))[-1]
        assert goodbye["interrupted"] is False
        last = record.spans()[-1]
        assert record.ended_at_ms is not None
        assert last.end_ms <= record.ended_at_ms
        assert last.end_ms - last.start_ms > 400

    play(scene)


@pytest.mark.parametrize("voice", ["agent-alreadyon", "vm-intro", "demo-abouttotry"])
def test_a_person_who_speaks_up_is_given_way_within_a_quarter_second(
    carrier: str, voice: str
) -> None:
    async def scene(stage: Stage) -> None:
        words = human(voice)
        steps: list[Step] = [
            WaitForAgentStart(),
            InterruptAfter(600, words),
            Silence(3000),
            HangUp(),
        ]
        record = await call_desk(stage, carrier, *steps)
        [said] = [remark for remark in record.remarks if remark.kind == "says"]
        loud_at_ms = said.at_ms + first_loud_ms(words)
        [stream] = record.streams
        cleared_at_ms = stream.started_at_ms + stream.clears_at_ms[0]
        assert cleared_at_ms - loud_at_ms <= 250

    play(scene)


def test_what_was_cut_off_is_recorded_as_far_as_it_was_heard(carrier: str) -> None:
    async def scene(stage: Stage) -> None:
        steps: list[Step] = [WaitForAgent(), spoken("when are you open")]
        steps += [InterruptAfter(1500, human("vm-intro")), Silence(4000), HangUp()]
        record = await call_desk(stage, carrier, *steps)
        hours = next(turn for turn in await turns(stage) if turn["text"] == HOURS)
        assert hours["interrupted"] is True
        assert HOURS.startswith(hours["heard_text"])
        assert 2 <= len(hours["heard_text"].split()) < len(HOURS.split())
        assert "agent.interrupted" in await story(stage)
        answer = record.spans()[1]
        assert 1400 <= answer.end_ms - answer.start_ms <= 2200

    play(scene)


def test_a_caller_who_leaves_mid_sentence_did_not_hear_the_rest(carrier: str) -> None:
    async def scene(stage: Stage) -> None:
        await call_desk(stage, carrier, WaitForAgentStart(), Silence(700), HangUp())
        [greeting] = await turns(stage)
        assert greeting["interrupted"] is True
        assert greeting["text"] == GREETING
        assert GREETING.startswith(greeting["heard_text"])
        assert greeting["heard_text"] != GREETING

    play(scene)


def test_say_through_the_api_is_heard_on_the_line(carrier: str) -> None:
    async def scene(stage: Stage) -> None:
        calling = asyncio.create_task(call_desk(stage, carrier, Silence(9000), HangUp()))
        await asyncio.sleep(5)
        call = await only_call(stage)
        path = f"/v1/calls/{call['call_id']}/say"
        answer = await stage.http.post(path, json={"text": "Your taxi is here."})
        assert answer.status_code == 202
        record = await calling
        assert [turn["text"] for turn in await turns(stage)] == [GREETING, "Your taxi is here."]
        assert record.spans()[-1].start_ms >= 4900

    play(scene)


def test_an_outbound_agent_greets_who_picks_up(carrier: str) -> None:
    async def scene(stage: Stage) -> None:
        twin = twin_of(stage, carrier)
        steps = (WaitForAgent(), spoken("goodbye"), Silence(20_000))
        twin.outcomes[CALLING] = Outcome(steps=steps)
        await place(stage, carrier, agent="desk")
        await twin.settle()
        await over()
        assert [turn["text"] for turn in await turns(stage)] == [GREETING, "goodbye", "Goodbye."]
        assert (await only_call(stage))["end"]["ended_by"] == "agent"

    play(scene)


def test_latency_parts_of_an_answer_add_up(carrier: str) -> None:
    async def scene(stage: Stage) -> None:
        steps: list[Step] = [WaitForAgent(), spoken("when are you open"), WaitForAgent(), HangUp()]
        await call_desk(stage, carrier, *steps)
        latency = (await turns(stage))[-1]["latency"]
        total = latency.pop("response_ms")
        assert sum(latency.values()) == total
        assert 300 <= total <= 1500

    play(scene)


def test_an_agent_without_its_engine_says_sorry_and_hangs_up(carrier: str) -> None:
    async def scene(stage: Stage) -> None:
        record = await twin_of(stage, carrier).call("+14155550188", CALLING, [Silence(30_000)])
        await over()
        assert len(record.spans()) == 1
        assert "sorry" in (await turns(stage))[0]["text"]
        end = (await only_call(stage))["end"]
        assert (end["outcome"], end["cause"]) == ("our_fault", "engine_failed")
        assert "fault" in await story(stage)

    play(scene)
