"""One question at a time, and only as long as the answers are worth it."""

from itertools import pairwise

from service.core.asking import JUDGE_MOST_MS, SOUND_MOST_MS, Asking
from service.core.turn_taking import VoiceAsked


def test_one_question_is_open_at_a_time() -> None:
    asking = Asking()
    assert asking.ask(100, 80) == [VoiceAsked(1, -50)]
    assert asking.ask(120, 80) == []
    assert asking.answered(1)
    assert asking.ask(120, 80) == [VoiceAsked(2, -30)]


def test_an_answer_to_an_old_question_is_dropped() -> None:
    asking = Asking()
    asking.ask(100, 80)
    asking.afresh()
    assert not asking.answered(1)
    asking.ask(120, 80)
    assert not asking.answered(1)
    assert asking.answered(2)
    assert not asking.answered(2)


def test_a_noise_that_goes_on_is_asked_about_ever_more_seldom() -> None:
    asking = Asking()
    asked = []
    for now_ms in range(0, 3000, 20):
        for question in asking.ask(now_ms, 80):
            asked.append(now_ms)
            asking.answered(question.number)
            asking.again(now_ms)
    gaps = [b - a for a, b in pairwise(asked)]
    assert gaps == sorted(gaps)
    assert gaps[0] == 20
    assert gaps[-1] == 240
    assert len(asked) < 25


def test_a_judge_that_is_late_is_done_without_until_something_else_begins() -> None:
    asking = Asking()
    asking.ask(100, 80)
    asking.give_up_if_late(100 + JUDGE_MOST_MS - 20)
    assert not asking.alone
    asking.give_up_if_late(100 + JUDGE_MOST_MS)
    assert asking.alone
    assert not asking.answered(1)
    assert asking.ask(300, 80) == []
    asking.afresh()
    assert asking.ask(320, 80) == [VoiceAsked(2, 170)]


def test_a_likely_voice_must_come_twice_and_a_sure_one_once() -> None:
    asking = Asking()
    assert not asking.proves_voice(0.8)
    assert asking.half_sure
    assert not asking.proves_voice(0.5)
    assert asking.proves_voice(0.8)
    asking.afresh()
    assert not asking.proves_voice(0.8)
    assert asking.proves_voice(0.95)


def test_only_the_first_answer_is_waited_for() -> None:
    asking = Asking()
    assert not asking.first
    asking.ask(100, 80)
    assert asking.first
    asking.answered(1)
    assert not asking.first
    asking.ask(120, 80)
    assert not asking.first


def test_a_question_reaches_back_a_little_before_the_sound_but_not_far() -> None:
    [short] = Asking().ask(1000, 80)
    [long] = Asking().ask(1000, 5000)
    assert short.since_ms == 850
    assert long.since_ms == 1000 - SOUND_MOST_MS
