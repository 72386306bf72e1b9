"""Whatever an engine does, the person on the line hears something sensible."""

import asyncio
from pathlib import Path
from typing import Any

from service.core.calls import CallId
from service.core.commands import ClearAudio, Hear, Instruct, StartTurn
from service.core.events import (
    EngineFailed,
    FillerRequested,
    InstructionsGiven,
    SpeechDismissed,
    SpeechStarted,
    SpeechStopped,
    SpeechSuspected,
    Transcribed,
)
from service.core.turns import PastTurn
from tests.bridge.fakes import FakeCarrier, FakeEngine
from tests.bridge.scene import Scene, heard, on_virtual_time, scene

FALLBACK: dict[str, Any] = {"greeting": "Hello.", "fallback": "[offline]"}
FAILED = EngineFailed("openai.stalled", "first_token")


def ask(engine: FakeEngine, text: str = "are you open") -> None:
    engine.emit(SpeechStarted(0))
    engine.emit(SpeechStopped(500))
    engine.emit(Transcribed(text))


async def line_noise(carrier: FakeCarrier, seconds: float) -> None:
    for number in range(round(seconds * 50)):
        carrier.tell(heard(number * 20))
        await asyncio.sleep(0.02)


def said(engine: FakeEngine) -> list[str]:
    return [told.text for told in engine.told if isinstance(told, StartTurn)]


@on_virtual_time
async def test_an_engine_that_cannot_be_opened_is_replaced_before_anybody_notices(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, **FALLBACK) as here:
        here.engine.trouble = RuntimeError("no")
        bridge, carrier = await here.live()
        assert said(here.second) == ["Hello."]
        here.second.say("t1", 200)
        await asyncio.sleep(1)
        assert b"".join(carrier.sound())[-1600:] == b"\x01" * 1600
        assert "call.ended" not in await here.story(bridge)


@on_virtual_time
async def test_the_next_engine_knows_what_was_said_and_that_an_answer_is_owed(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, **FALLBACK) as here:
        bridge, carrier = await here.live()
        here.engine.say("t1", 200, text="Hello.")
        await line_noise(carrier, 2)
        bridge.take(InstructionsGiven("Be brief."))
        ask(here.engine)
        here.engine.emit(FAILED)
        await asyncio.sleep(0.1)
        [brief] = here.second.briefs
        assert brief.history == (PastTurn("agent", "Hello."), PastTurn("caller", "are you open"))
        assert brief.unanswered
        assert brief.instructions == ("Be brief.",)
        assert Instruct("Be brief.") in here.engine.told


@on_virtual_time
async def test_an_engine_that_was_replaced_is_not_heard_and_does_not_hear(tmp_path: Path) -> None:
    async with scene(tmp_path, **FALLBACK) as here:
        _, carrier = await here.live()
        here.engine.closes_in_s = 4.0
        here.engine.emit(FAILED)
        await asyncio.sleep(0.1)
        assert here.second.is_open  # though the first is still closing
        assert here.engine.is_open
        here.engine.say("late", 500, byte=9)
        carrier.tell(heard(0))
        await asyncio.sleep(1)
        assert b"\x09" not in b"".join(carrier.sound())
        assert not [told for told in here.engine.told if isinstance(told, Hear)]
        assert [told for told in here.second.told if isinstance(told, Hear)]
        await asyncio.sleep(4)
        assert not here.engine.is_open


@on_virtual_time
async def test_a_cough_pauses_the_agent_and_not_a_byte_is_lost_or_said_twice(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as here:
        bridge, carrier = await here.live()
        here.engine.say("t1", 1000, byte=7)
        await asyncio.sleep(0.3)
        here.engine.emit(SpeechSuspected(0))
        await asyncio.sleep(0.01)
        assert carrier.sent[-1] == ClearAudio()
        before = len(carrier.sound())
        await asyncio.sleep(0.5)
        assert len(carrier.sound()) == before
        here.engine.emit(SpeechDismissed())
        await asyncio.sleep(3)
        heard_bytes = 300 * 8  # what the carrier had played when it was cleared
        assert len(b"".join(carrier.sound()[before:])) == 8000 - heard_bytes
        [turn] = [e.data for e in await here.record(bridge) if e.type == "turn.agent"]
        assert (turn["interrupted"], turn["heard_ms"]) == (False, 1000)


@on_virtual_time
async def test_an_answer_that_takes_long_is_bridged_by_a_sentence_kept_ready(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, filler='{after_ms: 1000, says: ["One moment."]}') as here:
        bridge, carrier = await here.live()
        await line_noise(carrier, 0.5)
        ask(here.engine)
        await line_noise(carrier, 3)
        here.engine.say("answer", 400)
        await asyncio.sleep(3)
        spoken = [e.data for e in await here.record(bridge) if e.type == "turn.agent"]
        assert [turn["text"] for turn in spoken] == ["One moment.", "Hello."]
        assert not spoken[0]["latency"]
        assert spoken[1]["latency"]["response_ms"] == 3000


@on_virtual_time
async def test_a_tools_own_sentence_is_said_while_it_works(tmp_path: Path) -> None:
    tools = '[{kind: end_call, says: "Let me see."}]'
    async with scene(tmp_path, tools=tools) as here:
        bridge, carrier = await here.live()
        await asyncio.sleep(0.1)
        here.engine.emit(FillerRequested("Let me see."))
        await asyncio.sleep(3)
        [turn] = [e.data for e in await here.record(bridge) if e.type == "turn.agent"]
        assert turn["text"] == "Let me see."
        assert sum(len(sound) for sound in carrier.sound()) == 8160


@on_virtual_time
async def test_an_answer_that_is_lost_in_the_middle_is_gone_on_with(tmp_path: Path) -> None:
    async with scene(tmp_path, **FALLBACK) as here:
        _, carrier = await here.live()
        await asyncio.sleep(0.1)
        here.engine.say("t1", 600, byte=5)
        here.engine.emit(FAILED)
        await asyncio.sleep(2)
        assert b"".join(carrier.sound()).count(b"\x05") == 600 * 8


async def history_of_a_takeover(here: Scene, *past: PastTurn) -> bool:
    bridge = here.open(await here.announced(call_id=CallId("call_2")), history=past)
    here.plug(bridge)
    await asyncio.sleep(0.1)
    return here.engine.briefs[-1].unanswered


@on_virtual_time
async def test_a_call_taken_over_is_answered_where_an_answer_is_owed(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        assert await history_of_a_takeover(here, PastTurn("caller", "are you open"))
    async with scene(tmp_path) as here:
        past = PastTurn("caller", "are you open"), PastTurn("agent", "Yes.")
        assert not await history_of_a_takeover(here, *past)
