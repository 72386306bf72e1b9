"""A caller's script as data."""

import base64
import io
import wave
from pathlib import Path
from typing import Any

import pytest

from service.media.g711 import decode_pcmu
from service.twin.caller import (
    Disturb,
    DropSocket,
    Freeze,
    HangUp,
    InterruptAfter,
    Press,
    Raw,
    Redial,
    Say,
    Silence,
    WaitForAgent,
    WaitForAgentStart,
)
from service.twin.script import MAX_STEPS, ScriptFault, Sounds, read_script
from tests.twin.sounds import tone


def _speak(text: str) -> bytes:
    return text.encode()


def _wav(ms: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(decode_pcmu(tone(ms)))
    return file.getvalue()


SOUNDS = Sounds(_speak)


def test_every_step_has_a_name_in_a_script(tmp_path: Path) -> None:
    (tmp_path / "hello.wav").write_bytes(_wav(40))
    script = [
        "wait_for_agent",
        {"wait_for_agent": {"quiet_ms": 300}},
        {"wait_for_agent_start": {"timeout_ms": 5000}},
        {"say": "hello"},
        {"play": "hello.wav"},
        {"wav_base64": base64.b64encode(_wav(40)).decode()},
        {"interrupt": {"after_ms": 800, "say": "stop"}},
        {"press": "12#"},
        {"press": 5},
        {"silence": 500},
        {"disturb": {"drop_every": 3, "lose_marks": True}},
        {"freeze": 100},
        {"raw": "{}"},
        "redial",
        {"drop_socket": {"close_code": 1011}},
        "drop_socket",
        "hang_up",
    ]
    assert read_script(script, Sounds(_speak, tmp_path)) == (
        WaitForAgent(),
        WaitForAgent(quiet_ms=300),
        WaitForAgentStart(5000),
        Say(b"hello", "hello"),
        Say(tone(40), "play"),
        Say(tone(40), "wav_base64"),
        InterruptAfter(800, b"stop", "stop"),
        Press("12#"),
        Press("5"),
        Silence(500),
        Disturb(drop_every=3, lose_marks=True),
        Freeze(100),
        Raw("{}"),
        Redial(),
        DropSocket(1011),
        DropSocket(),
        HangUp(),
    )


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ("sing", "no step is called 'sing'"),
        (7, "a step is a name"),
        ({"say": "a", "press": "1"}, "a step is a name"),
        ({"say": ""}, "expected a text"),
        ({"silence": -1}, "expected milliseconds"),
        ({"silence": "1"}, "expected milliseconds"),
        ({"press": "x"}, "keys are"),
        ({"wait_for_agent": {"patience": 3}}, "patience"),
        ({"wait_for_agent": {"quiet_ms": 10**9}}, "quiet_ms is not between"),
        ({"interrupt": "now"}, "expected milliseconds"),
        ({"interrupt": {"after_ms": 1}}, "exactly one of say, play"),
        ({"interrupt": {"after_ms": 1, "say": "a", "loud": True}}, "interrupt has no loud"),
        ({"wav_base64": "***"}, "not base64"),
        ({"wav_base64": "aaaa"}, "expected a WAV file"),
        ({"play": "hello.wav"}, "files cannot be played here"),
    ],
)
def test_a_step_that_cannot_be_is_named_with_its_number(step: Any, why: str) -> None:
    with pytest.raises(ScriptFault) as fault:
        read_script(["hang_up", step], SOUNDS)
    [told] = fault.value.faults
    assert told.startswith("step 2: ")
    assert why in told


def test_all_faults_are_told_together() -> None:
    with pytest.raises(ScriptFault) as fault:
        read_script(["a", "hang_up", "b"], SOUNDS)
    assert [told[:6] for told in fault.value.faults] == ["step 1", "step 3"]


def test_a_script_may_not_leave_its_folder(tmp_path: Path) -> None:
    (tmp_path / "secret.wav").write_bytes(_wav(40))
    folder = tmp_path / "sounds"
    folder.mkdir()
    with pytest.raises(ScriptFault, match="not in the folder"):
        read_script([{"play": "../secret.wav"}], Sounds(_speak, folder))


@pytest.mark.parametrize("script", [{}, "hang_up", ["hang_up"] * (MAX_STEPS + 1)])
def test_what_is_no_list_or_too_long_is_no_script(script: Any) -> None:
    with pytest.raises(ScriptFault):
        read_script(script, SOUNDS)
