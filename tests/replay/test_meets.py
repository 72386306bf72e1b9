"""What is left out of the matrix: faults that change nothing in a call, and no others."""

import pytest

from service.cassettes.files import read
from service.replay.faults import parse
from service.replay.matrix import EVERY_FAULT
from service.replay.meets import meets
from tests.replay.fixtures import BUSY, INTERRUPTS, ROOT, TALKED

LINE_TEST = ROOT / "fixtures/twilio/inbound-frames-lost.jsonl"
OF_MEDIA = ("drop", "double", "reorder", "marks", "cut", "second", "engine")


@pytest.mark.parametrize("faults", EVERY_FAULT)
def test_a_socket_without_media_meets_only_what_needs_none(faults: str) -> None:
    assert meets(read(BUSY), parse(faults)) != faults.startswith(OF_MEDIA)


@pytest.mark.parametrize("faults", EVERY_FAULT)
def test_a_long_call_meets_all_but_marks_of_a_clear_that_never_comes(faults: str) -> None:
    assert meets(read(TALKED), parse(faults)) == (faults != "marks=after-clear")


@pytest.mark.parametrize(
    ("faults", "met"),
    [
        ("", True),
        ("linger=20s", True),
        ("cut@100000", False),
        ("cut@100000,linger=20s", False),
        ("cut@100000,webhooks=repeated", True),
        ("drop=0%", False),
        ("marks=after-clear", True),
        ("engine=die@2", True),
        ("engine=die@3", False),
        ("engine=die@3,sigterm@1s", True),
    ],
)
def test_one_cause_that_is_met_is_enough_and_lingering_is_none(faults: str, met: bool) -> None:
    assert meets(read(INTERRUPTS), parse(faults)) == met


def test_of_an_engine_that_is_not_recorded_nobody_knows_how_often_it_speaks() -> None:
    assert meets(read(LINE_TEST), parse("engine=die@7"))
