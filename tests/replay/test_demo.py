"""`make demo`: a person reads it, and a build may rely on its exit code."""

import os
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from service.replay import demo
from service.replay.chat import Chat, Style
from tests.replay.fixtures import ROOT


def test_the_demo_talks_over_both_carriers_and_leaves_no_doubt(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service.replay.demo", "--wav", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = done.stdout
    for said in (
        "Twilio.",
        "Telnyx.",
        "caller  i would like to book an appointment",
        "agent   Hello, Acme Dental. How can I help?",
        "[not heard:",
        "the agent was interrupted after",
        "presses 0",
        "end of turn",
        "completed, ended by the agent",
        "completed, ended by the caller",
        "of call time played in",
    ):
        assert said in shown
    assert "\033" not in shown
    for carrier in ("twilio", "telnyx"):
        with wave.open(str(tmp_path / f"{carrier}.wav")) as file:
            assert (file.getnchannels(), file.getframerate()) == (2, 8000)
            assert file.getnframes() > 15 * 8000


def test_a_demo_in_which_the_agent_understands_nothing_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = demo.Scene(
        carrier="twilio",
        title="A caller who is not understood",
        lines=(demo.Line("my hovercraft is full of eels"),),
        hangs_up=True,
        answers=("Hello", "We are open"),
        interruptions=1,
    )
    monkeypatch.setattr(demo, "SCENES", (scene,))
    monkeypatch.chdir(ROOT)
    assert demo.main([]) == 1
    assert "did not happen: twilio: every sentence understood" in capsys.readouterr().err


def test_on_a_terminal_what_was_not_heard_is_struck_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    at = "2026-01-01T00:00:00.000Z"
    data = {"text": "One two three.", "heard_text": "One", "started_at": at, "latency": {}}
    turn = {"type": "turn.agent", "at": at, "data": data}
    Chat(Style(colour=True)).tell([turn])
    assert "One \033[2;9mtwo three.\033[0m" in capsys.readouterr().out
    Chat(Style(colour=False)).tell([turn])
    assert "One [not heard: two three.]" in capsys.readouterr().out
