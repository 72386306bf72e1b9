"""Which fault is due."""

from service.standin.faults import Faults
from tests.standin.client import fault


def test_each_stage_counts_by_itself() -> None:
    second = fault("chat", "stall", number=2)
    faults = Faults([second])
    assert faults.next("chat") is None
    assert faults.next("speech") is None
    assert faults.next("chat") is second
    assert faults.next("chat") is None


def test_number_0_is_every_one() -> None:
    always = fault("chat", "stall", number=0)
    faults = Faults([always])
    assert [faults.next("chat") for _ in range(3)] == [always] * 3


def test_an_added_fault_counts_from_the_next_one_on() -> None:
    faults = Faults([])
    faults.next("chat")
    faults.add(fault("chat", "stall"))
    found = faults.next("chat")
    assert found is not None
    assert found.does == "stall"
    assert faults.next("chat") is None
