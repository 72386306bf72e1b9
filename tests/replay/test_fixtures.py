"""Every recorded call, played again through the whole service."""

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from fixtures.make import stories
from fixtures.stories.story import shortcomings
from service.cassettes import files
from service.cassettes.cassette import Lane
from service.core.dialog import Dialog
from service.replay import playing
from service.replay.diff import Tolerances, compare
from tests.replay.fixtures import AGENTS, CASSETTES, INTERRUPTS, ROOT

SPOKEN = (
    "inbound-caller-interrupts-greeting",
    "inbound-caller-hangs-up-mid-sentence",
    "inbound-two-keys-at-once",
    "outbound-answered",
)
"""Calls whose words are also said and understood anew, without the recorded engine."""

MOST_BYTES, MOST_BYTES_OF_ALL = 600_000, 24_000_000


def _name(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


@pytest.mark.parametrize("path", CASSETTES, ids=_name)
def test_the_bridge_does_what_the_cassette_says(path: Path) -> None:
    recorded = files.read(path)
    lines = playing.play_inside(recorded, agents=AGENTS)
    assert [str(difference) for difference in compare(recorded.lines, lines)] == []


@pytest.mark.parametrize(
    "path",
    [path for path in CASSETTES if path.stem in SPOKEN and path.parent.name == "telnyx"],
    ids=_name,
)
def test_the_agents_own_engine_says_the_same_again(path: Path) -> None:
    recorded = files.read(path)
    lines = playing.play_inside(recorded, agents=AGENTS, engine="live")
    lanes: tuple[Lane, ...] = ("stream", "webhook", "rest", "store")
    assert [str(found) for found in compare(recorded.lines, lines, lanes=lanes)] == []


def test_an_agent_that_was_chosen_by_a_number_now_hidden_answers_again() -> None:
    [path] = [path for path in CASSETTES if path.match("twilio/inbound-dtmf.jsonl")]
    recorded = files.read(path)
    first = recorded.lines[0]
    assert first.request is not None
    by_number = replace(first, request=replace(first.request, path="/twilio/voice"))
    anew = replace(recorded, lines=(by_number, *recorded.lines[1:]))
    lines = playing.play_inside(anew, agents=AGENTS)
    assert [str(difference) for difference in compare(anew.lines, lines)] == []


def test_each_story_is_told_by_the_carriers_it_happens_with() -> None:
    told = {(carrier, story.name) for story in stories().values() for carrier in story.carriers}
    assert {(path.parent.name, path.stem) for path in CASSETTES} == told


@pytest.mark.parametrize("path", CASSETTES, ids=_name)
def test_a_cassette_shows_what_its_story_is_for(path: Path) -> None:
    assert shortcomings(stories()[path.stem], files.read(path)) == []


def test_every_cassette_is_listed_with_its_story() -> None:
    listed = set(
        re.findall(r"^\| `([a-z0-9-]+)` \|", (ROOT / "fixtures/README.md").read_text(), re.M)
    )
    assert listed >= {path.stem for path in CASSETTES}


def test_cassettes_stay_small() -> None:
    sizes = {path: path.stat().st_size for path in CASSETTES}
    assert max(sizes.values()) < MOST_BYTES
    assert sum(sizes.values()) < MOST_BYTES_OF_ALL


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
            assert number.startswith(("+1415555", "+1555010")), f"{path.name}: {number}"


def _numbers(text: str) -> set[str]:
    return set(re.findall(r"\"(\+\d{7,15})\"", text))
