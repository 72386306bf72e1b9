"""Tests of the recorded engine: it says at its time what a cassette's engine said."""

import asyncio
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest

from service.agents import AgentBook
from service.ai.base import Brief
from service.cassettes.cassette import Cassette, Happening, Line
from service.cassettes.files import read
from service.core.audio import PCM16_8K, PCMU_8K, AudioFrame, MediaFormat, Party
from service.core.calls import CallId
from service.core.commands import EngineCommand, Hear, StartTurn, TellDigit
from service.core.errors import EngineError
from service.core.events import (
    EngineEvent,
    EngineFailed,
    SpeechStarted,
    TurnAudio,
    TurnEnded,
    TurnId,
    TurnStarted,
)
from service.media import g711
from service.replay import playing, virtual
from service.replay.recorded_engine import RecordedEngine
from tests.replay.fixtures import AGENTS, ROOT

SOUND = bytes(range(256)) * 10
HUNG_UP = ROOT / "fixtures/twilio/inbound-caller-hangs-up-mid-sentence.jsonl"
FRAME = AudioFrame(b"\xff" * 160, PCMU_8K, 0, 20, Party.REMOTE)


def told(at_ms: int, kind: str, **data: Any) -> Line:
    return Line(at_ms=at_ms, lane="engine", from_="bridge", event=Happening(kind, data))


def said(at_ms: int, kind: str, **data: Any) -> Line:
    return Line(at_ms=at_ms, lane="engine", from_="engine", event=Happening(kind, data))


def turn(at_ms: int, name: str, sound: bytes = SOUND) -> list[Line]:
    audio = b64encode(sound).decode()
    return [
        said(at_ms, "turn_started", turn_id=name),
        said(
            at_ms,
            "turn_audio",
            turn_id=name,
            audio=audio,
            start_ms=0,
            duration_ms=len(sound) // 8,
        ),
        said(at_ms, "turn_ended", turn_id=name),
    ]


def opened(at_ms: int) -> Line:
    return told(at_ms, "open", engine="offline", history=[])


def brief(speaks: MediaFormat = PCMU_8K) -> Brief:
    book = AgentBook(AGENTS)
    book.load()
    agent = next(iter(book))
    return Brief(call_id=CallId("call_1"), agent=agent, hears=PCMU_8K, speaks=speaks)


def talk(
    lines: list[Line],
    *commands: tuple[int, EngineCommand],
    speaks: MediaFormat = PCMU_8K,
    until_ms: int = 10_000,
) -> list[tuple[int, EngineEvent]]:
    """What the engine says, and when, to whom these commands are given at their times."""

    async def main() -> list[tuple[int, EngineEvent]]:
        loop = asyncio.get_running_loop()
        heard: list[tuple[int, EngineEvent]] = []
        engine = RecordedEngine(lines)
        emit = lambda event: heard.append((int(loop.time() * 1000), event))  # noqa: E731
        async with engine.open(brief(speaks), emit) as conversation:
            for at_ms, command in commands:
                await asyncio.sleep(at_ms / 1000 - loop.time())
                conversation.do(command, at_ms)
            await asyncio.sleep(until_ms / 1000 - loop.time())
        return heard

    return virtual.run(main())


def times(heard: list[tuple[int, EngineEvent]], kind: type[EngineEvent]) -> list[int]:
    return [at_ms for at_ms, event in heard if isinstance(event, kind)]


def test_an_answer_follows_todays_question_after_as_long_as_it_did_then() -> None:
    lines = [opened(0), told(100, "start_turn", text="Hello"), *turn(140, "a")]
    assert times(talk(lines, (2000, StartTurn("Hello"))), TurnStarted) == [2040]


def test_what_came_of_listening_comes_at_its_time_in_the_conversation() -> None:
    lines = [
        opened(500),
        said(1700, "speech_started", start_ms=1100),
        said(2500, "speech_stopped", end_ms=1900),
        said(2600, "transcribed", text="goodbye"),
        *turn(2900, "a"),
    ]
    heard = talk(lines)
    assert times(heard, SpeechStarted) == [1200]
    assert times(heard, TurnStarted) == [2400]


def test_what_was_heard_in_a_frame_is_told_with_it_and_not_later() -> None:
    heard: list[EngineEvent] = []

    async def main() -> int:
        engine = RecordedEngine([opened(0), said(20, "speech_started", start_ms=0)])
        async with engine.open(brief(), heard.append) as conversation:
            conversation.do(Hear(FRAME), 20)
            return len(heard)

    assert virtual.run(main()) == 1


def test_each_question_has_its_own_answer() -> None:
    lines = [
        opened(0),
        told(0, "start_turn", text="Hello"),
        *turn(10, "greeting"),
        told(4000, "tell_digit", digit="1"),
        *turn(4050, "hours"),
    ]
    heard = talk(lines, (1000, TellDigit("1")), (3000, StartTurn("Hello")))
    names = [(at_ms, event.turn_id) for at_ms, event in heard if isinstance(event, TurnStarted)]
    assert names == [(1050, "hours"), (3010, "greeting")]


def test_a_question_that_was_not_asked_then_is_told_of_and_not_answered() -> None:
    heard = talk([opened(0)], (1000, StartTurn("Hello")))
    assert [type(event) for _, event in heard] == [EngineFailed]
    assert not any(event.fatal for _, event in heard if isinstance(event, EngineFailed))


def test_a_conversation_that_the_cassette_lacks_cannot_be_had() -> None:
    with pytest.raises(EngineError, match="no_talk"):
        talk([])


def test_the_conversations_of_a_call_come_one_after_the_other() -> None:
    async def main() -> list[EngineEvent]:
        heard: list[EngineEvent] = []
        engine = RecordedEngine(
            [opened(0), *turn(5, "a"), told(9, "close"), opened(20), *turn(25, "b")]
        )
        for _ in range(2):
            async with engine.open(brief(), heard.append):
                await asyncio.sleep(1)
        return heard

    started = [event for event in virtual.run(main()) if isinstance(event, TurnStarted)]
    assert started == [TurnStarted(TurnId("a")), TurnStarted(TurnId("b"))]


def test_nothing_is_said_once_the_conversation_is_left() -> None:
    async def main() -> list[EngineEvent]:
        heard: list[EngineEvent] = []
        async with RecordedEngine([opened(0), *turn(500, "a")]).open(brief(), heard.append):
            await asyncio.sleep(0.1)
        await asyncio.sleep(5)
        return heard

    assert virtual.run(main()) == []


def test_the_callers_last_words_are_waited_for() -> None:
    async def main() -> tuple[list[EngineEvent], float]:
        heard: list[EngineEvent] = []
        lines = [opened(0), said(300, "transcribed", text="bye")]
        async with RecordedEngine(lines).open(brief(), heard.append) as conversation:
            await conversation.hear_out()
            return [*heard], asyncio.get_running_loop().time()

    heard, at_s = virtual.run(main())
    assert len(heard) == 1
    assert at_s == pytest.approx(0.3, abs=0.001)


def test_the_sound_is_in_the_lines_format() -> None:
    lines = [opened(0), told(0, "start_turn", text="Hello"), *turn(0, "a")]
    heard = [event for _, event in talk(lines, (0, StartTurn("Hello")), speaks=PCM16_8K)]
    audio = [event.frame for event in heard if isinstance(event, TurnAudio)]
    assert {frame.format for frame in audio} == {PCM16_8K}
    assert b"".join(frame.data for frame in audio) == g711.decode_pcmu(SOUND)
    assert isinstance(heard[-1], TurnEnded)


def _with_greeting(path: Path) -> Cassette:
    recorded = read(path)
    lane = [
        opened(0),
        told(0, "start_turn", text="Hello"),
        *turn(0, "turn_then"),
        told(9000, "close"),
    ]
    lines = [line for line in recorded.lines if line.lane != "engine"]
    return Cassette(recorded.header, tuple(sorted([*lines, *lane], key=lambda line: line.at_ms)))


def test_a_replay_plays_the_sound_that_the_cassettes_engine_made() -> None:
    lines = playing.play_inside(_with_greeting(HUNG_UP), agents=AGENTS)
    media = [line.message["media"]["payload"] for line in lines if _is_media(line) and line.message]
    assert b"".join(b64decode(payload) for payload in media) == SOUND
    turns = [line.event.data for line in lines if line.event and line.event.type == "turn.agent"]
    assert [turn["turn_id"] for turn in turns] == ["turn_then"]


def test_a_replay_tells_what_the_bridge_told_the_engine() -> None:
    lines = playing.play_inside(_with_greeting(HUNG_UP), agents=AGENTS)
    kinds = [line.event.type for line in lines if line.lane == "engine" and line.event]
    assert kinds == ["open", "start_turn", "close"]


def test_the_agents_own_engine_runs_when_it_is_asked_for() -> None:
    lines = playing.play_inside(_with_greeting(HUNG_UP), agents=AGENTS, engine="live")
    media = [line.message["media"]["payload"] for line in lines if _is_media(line) and line.message]
    assert b"".join(b64decode(payload) for payload in media)[:1000] != SOUND[:1000]


def _is_media(line: Line) -> bool:
    return line.message is not None and line.message.get("event") == "media"
