from hypothesis import given
from hypothesis import strategies as st

from service.core.events import TurnId
from service.core.playout import MARK_GRACE_MS, Playout

TURN = TurnId("t1")
OTHER = TurnId("t2")


def test_heard_follows_the_clock_between_sending_and_running_dry() -> None:
    ledger = Playout()
    ledger.sent(TURN, 200, now_ms=1000)
    assert ledger.heard_ms(TURN, 1000) == 0
    assert ledger.heard_ms(TURN, 1120) == 120
    assert ledger.heard_ms(TURN, 9000) == 200


def test_a_pause_between_two_sendings_is_not_heard_sound() -> None:
    ledger = Playout()
    ledger.sent(TURN, 100, now_ms=0)
    ledger.sent(TURN, 100, now_ms=500)
    assert ledger.heard_ms(TURN, 550) == 150


def test_heard_never_passes_a_mark_that_is_not_back() -> None:
    ledger = Playout()
    ledger.sent(TURN, 100, now_ms=0)
    ledger.set_mark()
    ledger.sent(TURN, 400, now_ms=0)
    assert ledger.heard_ms(TURN, 400) == 100


def test_a_mark_that_comes_back_proves_what_was_before_it() -> None:
    ledger = Playout()
    ledger.sent(TURN, 300, now_ms=0)
    mark = ledger.set_mark()
    ledger.sent(TURN, 300, now_ms=0)
    assert ledger.mark_returned(mark, now_ms=250)
    assert ledger.heard_ms(TURN, 250) == 300
    assert ledger.heard_ms(TURN, 350) == 400


def test_a_late_mark_sets_the_clock_back_to_what_the_carrier_really_plays() -> None:
    ledger = Playout()
    ledger.sent(TURN, 300, now_ms=0)
    mark = ledger.set_mark()
    ledger.sent(TURN, 300, now_ms=0)
    ledger.mark_returned(mark, now_ms=500)
    assert ledger.heard_ms(TURN, 600) == 400


def test_a_mark_that_never_comes_back_is_given_up_after_its_grace() -> None:
    ledger = Playout()
    ledger.sent(TURN, 300, now_ms=0)
    ledger.sent(TURN, 100, now_ms=0)
    ledger.set_mark()
    assert ledger.heard_ms(TURN, 400 + MARK_GRACE_MS) == 400
    assert ledger.settled_ms() == 400 + MARK_GRACE_MS


def test_marks_returned_by_clear_prove_nothing() -> None:
    ledger = Playout()
    ledger.sent(TURN, 1000, now_ms=0)
    mark = ledger.set_mark()
    ledger.clear(now_ms=250)
    assert not ledger.mark_returned(mark, now_ms=260)
    assert ledger.heard_ms(TURN, 5000) == 250


def test_marks_carry_their_generation_so_that_names_never_repeat() -> None:
    ledger = Playout()
    ledger.sent(TURN, 20, now_ms=0)
    before = ledger.set_mark()
    ledger.clear(now_ms=10)
    after = ledger.set_mark()
    assert before.split("/")[0] != after.split("/")[0]
    assert before != after


def test_unknown_and_repeated_marks_prove_nothing() -> None:
    ledger = Playout()
    ledger.sent(TURN, 20, now_ms=0)
    mark = ledger.set_mark()
    assert ledger.mark_returned(mark, 20)
    assert not ledger.mark_returned(mark, 21)
    assert not ledger.mark_returned("7/9", 22)


def test_each_turn_has_its_own_account() -> None:
    ledger = Playout()
    ledger.sent(TURN, 100, now_ms=0)
    ledger.sent(OTHER, 100, now_ms=0)
    ledger.sent(TURN, 100, now_ms=0)
    assert ledger.heard_ms(TURN, 250) == 150
    assert ledger.heard_ms(OTHER, 250) == 100


def test_sound_after_a_clear_is_counted_from_the_cut() -> None:
    ledger = Playout()
    ledger.sent(TURN, 1000, now_ms=0)
    ledger.clear(now_ms=300)
    ledger.sent(OTHER, 100, now_ms=400)
    assert ledger.heard_ms(TURN, 450) == 300
    assert ledger.heard_ms(OTHER, 450) == 50
    assert ledger.ahead_ms(450) == 50


def test_the_first_sound_of_a_turn_is_remembered() -> None:
    ledger = Playout()
    assert ledger.first_sent_ms(TURN) is None
    ledger.sent(TURN, 20, now_ms=70)
    ledger.sent(TURN, 20, now_ms=90)
    assert ledger.first_sent_ms(TURN) == 70


steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(1, 400)),
        st.tuples(st.just("mark"), st.just(0)),
        st.tuples(st.just("back"), st.integers(0, 5)),
        st.tuples(st.just("clear"), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 700)),
    ),
    max_size=60,
)


@given(steps)
def test_heard_only_grows_and_never_passes_what_was_sent(script: list[tuple[str, int]]) -> None:
    ledger, now_ms, heard_ms, sent_ms, marks = Playout(), 0, 0, 0, ["x/y"]
    for verb, number in script:
        match verb:
            case "send":
                ledger.sent(TURN, number, now_ms)
                sent_ms += number
            case "mark":
                marks.append(ledger.set_mark())
            case "back":
                ledger.mark_returned(marks[min(number, len(marks) - 1)], now_ms)
            case "clear":
                ledger.clear(now_ms)
            case _:
                now_ms += number
        now_heard_ms = ledger.heard_ms(TURN, now_ms)
        assert now_heard_ms <= sent_ms
        if verb != "back":  # a late mark may correct what the clock had guessed
            assert now_heard_ms >= heard_ms
        assert ledger.heard_position_ms(now_ms) <= ledger.position_ms
        heard_ms = now_heard_ms
