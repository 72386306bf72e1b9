"""A carrier that returns marks in its own way is played as such, and a poor one is no excuse."""

from msgspec.structs import replace

from service.cassettes.cassette import Cassette
from service.cassettes.files import read
from service.replay import playing
from service.replay.diff import compare
from service.replay.ear import marks_of
from service.replay.faults import Marks, parse
from service.replay.invariants import breaches
from service.replay.trial import try_out
from tests.replay.fixtures import AGENTS, ROOT

LOST = ROOT / "fixtures/twilio/inbound-marks-lost-and-goodbye.jsonl"
LATE = ROOT / "fixtures/telnyx/inbound-marks-late-and-goodbye.jsonl"


def honest(cassette: Cassette) -> Cassette:
    """The same call over a carrier that returns marks as they are played."""
    return Cassette(replace(cassette.header, marks=None), cassette.lines)


def test_the_header_says_how_marks_come_back() -> None:
    assert marks_of(read(LOST).header) == [Marks("lost")]
    assert marks_of(read(LATE).header) == [Marks("late", 400)]
    assert marks_of(honest(read(LATE)).header) == []


def test_a_goodbye_whose_mark_never_comes_ends_the_call_later() -> None:
    recorded = read(LOST)
    assert compare(recorded.lines, playing.play_inside(recorded, agents=AGENTS)) == []
    found = compare(recorded.lines, playing.play_inside(honest(recorded), agents=AGENTS))
    assert ("store", "early") in {(difference.lane, difference.kind) for difference in found}


def test_faults_come_on_top_of_the_carriers_own_way() -> None:
    evidence = try_out(read(LOST), parse("jitter=60ms"), agents=AGENTS)
    assert not evidence.honest_marks
    assert breaches(evidence) == []
