"""The echo: an utterance comes back after its end, and the echo does not answer itself."""

import asyncio
import itertools
from collections.abc import Iterable

from service.agents import Agent
from service.ai.base import Brief
from service.ai.echo import OWN_VOICE_MS, UTTERANCE_MOST_MS, EchoEngine
from service.ai.spoken import Spoken
from service.core.audio import PCMU_8K, AudioFrame
from service.core.calls import CallId
from service.core.commands import EngineCommand, Hear, StartTurn
from service.core.errors import EngineError, TextRefused
from service.core.events import (
    EngineEvent,
    EngineFailed,
    SpeechStarted,
    SpeechStopped,
    TurnAudio,
    TurnEnded,
    TurnStarted,
)
from tests.voices import on_the_line, recording, silence

AGENT = Agent(name="parrot", engine="echo", greeting="Say something.")
GREETING_MS = 1000


async def speak(text: str) -> Spoken:
    if text == "unspeakable":
        raise EngineError("test.mute")
    if text == "endless":
        raise TextRefused("test.too_long")
    return Spoken(bytes(16 * GREETING_MS))


async def answers(commands: Iterable[EngineCommand]) -> list[EngineEvent]:
    number = itertools.count()
    events: list[EngineEvent] = []
    brief = Brief(call_id=CallId("call_1"), agent=AGENT, hears=PCMU_8K, speaks=PCMU_8K)
    engine = EchoEngine(lambda prefix: f"{prefix}_{next(number)}", speak)
    async with engine.open(brief, events.append) as talk:
        for command in commands:
            talk.do(command, 0)
            await asyncio.sleep(0)
        for _ in range(200):
            await asyncio.sleep(0)
    return events


def heard(pcm: bytes, *, start_ms: int = 0) -> list[Hear]:
    return [Hear(frame) for frame in on_the_line(pcm, start_ms=start_ms)]


def spoken(events: list[EngineEvent]) -> list[AudioFrame]:
    return [event.frame for event in events if isinstance(event, TurnAudio)]


async def test_an_utterance_comes_back_whole_after_its_end() -> None:
    voice = recording("agent-alreadyon")
    events = await answers(heard(silence(1000) + voice + silence(1000)))
    kinds = [type(event) for event in events if not isinstance(event, TurnAudio)]
    assert kinds == [SpeechStarted, SpeechStopped, TurnStarted, TurnEnded]
    back = b"".join(frame.data for frame in spoken(events))
    line = b"".join(frame.data for frame in on_the_line(silence(1000) + voice))
    started = next(event for event in events if isinstance(event, SpeechStarted))
    assert line[started.start_ms * 8 : 8000 + len(voice) // 2 - 800] in back
    assert [frame.start_ms for frame in spoken(events)] == list(range(0, len(back) // 8, 20))


async def test_its_own_voice_on_a_slow_line_is_not_answered() -> None:
    voice = recording("hello")
    once = silence(1000) + voice + silence(1000)
    events = await answers(heard(once))
    own_ms = sum(frame.duration_ms for frame in spoken(events))
    line_echo = b"".join([once, silence(200), voice, silence(own_ms + OWN_VOICE_MS)])
    events = await answers(heard(line_echo))
    assert sum(isinstance(event, TurnStarted) for event in events) == 1


async def test_it_listens_again_when_its_voice_is_off_the_line() -> None:
    once = silence(1000) + recording("hello") + silence(1000)
    events = await answers(heard(once + silence(2500) + once))
    assert sum(isinstance(event, TurnStarted) for event in events) == 2


async def test_the_greeting_is_said_and_not_listened_to() -> None:
    during = heard(silence(100) + recording("hello")[: 16 * 600] + silence(800))
    events = await answers([StartTurn(AGENT.greeting), *during])
    assert [type(event) for event in events if not isinstance(event, TurnAudio)] == [
        TurnStarted,
        TurnEnded,
    ]
    assert sum(frame.duration_ms for frame in spoken(events)) >= GREETING_MS


async def test_who_never_stops_is_answered_all_the_same() -> None:
    tone = b"".join(bytes(2) + (8000).to_bytes(2, "little") for _ in range(4 * 400))
    babble = (tone + recording("hello")) * (UTTERANCE_MOST_MS // 400)
    events = await answers(heard(silence(500) + babble))
    [first, *_] = [event.turn_id for event in events if isinstance(event, TurnStarted)]
    ours = [event.frame for event in events if isinstance(event, TurnAudio)]
    assert first
    assert sum(frame.duration_ms for frame in ours) >= UTTERANCE_MOST_MS - 100


async def test_a_greeting_that_cannot_be_said_is_an_engine_failure() -> None:
    [event] = await answers([StartTurn("unspeakable")])
    assert isinstance(event, EngineFailed)
    assert event.code == "test.mute"


async def test_a_text_that_cannot_be_spoken_is_skipped() -> None:
    fault, *turn = await answers([StartTurn("endless"), StartTurn("Hello.")])
    assert fault == EngineFailed("test.too_long", "", fatal=False)
    assert isinstance(turn[0], TurnStarted)
