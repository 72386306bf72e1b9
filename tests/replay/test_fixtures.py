"""Every recorded call, played again through the whole service."""

import re
from pathlib import Path

import pytest

from service.cassettes import files
from service.core.dialog import Dialog
from service.replay import playing
from service.replay.diff import Tolerances, compare
from tests.replay.fixtures import AGENTS, CASSETTES, INTERRUPTS

STORIES = {
    "inbound-talked-through",
    "inbound-caller-interrupts-greeting",
    "inbound-caller-hangs-up-mid-sentence",
    "inbound-dtmf",
    "inbound-webhooks-shuffled-and-repeated",
    "inbound-socket-lost-and-reopened",
    "outbound-busy",
    "outbound-answered",
}


@pytest.mark.parametrize("path", CASSETTES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_bridge_does_what_the_cassette_says(path: Path) -> None:
    recorded = files.read(path)
    lines = playing.play_inside(recorded, agents=AGENTS)
    assert [str(difference) for difference in compare(recorded.lines, lines)] == []


@pytest.mark.parametrize("carrier", ["twilio", "telnyx"])
def test_each_story_is_told_by_both_carriers(carrier: str) -> None:
    assert {path.stem for path in CASSETTES if path.parent.name == carrier} >= STORIES


def test_a_bridge_that_does_not_fall_silent_is_caught_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Dialog, "_barge_in", lambda _dialog, _now_ms: [])
    recorded = files.read(INTERRUPTS)
    found = compare(recorded.lines, playing.play_inside(recorded, agents=AGENTS))
    named = {(difference.kind, difference.what) for difference in found}
    assert {("missing", "clear"), ("missing", "agent.interrupted")} <= named


def test_two_replays_of_a_cassette_are_alike() -> None:
    recorded = files.read(INTERRUPTS)
    first, second = (playing.play_inside(recorded, agents=AGENTS) for _ in range(2))
    assert compare(first, second, Tolerances(clear_ms=0, store_ms=60)) == []


def test_recorded_numbers_are_fictional() -> None:
    for path in CASSETTES:
        assert b'"redacted":true' in path.read_bytes().partition(b"\n")[0]
        for number in _numbers(path.read_text("utf-8")):
            assert number.startswith("+1415555"), f"{path.name}: {number}"


def _numbers(text: str) -> set[str]:
    return set(re.findall(r"\"(\+\d{7,15})\"", text))
