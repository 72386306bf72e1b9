"""Tests of the engine lane: what is written of an engine is what a replay makes of it again."""

import json
from base64 import b64encode

import numpy as np
import pytest
from msgspec import json as msgspec_json

from service.cassettes.cassette import CassetteError, Happening, Line
from service.cassettes.engine_lane import (
    Telephone,
    ToldCommand,
    decode_engine_command,
    decode_engine_event,
    engine_command_line,
    engine_event_line,
    talk_closed_line,
    talk_opened_line,
)
from service.core.audio import PCM16_8K, PCMU_8K, AudioFrame, Encoding, MediaFormat, Party
from service.core.commands import Interrupt, StartTurn, TellDigit
from service.core.errors import MediaError
from service.core.events import (
    EndRequested,
    EngineEvent,
    EngineFailed,
    SpeechStarted,
    SpeechStopped,
    Transcribed,
    TurnAudio,
    TurnEnded,
    TurnId,
    TurnStarted,
    TurnText,
)
from service.core.turns import PastTurn
from service.media import g711

TURN = TurnId("turn_1")
SOUND = TurnAudio(TURN, AudioFrame(bytes(range(160)), PCMU_8K, 40, 20, Party.AGENT))

EVENTS: list[EngineEvent] = [
    SpeechStarted(20),
    SpeechStopped(900),
    Transcribed("when are you open"),
    Transcribed("when are", final=False),
    TurnStarted(TURN),
    TurnText(TURN, "From nine", 0),
    SOUND,
    TurnEnded(TURN),
    EndRequested("goodbye"),
    EngineFailed("engine.slow", "one answer", fatal=False),
]
COMMANDS: list[ToldCommand] = [TellDigit("#"), StartTurn("Hello"), Interrupt(TURN, 480, "From")]


def _read_again(line: Line) -> Happening:
    read = msgspec_json.decode(msgspec_json.encode(line), type=Line)
    assert read.event is not None
    return read.event


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_what_an_engine_says_is_read_as_it_was_written(event: EngineEvent) -> None:
    assert decode_engine_event(_read_again(engine_event_line(900, event))) == event


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_what_an_engine_is_told_is_read_as_it_was_written(command: ToldCommand) -> None:
    assert decode_engine_command(_read_again(engine_command_line(900, command))) == command


def test_lines_name_their_side_and_their_kind() -> None:
    said = json.loads(msgspec_json.encode(engine_event_line(900, SOUND)))
    assert said == {
        "at_ms": 900,
        "lane": "engine",
        "from": "engine",
        "event": {
            "type": "turn_audio",
            "data": {
                "turn_id": TURN,
                "audio": b64encode(bytes(range(160))).decode(),
                "start_ms": 40,
                "duration_ms": 20,
            },
        },
    }
    told = json.loads(msgspec_json.encode(engine_command_line(905, StartTurn("Hello"))))
    assert (told["from"], told["event"]) == (
        "bridge",
        {"type": "start_turn", "data": {"text": "Hello"}},
    )


def test_a_talk_begins_with_its_engine_and_what_was_said_before_and_ends() -> None:
    opened = _read_again(talk_opened_line(0, "offline", [PastTurn("caller", "hello")]))
    history = [{"who": "caller", "text": "hello"}]
    assert opened == Happening("open", {"engine": "offline", "history": history})
    assert _read_again(talk_closed_line(5000)) == Happening("close", {})


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (Happening("turn_sung", {}), "turn_sung"),
        (Happening("turn_audio", {"turn_id": "t", "start_ms": 0, "duration_ms": 20}), "audio"),
        (
            Happening(
                "turn_audio", {"turn_id": "t", "audio": "!", "start_ms": 0, "duration_ms": 20}
            ),
            "turn_audio",
        ),
        (Happening("speech_started", {"start_ms": "soon"}), "start_ms"),
    ],
)
def test_a_line_that_no_engine_says_is_named(event: Happening, said: str) -> None:
    with pytest.raises(CassetteError, match=said):
        decode_engine_event(event)


def test_other_sound_than_the_telephones_is_not_written() -> None:
    frame = AudioFrame(b"\x00" * 320, PCM16_8K, 0, 20, Party.AGENT)
    with pytest.raises(MediaError):
        engine_event_line(0, TurnAudio(TURN, frame))


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 24_000])
def test_sound_of_any_format_becomes_the_telephones_and_keeps_its_place(rate_hz: int) -> None:
    form = MediaFormat(Encoding.PCM16, rate_hz)
    seconds = np.arange(rate_hz) / rate_hz
    tone = (8000 * np.sin(2 * np.pi * 440 * seconds)).astype("<i2").tobytes()
    size = rate_hz // 50 * 2
    telephone = Telephone()
    heard: list[TurnAudio] = []
    for at, start in enumerate(range(0, len(tone), size)):
        frame = AudioFrame(tone[start : start + size], form, at * 20, 20, Party.AGENT)
        heard += [e for e in telephone.convert(TurnAudio(TURN, frame)) if isinstance(e, TurnAudio)]
    assert [event.frame.start_ms for event in heard] == list(range(0, 1000, 20))
    last, ended = telephone.convert(TurnEnded(TURN))[:-1], TurnEnded(TURN)
    heard += [event for event in last if isinstance(event, TurnAudio)]
    assert telephone.convert(ended) == [ended]  # the last bit is said once
    assert {event.frame.format for event in heard} == {PCMU_8K}
    sound = np.frombuffer(g711.decode_pcmu(b"".join(e.frame.data for e in heard)), "<i2")
    assert abs(len(sound) - 8000) <= 40
    assert np.argmax(np.abs(np.fft.rfft(sound, 8000))) == pytest.approx(440, abs=2)


def test_telephone_sound_passes_untouched() -> None:
    assert Telephone().convert(SOUND) == [SOUND]
