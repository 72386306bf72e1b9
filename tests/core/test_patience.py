"""Silences: who waits for whom, and when something is to be done about it."""

from service.core.patience import ENGINE_PATIENCE_MS, Patience, Waits

WAITS = Waits(filler_after_ms=1500, idle_after_ms=8000)


def patience() -> Patience:
    waits = Patience(WAITS)
    waits.line_heard(0)
    return waits


def stalled(waits: Patience, now_ms: int, *, settled_ms: int = 0, unmade: bool = False) -> bool:
    waits.line_heard(now_ms)
    return waits.is_stalled(now_ms, settled_ms=settled_ms, unmade=unmade)


def test_texts_are_begun_in_the_order_in_which_they_were_asked_for() -> None:
    waits = patience()
    waits.asked("first", 0)
    waits.asked("second", 10)
    assert waits.owed == ["first", "second"]
    assert [waits.turn_began(), waits.turn_began(), waits.turn_began()] == ["first", "second", None]


def test_an_engine_that_goes_on_with_a_turn_is_waited_for_anew() -> None:
    waits = patience()
    waits.asked("hello", 0)
    waits.engine_went_on(5000)
    assert not stalled(waits, ENGINE_PATIENCE_MS)
    assert stalled(waits, 5000 + ENGINE_PATIENCE_MS)


def test_nobody_is_given_up_while_there_is_still_sound_to_be_heard() -> None:
    waits = patience()
    waits.asked("hello", 0)
    assert not stalled(waits, ENGINE_PATIENCE_MS, settled_ms=3000)
    assert stalled(waits, ENGINE_PATIENCE_MS + 3000, settled_ms=3000)


def test_an_engine_that_owes_nothing_may_be_silent() -> None:
    assert not stalled(patience(), 10 * ENGINE_PATIENCE_MS)
    assert stalled(patience(), 10 * ENGINE_PATIENCE_MS, unmade=True)


def test_silence_is_counted_from_the_persons_last_sound_not_from_its_detection() -> None:
    waits = patience()
    waits.person_done(1000, 1700)
    assert not waits.wants_filler(2499)
    assert waits.wants_filler(2500)


def test_a_person_who_speaks_again_waits_for_nothing() -> None:
    waits = patience()
    waits.person_done(0, 600)
    waits.person_spoke()
    assert not waits.owes
    assert not waits.wants_filler(60_000)


def test_idle_is_who_says_nothing_while_nothing_is_owed() -> None:
    waits = patience()
    waits.agent_is(silent=True, now_ms=0)
    waits.line_heard(8000)
    assert waits.is_idle(8000)
    waits.asked("Are you there?", 8000)
    assert not waits.is_idle(8000)


def test_a_line_that_is_gone_is_not_asked_whether_anybody_is_there() -> None:
    waits = patience()
    waits.agent_is(silent=True, now_ms=0)
    assert not waits.is_idle(20_000)
