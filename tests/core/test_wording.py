"""What a text says about whose turn it is."""

import pytest

from service.core.wording import (
    WORDS_MOST,
    Backchannels,
    Hearsay,
    OwnWords,
    Pace,
    Sense,
    pace_of,
    words_of,
)

NODS = Backchannels(["uh-huh", "mm-hmm", "yeah", "ok", "right", "I see"])


@pytest.mark.parametrize(
    "text",
    [
        "I'd like to book a table.",
        "what time do you open?",
        "That is all!",
        "Ja, gerne.",
        'He said "no."',
        "yes",
        "no thank you",
        "at five.",
        "at 10:30.",
        "it costs 1,200.",
        "What are you looking for?",
    ],
)
def test_a_sentence_or_a_short_answer_sounds_complete(text: str) -> None:
    assert pace_of(text) is Pace.QUICK


@pytest.mark.parametrize(
    "text",
    [
        "and",
        "my number is",
        "My number is.",
        "well,",
        "I would like to...",
        "I would like to\N{HORIZONTAL ELLIPSIS}",
        "um",
        "the day after tomorrow but",
        "it\N{RIGHT SINGLE QUOTATION MARK}s",
    ],
)
def test_a_text_that_plainly_goes_on_asks_for_patience(text: str) -> None:
    assert pace_of(text) is Pace.PATIENT


@pytest.mark.parametrize(
    "text",
    [
        "five",
        "Five.",
        "five five one",
        "My number is 5",
        "My number is 555-1234.",
        "my name is Ana, A N A",
        "B as in bravo",
        "it is double five",
    ],
)
def test_digits_and_letters_that_are_spelled_ask_for_patience(text: str) -> None:
    assert pace_of(text) is Pace.PATIENT


@pytest.mark.parametrize("text", ["at five", "plan b", "two people", "I think so", "i", "", "..."])
def test_what_is_neither_gets_the_usual_time(text: str) -> None:
    assert pace_of(text) is Pace.USUAL


def test_a_whole_phone_number_needs_no_more_patience() -> None:
    assert pace_of("my number is 415 555 01") is Pace.PATIENT
    assert pace_of("my number is 415 555 0100") is Pace.USUAL


@pytest.mark.parametrize("text", ["Uh-huh.", "yeah, ok", "I see", "mm hmm right", "UH HUH"])
def test_back_channels_say_nothing_else(text: str) -> None:
    assert NODS.are_all_of(text)
    assert NODS.may_become(text)


@pytest.mark.parametrize("text", ["yeah but", "I see you", "hello", "uh stop"])
def test_one_other_word_makes_it_something_else(text: str) -> None:
    assert not NODS.are_all_of(text)
    assert not NODS.may_become(text)


@pytest.mark.parametrize("text", ["u", "uh", "i", "I s", "ok ye", ""])
def test_a_part_of_a_back_channel_may_still_become_one(text: str) -> None:
    assert NODS.may_become(text)
    assert not NODS.are_all_of(text)


@pytest.mark.parametrize("text", ["stop", "wait", "no", "oh no", "hold on"])
def test_who_insists_is_heard_even_where_the_list_says_otherwise(text: str) -> None:
    assert not Backchannels([text]).are_all_of(text)
    assert not Backchannels([text]).may_become(text)


def test_the_agents_own_words_are_known_in_their_order() -> None:
    own = OwnWords()
    own.add("Hello, Acme Dental.")
    own.add("How can I help?")
    assert own.contain("acme dental how can")
    assert own.contain("how can we help")  # one of four misheard
    assert not own.contain("help me")
    assert not own.contain("can how")
    assert not own.contain("")


def test_what_was_said_long_ago_is_forgotten() -> None:
    own = OwnWords()
    own.add("the first words of all")
    own.add("something else " * WORDS_MOST)
    assert not own.contain("the first words of all")


def test_of_a_long_text_only_the_end_counts() -> None:
    assert len(words_of("word " * 100_000)) == WORDS_MOST
    assert pace_of("word " * 100_000 + "and") is Pace.PATIENT


@pytest.mark.parametrize(
    ("text", "so_far", "final"),
    [
        ("", Sense.UNCLEAR, Sense.NOTHING),
        ("yeah", Sense.UNCLEAR, Sense.NOTHING),
        ("stop", Sense.WORDS, Sense.WORDS),
        ("nine", Sense.UNCLEAR, Sense.WORDS),
        ("nine to", Sense.UNCLEAR, Sense.ECHO),
        ("nine to five", Sense.ECHO, Sense.ECHO),
        ("nine to six o'clock", Sense.WORDS, Sense.WORDS),
    ],
)
def test_what_words_over_the_agents_are_worth(text: str, so_far: Sense, final: Sense) -> None:
    hearsay = Hearsay(["yeah"], guard=True)
    hearsay.said("We are open from nine to five.")
    assert hearsay.sense(text, final=False) is so_far
    assert hearsay.sense(text, final=True) is final


def test_without_a_guard_the_agents_words_are_like_any_others() -> None:
    hearsay = Hearsay([], guard=False)
    hearsay.said("We are open from nine to five.")
    assert hearsay.sense("nine to five", final=True) is Sense.WORDS
