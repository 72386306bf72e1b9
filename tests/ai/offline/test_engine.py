"""Conversations with the real engine: recorded and synthetic callers over mu-law."""

import asyncio
import itertools
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from service.agents import Agent, AgentBook, Voice
from service.ai.base import Brief
from service.ai.offline.engine import OfflineEngine
from service.ai.offline.talk import OfflineTalk
from service.ai.offline.workers import Workers
from service.ai.spoken import Spoken
from service.core.audio import PCMU_8K
from service.core.calls import CallId
from service.core.commands import Hear, StartTurn, TellDigit
from service.core.errors import EngineError
from service.core.events import (
    EndRequested,
    EngineEvent,
    EngineFailed,
    SpeechStarted,
    SpeechStopped,
    Transcribed,
    TurnAudio,
    TurnEnded,
    TurnStarted,
    TurnText,
)
from service.core.turns import PastTurn
from tests.voices import on_the_line, recording, silence

AGENTS = Path(__file__).parents[3] / "agents"
BESIDE_THE_SCRIPT = (
    "agent-loginok",
    "auth-incorrect",
    "call-fwd-no-ans",
    "conf-onlyperson",
    "demo-abouttotry",
    "dir-nomore",
    "info-about-last-call",
    "pbx-invalid",
    "queue-youarenext",
    "tt-monkeysintro",
    "vm-incorrect-mailbox",
    "vm-nobodyavail",
)
CALLER = Voice(name="en", words_per_minute=150)


@pytest.fixture
async def engine() -> AsyncIterator[OfflineEngine]:
    number = itertools.count()
    async with OfflineEngine(lambda prefix: f"{prefix}_{next(number)}", staff=Workers(1)) as engine:
        yield engine


class Call:
    """A caller, and what they get to hear."""

    def __init__(self, engine: OfflineEngine, agent: Agent, **brief: Any) -> None:
        self._engine = engine
        self._now_ms = 0
        self.events: list[EngineEvent] = []
        told = Brief(call_id=CallId("call_1"), agent=agent, hears=PCMU_8K, speaks=PCMU_8K)
        self.line = engine.open(replace(told, **brief), self._take)
        self._ended = asyncio.Event()

    def _take(self, event: EngineEvent) -> None:
        self.events.append(event)
        if isinstance(event, TurnEnded):
            self._ended.set()

    async def answer(self) -> str:
        async with asyncio.timeout(20):
            await self._ended.wait()
        self._ended.clear()
        await asyncio.sleep(0)  # what follows a turn's end is emitted with it
        return "".join(event.text for event in self.events if isinstance(event, TurnText))

    async def say(self, talk: OfflineTalk, text: str) -> str:
        return await self.play(talk, (await self._engine.synthesise(text, CALLER)).pcm)

    async def play(self, talk: OfflineTalk, pcm: bytes) -> str:
        self.events.clear()
        for frame in on_the_line(silence(500) + pcm + silence(900), start_ms=self._now_ms):
            talk.do(Hear(frame), 0)
            self._now_ms = frame.start_ms + 20
        return await self.answer()

    def heard(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Transcribed)]


def shipped(name: str) -> Agent:
    book = AgentBook(AGENTS)
    book.load()
    agent = book.get(name)
    assert agent is not None
    return agent


async def test_a_conversation_that_another_engine_began_is_answered_where_it_stands(
    engine: OfflineEngine,
) -> None:
    asked = PastTurn("agent", "Hello."), PastTurn("caller", "When are you open?")
    call = Call(engine, shipped("receptionist"), history=asked, unanswered=True)
    async with call.line:
        assert "nine to five" in await call.answer()


async def test_a_booking_from_the_greeting_to_the_goodbye(engine: OfflineEngine) -> None:
    agent = shipped("receptionist")
    call = Call(engine, agent)
    async with call.line as talk:
        talk.do(StartTurn(agent.greeting), 0)
        assert await call.answer() == agent.greeting
        assert "nine to five" in await call.say(talk, "what are your opening hours")
        assert "Which day" in await call.say(talk, "i would like to book an appointment")
        assert await call.say(talk, "on tuesday") == "Tuesday is fine. Morning or afternoon?"
        assert "Tuesday at ten" in await call.say(talk, "in the morning")
        assert "booked for Tuesday" in await call.say(talk, "yes please")
        assert "Goodbye" in await call.say(talk, "no thank you")
        kinds = [type(e) for e in call.events if not isinstance(e, TurnText | TurnAudio)]
        assert kinds == [
            SpeechStarted,
            SpeechStopped,
            Transcribed,
            TurnStarted,
            TurnEnded,
            EndRequested,
        ]


async def test_most_speech_beside_the_script_is_not_taken_for_a_phrase(
    engine: OfflineEngine,
) -> None:
    agent = shipped("receptionist")
    call = Call(engine, agent)
    async with call.line as talk:
        answers = [await call.play(talk, recording(name)) for name in BESIDE_THE_SCRIPT]
    # Measured: 9 of 12. Refusing more would refuse too many who do keep to the script.
    assert answers.count(agent.not_understood) >= 9


async def test_a_recorded_person_is_understood(engine: OfflineEngine) -> None:
    days = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]
    agent = Agent.model_validate(
        {
            "name": "days",
            "engine": "offline",
            "greeting": "Which day?",
            "slots": {"day": days},
            "replies": [{"hears": ["{day}"], "says": "{day}."}],
        }
    )
    call = Call(engine, agent)
    right = 0
    async with call.line as talk:
        for number, day in enumerate(days):
            answer = await call.play(talk, recording(f"digits/day-{number}"))
            right += answer == f"{day.capitalize()}."
    assert right >= 6


async def test_keys_are_answered_and_can_end_the_call(engine: OfflineEngine) -> None:
    call = Call(engine, shipped("keypad"))
    async with call.line as talk:
        talk.do(TellDigit("1"), 0)
        assert "Saturdays" in await call.answer()
        call.events.clear()
        talk.do(TellDigit("9"), 0)
        assert await call.answer() == "Goodbye."
        assert isinstance(call.events[-1], EndRequested)


async def test_each_word_is_placed_where_it_is_heard(engine: OfflineEngine) -> None:
    spoken = await engine.synthesise("We're open 9-5; caf\u00e9 too.")
    assert "".join(word.text for word in spoken.words) == "We're open 9-5; caf\u00e9 too."
    starts = [word.start_ms for word in spoken.words]
    assert starts == sorted(starts)
    assert len(set(starts)) == len(starts)
    assert starts[-1] < spoken.duration_ms


async def test_speech_is_as_loud_as_a_telephone_wants_and_does_not_clip(
    engine: OfflineEngine,
) -> None:
    spoken = await engine.synthesise("We are open from nine to five, Monday to Friday.")
    samples = np.frombuffer(spoken.pcm, "<i2").astype(float)
    voiced = samples[np.abs(samples) > 300]
    assert 20 * np.log10(np.sqrt(np.mean(voiced**2)) / 32768) == pytest.approx(-16, abs=1.5)
    assert np.abs(samples).max() < 32767


async def test_nothing_holds_the_loop_while_it_speaks_and_understands(
    engine: OfflineEngine,
) -> None:
    call = Call(engine, shipped("receptionist"))
    longest_s = 0.0
    async with call.line as talk:
        frames = on_the_line(
            silence(500) + (await engine.synthesise("when are you open", CALLER)).pcm + silence(900)
        )
        for frame in frames:
            began_s = time.thread_time()  # of this thread alone: other processes are not counted
            talk.do(Hear(frame), 0)
            await asyncio.sleep(0)
            longest_s = max(longest_s, time.thread_time() - began_s)
        while not any(isinstance(event, TurnEnded) for event in call.events):
            began_s = time.thread_time()
            await asyncio.sleep(0)
            longest_s = max(longest_s, time.thread_time() - began_s)
    assert longest_s < 0.005


def children() -> list[int]:
    found = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(os.getpid())],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [int(line.split()[0]) for line in found if "service.ai.offline.worker" in line]


async def test_a_worker_that_dies_is_replaced_and_nobody_notices(engine: OfflineEngine) -> None:
    [worker] = children()
    os.kill(worker, signal.SIGKILL)
    spoken: Spoken = await engine.synthesise("Still here.")
    assert spoken.pcm
    assert children() != [worker]


async def test_no_worker_outlives_the_engine(engine: OfflineEngine) -> None:
    assert len(children()) == 1
    await engine.aclose()
    assert children() == []
    with pytest.raises(EngineError, match=r"offline\.closed"):
        await engine.synthesise("Anybody?")


async def test_a_text_without_end_is_refused(engine: OfflineEngine) -> None:
    with pytest.raises(EngineError, match=r"offline\.text_too_long"):
        await engine.synthesise("a " * 4000)


async def test_a_text_that_cannot_be_spoken_costs_that_sentence_and_not_the_call(
    engine: OfflineEngine,
) -> None:
    call = Call(engine, shipped("receptionist"))
    async with call.line as talk:
        for unspeakable in ("a " * 4000, "half of a pair: \ud800"):
            talk.do(StartTurn(unspeakable), 0)
        talk.do(StartTurn("Still here."), 0)
        assert await call.answer() == "Still here."
    faults = {event.code: event.fatal for event in call.events if isinstance(event, EngineFailed)}
    assert faults == {"offline.text_too_long": False, "offline.not_text": False}


async def test_what_was_said_just_before_the_end_is_told_and_not_answered(
    engine: OfflineEngine,
) -> None:
    agent = shipped("receptionist")
    call = Call(engine, agent)
    question = (await engine.synthesise("What are your opening hours?", CALLER)).pcm
    async with call.line as talk:
        for frame in on_the_line(silence(500) + question):  # and not a moment of silence after
            talk.do(Hear(frame), 0)
        await talk.hear_out()
        assert [type(event) for event in call.events] == [SpeechStarted, SpeechStopped, Transcribed]
        assert call.heard() == ["what are your opening hours"]
