"""Every recorded call, played again through the whole service."""

from pathlib import Path

import pytest

from service.replay import cassette, playing
from service.replay.diff import compare
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
    recorded = cassette.read(path)
    lines = playing.play_inside(recorded, agents=AGENTS)
    assert [str(difference) for difference in compare(recorded.lines, lines)] == []


@pytest.mark.parametrize("carrier", ["twilio", "telnyx"])
def test_each_story_is_told_by_both_carriers(carrier: str) -> None:
    assert {path.stem for path in CASSETTES if path.parent.name == carrier} >= STORIES


def test_two_replays_are_alike_to_the_millisecond() -> None:
    recorded = cassette.read(INTERRUPTS)
    first, second = (playing.play_inside(recorded, agents=AGENTS) for _ in range(2))
    told = [
        [(line.at_ms, line.event) for line in lines if line.lane == "store"]
        for lines in (first, second)
    ]
    clears = [
        [line.at_ms for line in lines if (line.message or {}).get("event") == "clear"]
        for lines in (first, second)
    ]
    assert told[0][:5] == told[1][:5]
    assert clears[0] == clears[1] != []


def test_recorded_numbers_are_fictional() -> None:
    for path in CASSETTES:
        assert b'"redacted":true' in path.read_bytes().partition(b"\n")[0]
        for number in _numbers(path.read_text("utf-8")):
            assert number.startswith("+1415555"), f"{path.name}: {number}"


def _numbers(text: str) -> set[str]:
    import re

    return set(re.findall(r"\"(\+\d{7,15})\"", text))
