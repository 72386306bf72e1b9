"""What one side said: how much of its text was heard, and where the time went."""

import pytest

from service.core.events import TurnId
from service.core.turns import AgentTurn, Answered, CallerTurn

TURN = TurnId("t1")


def spoken(*pieces: tuple[str, int], made_ms: int, whole: bool = True) -> AgentTurn:
    turn = AgentTurn(TURN)
    for text, start_ms in pieces:
        turn.add_text(text, start_ms)
    turn.made_ms, turn.made = made_ms, whole
    return turn


def by_word() -> AgentTurn:
    return spoken(("One", 0), (" two", 500), (" three", 1000), made_ms=1500)


@pytest.mark.parametrize(
    ("heard_ms", "text"),
    [(0, ""), (499, ""), (500, "One"), (999, "One"), (1000, "One two"), (1499, "One two")],
)
def test_a_word_counts_as_heard_when_all_its_sound_was(heard_ms: int, text: str) -> None:
    assert by_word().heard_text(heard_ms) == text


@pytest.mark.parametrize("heard_ms", [1500, 2000])
def test_all_of_the_text_was_heard_when_all_of_the_sound_was(heard_ms: int) -> None:
    assert by_word().heard_text(heard_ms) == "One two three"


def test_a_turn_that_is_still_being_made_was_not_heard_whole() -> None:
    turn = spoken(("One two three.", 0), made_ms=1400, whole=False)
    assert turn.heard_text(1400) == "One two"


def test_a_sentence_in_one_piece_is_cut_between_words() -> None:
    turn = spoken(("One two three.", 0), made_ms=1400)
    assert [turn.heard_text(ms) for ms in (0, 100, 300, 700, 1399)] == [
        *("", "", "One", "One two", "One two"),
    ]


def test_what_was_heard_is_always_a_beginning_of_what_was_said() -> None:
    turn = spoken(("One", 0), (" two, three", 400), (" four.", 1100), made_ms=1500)
    heard = [turn.heard_text(ms) for ms in range(0, 1600, 10)]
    assert all(turn.text.startswith(text) for text in heard)
    assert [len(text) for text in heard] == sorted(len(text) for text in heard)
    assert heard[-1] == turn.text


def test_a_turn_without_sound_counts_as_heard_when_it_was_made() -> None:
    assert spoken(("Nothing to play.", 0), made_ms=0).heard_text(0) == "Nothing to play."


def test_text_that_comes_before_any_of_its_sound_was_not_heard() -> None:
    assert spoken(("One", 0), made_ms=0, whole=False).heard_text(0) == ""


def test_the_record_of_a_turn_that_was_cut_off_says_so() -> None:
    record = by_word().record(700, 10_800, first_sent_ms=10_000, first_mark_ms=None)
    assert record == {
        "turn_id": "t1",
        "text": "One two three",
        "heard_text": "One",
        "heard_ms": 700,
        "made_ms": 1500,
        "interrupted": True,
        "began_ago_ms": 800,
        "latency": {},
    }


def test_no_more_is_heard_than_was_made() -> None:
    record = by_word().record(1700, 2000, first_sent_ms=0, first_mark_ms=600)
    assert (record["heard_ms"], record["interrupted"]) == (1500, False)


def test_the_steps_of_an_answer_add_up_to_what_the_caller_waited() -> None:
    turn = by_word()
    turn.answers = Answered(stopped_ms=1000, decided_ms=1600, understood_ms=1900)
    turn.began_ms, turn.first_audio_ms = 1960, 2050
    record = turn.record(1500, 4000, first_sent_ms=2060, first_mark_ms=2580)
    assert record["first_mark_ms"] == 520
    latency = record["latency"]
    assert latency.pop("response_ms") == 1060 == sum(latency.values())
    assert latency == {
        "end_of_turn_ms": 600,
        "recognition_ms": 300,
        "first_token_ms": 60,
        "first_audio_ms": 90,
        "first_frame_ms": 10,
    }


def test_a_model_that_did_not_wait_for_the_text_has_no_time_of_recognition() -> None:
    turn = by_word()
    turn.answers = Answered(stopped_ms=1000, decided_ms=1600, understood_ms=2900)
    turn.began_ms, turn.first_audio_ms = 1900, 1950
    latency = turn.record(1500, 4000, first_sent_ms=1960, first_mark_ms=None)["latency"]
    assert (latency["recognition_ms"], latency["first_token_ms"]) == (0, 300)
    assert latency.pop("response_ms") == 960 == sum(latency.values())


def test_an_answer_that_was_never_sent_has_no_latency() -> None:
    turn = by_word()
    turn.answers = Answered(1000, 1600, 1900)
    assert turn.record(0, 4000, first_sent_ms=None, first_mark_ms=None)["latency"] == {}


def test_the_callers_turn_is_dated_by_its_sound_and_not_by_its_detection() -> None:
    caller = CallerTurn()
    caller.media_ms = 2200  # heard until now: the first sound was 200 ms ago
    caller.begin(2000, now_ms=50_200)
    caller.media_ms = 3800
    caller.stop(3200, now_ms=51_800)
    assert caller.spoken("Hello.", now_ms=52_000) == {
        "turn_id": "caller-1",
        "text": "Hello.",
        "began_ago_ms": 2000,
        "ended_ago_ms": 800,
    }


def test_a_callers_turn_is_answered_once() -> None:
    caller = CallerTurn()
    caller.begin(0, 100)
    caller.media_ms = 600
    caller.stop(0, 700)
    caller.spoken("Hello.", 900)
    assert caller.answered_by() == Answered(100, 700, 900)
    assert caller.answered_by() is None


def test_a_caller_who_goes_on_talking_takes_the_question_back() -> None:
    caller = CallerTurn()
    caller.begin(0, 100)
    caller.stop(0, 700)
    caller.spoken("Hello.", 900)
    caller.begin(0, 1000)
    assert caller.answered_by() is None
    assert caller.turn_id == "caller-2"


def test_an_engine_that_never_says_when_speech_begins_still_has_turns_of_the_caller() -> None:
    caller = CallerTurn()
    first, second = caller.spoken("One.", 500), caller.spoken("Two.", 900)
    assert (first["turn_id"], second["turn_id"]) == ("caller-1", "caller-2")
    assert (second["began_ago_ms"], second["ended_ago_ms"]) == (0, 0)


def test_a_text_that_comes_after_the_next_words_belongs_to_the_words_before() -> None:
    caller = CallerTurn()
    caller.begin(0, 100)
    caller.media_ms = 600
    caller.stop(500, 700)
    caller.begin(900, 1000)
    caller.media_ms = 1500
    caller.stop(1400, 1600)
    assert caller.spoken("First.", 1700, end_ms=500)["turn_id"] == "caller-1"
    assert caller.spoken("Second.", 1800, end_ms=1400)["turn_id"] == "caller-2"
