"""What is remembered of a person's speech."""

from service.core.speech import Speech

LOUD, QUIET, LEAST = 2000, 0, 200.0


def begun(*, suspected: bool = False) -> Speech:
    return Speech.begun(1000, 1100, suspected=suspected)


def test_one_loud_block_alone_is_a_click() -> None:
    speech = begun()
    speech.sign()
    assert [speech.hear(level, LEAST, 0) for level in (LOUD, QUIET, QUIET)] == [False] * 3
    assert [speech.hear(level, LEAST, 0) for level in (LOUD, LOUD)] == [False, True]


def test_after_a_sign_of_its_end_loudness_must_prove_to_be_a_voice() -> None:
    speech = begun()
    assert speech.trusted
    speech.sign()
    assert (speech.trusted, speech.signed) == (False, True)
    assert speech.resume(1500)
    assert (speech.trusted, speech.signed, speech.voiced_end_ms) == (True, False, 1500)
    assert not speech.resume(1520)


def test_a_turn_is_checked_after_a_second_without_any_pause() -> None:
    speech = begun()
    due = []
    for now_ms in range(1120, 4000, 20):
        speech.hear(QUIET if now_ms == 1300 else LOUD, LEAST, now_ms)
        if speech.check_due(now_ms):
            due.append(now_ms)
    assert due == [2300, 3300]


def test_a_suspected_interruption_is_checked_more_often() -> None:
    speech = begun(suspected=True)
    assert [now_ms for now_ms in range(1120, 1500, 20) if speech.check_due(now_ms)] == [1260, 1420]


def test_words_that_came_before_more_sound_do_not_make_it_complete() -> None:
    speech = begun()
    speech.understood("I am done.", 1200)
    assert speech.complete
    speech.voice(LOUD, 1300)
    assert not speech.complete


def test_patience_lasts_until_other_words_come() -> None:
    speech = begun()
    speech.understood("my number is", 1200)
    speech.resume(2000)
    assert speech.patient
    speech.understood("", 2500)
    assert speech.patient
    speech.understood("my number is on the card", 3000)
    assert not speech.patient


def test_without_words_the_rhythm_of_spelling_asks_for_patience() -> None:
    speech = begun()
    speech.voice(LOUD, 1300)
    speech.sign()
    speech.resume(1700)
    assert not speech.patient
    speech.voice(LOUD, 1900)
    speech.sign()
    speech.resume(2400)
    assert speech.patient
    speech.voice(LOUD, 4000)
    speech.sign()
    speech.resume(4500)
    assert not speech.patient
