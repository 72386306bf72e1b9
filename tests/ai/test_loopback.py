"""The line test: what comes goes back."""

import itertools

from service.agents import Agent
from service.ai.base import Brief
from service.ai.loopback import LoopbackEngine
from service.core.audio import PCMA_8K, PCMU_8K, AudioFrame, MediaFormat, Party
from service.core.calls import CallId
from service.core.commands import EngineCommand, Hear, StartTurn, TellDigit
from service.core.events import EngineEvent, TurnAudio, TurnStarted
from service.media.convert import Converter
from tests.voices import on_the_line, recording

FRAMES = on_the_line(recording("hello"))
AGENT = Agent(name="line", engine="loopback")


async def answers(speaks: MediaFormat, commands: list[EngineCommand]) -> list[EngineEvent]:
    number = itertools.count()
    events: list[EngineEvent] = []
    brief = Brief(call_id=CallId("call_1"), agent=AGENT, hears=PCMU_8K, speaks=speaks)
    engine = LoopbackEngine(lambda prefix: f"{prefix}_{next(number)}")
    async with engine.open(brief, events.append) as talk:
        for command in commands:
            talk.do(command, 0)
    return events


async def test_frames_of_an_equal_format_come_back_as_they_are_in_one_turn() -> None:
    first, *rest = await answers(PCMU_8K, [Hear(frame) for frame in FRAMES])
    assert isinstance(first, TurnStarted)
    back = [event for event in rest if isinstance(event, TurnAudio)]
    assert {event.turn_id for event in back} == {first.turn_id}
    assert len(back) == len(rest) == len(FRAMES)
    assert all(event.frame is frame for event, frame in zip(back, FRAMES, strict=True))


async def test_frames_too_short_for_a_carrier_come_back_as_whole_ones() -> None:
    short = [
        AudioFrame(frame.data[at : at + 40], PCMU_8K, frame.start_ms + at // 8, 5, Party.REMOTE)
        for frame in FRAMES
        for at in range(0, len(frame.data), 40)
    ]
    events = await answers(PCMU_8K, [Hear(frame) for frame in short])
    back = [event.frame for event in events if isinstance(event, TurnAudio)]
    assert {frame.duration_ms for frame in back} == {20}
    assert b"".join(frame.data for frame in back) == b"".join(frame.data for frame in FRAMES)


async def test_another_format_comes_back_converted() -> None:
    events = await answers(PCMA_8K, [Hear(frame) for frame in FRAMES])
    heard = b"".join(event.frame.data for event in events if isinstance(event, TurnAudio))
    sent = b"".join(frame.data for frame in FRAMES)
    assert heard == Converter(PCMU_8K, PCMA_8K).convert(sent)


async def test_it_says_nothing_of_its_own() -> None:
    assert await answers(PCMU_8K, [StartTurn("Hello"), TellDigit("1")]) == []
