"""One more call is taken unless live ones would suffer."""

from service.calls.admission import Admission

TICK_MS = 20


def admission() -> Admission:
    return Admission(max_calls=2, max_loop_lag_ms=100, live=list, now_ms=lambda: 0)


def stall(one: Admission, for_ms: int) -> None:
    """The loop stood still; the ticks that were due come one right after the other."""
    for late_ms in range(for_ms, 0, -TICK_MS):
        one.lagged(late_ms / 1000)


def test_a_single_stumble_turns_nobody_away() -> None:
    one = admission()
    stall(one, 300)
    assert one.refusal() is None


def test_a_loop_that_stays_late_takes_no_further_call_until_it_has_recovered() -> None:
    one = admission()
    for _ in range(100):
        one.lagged(0.15)
    assert one.refusal() == "loop_lag"
    for _ in range(50):
        one.lagged(0.0)
    assert one.refusal() is None
