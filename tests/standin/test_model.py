"""What the model answers."""

from typing import Any

import pytest

from service.standin.model import Line, Role, answer
from tests.standin.client import script


def said(*texts: str, role: Role = "user") -> list[Line]:
    return [Line(role, text) for text in texts]


def says(lines: list[Line], orders: str = "", **parts: Any) -> str:
    return answer(script(**parts), lines, orders).says


HOURS = {"hears": ["when are you open", "opening hours"], "says": "Nine to five."}


@pytest.mark.parametrize(
    "heard", ["When are you open?", "Hello. When ARE you open, please", "your opening hours"]
)
def test_a_reply_is_found_whatever_stands_around_its_phrase(heard: str) -> None:
    assert says(said(heard), replies=[HOURS]) == "Nine to five."


def test_part_of_a_word_is_no_phrase() -> None:
    assert says(said("reopening hourses"), replies=[HOURS], otherwise="What?") == "What?"


def test_the_first_reply_that_fits_is_given_and_a_star_fits_all() -> None:
    replies = [HOURS, {"hears": "*", "says": "I heard {heard}."}]
    assert says(said("opening hours"), replies=replies) == "Nine to five."
    assert says(said("bye"), replies=replies) == "I heard bye."


def test_only_what_was_said_last_is_answered() -> None:
    lines = [*said("bye"), *said("Goodbye.", role="assistant"), *said("opening hours")]
    assert says(lines, replies=[HOURS]) == "Nine to five."


def test_nobody_has_said_anything_yet() -> None:
    assert says([], opens="Good day.") == "Good day."
    assert says(said("Be brief.", role="system"), opens="Good day.") == "Good day."


@pytest.mark.parametrize(
    "orders",
    [
        "Say exactly the following text, word for word:\n\nHold on: please.",
        'Say "Hold on: please." word for word.',
        "Say exactly: Hold on: please.",
    ],
)
def test_an_order_to_say_something_word_for_word_comes_first(orders: str) -> None:
    assert says(said("opening hours"), orders, replies=[HOURS]) == "Hold on: please."


def test_other_orders_change_nothing() -> None:
    assert says(said("opening hours"), "Be kind.", replies=[HOURS]) == "Nine to five."


TWICE: dict[str, Any] = {
    "hears": "go",
    "calls": [{"name": "a"}, {"name": "b"}],
    "then": {"says": "Half way.", "calls": {"name": "c"}, "then": "All: {result}."},
}
CALLED = [*said("a()", "b()", role="call"), *said("1", "2", role="result")]


def test_tools_are_called_in_rounds() -> None:
    lines = said("go")
    assert [c.name for c in answer(script(replies=[TWICE]), lines).calls] == ["a", "b"]
    lines += CALLED
    second = answer(script(replies=[TWICE]), lines)
    assert (second.says, [c.name for c in second.calls]) == ("Half way.", ["c"])
    lines += [*said("Half way.", role="assistant"), *said("c()", role="call")]
    lines += said("3", role="result")
    assert says(lines, replies=[TWICE]) == "All: 3."


def test_a_result_is_said_where_the_script_says_nothing() -> None:
    reply = {"hears": "go", "calls": {"name": "a"}}
    assert says([*said("go"), *CALLED], replies=[reply]) == "2"


def test_a_loop_of_tools_has_no_end() -> None:
    reply = {"hears": "go", "calls": {"name": "a"}, "again": True}
    lines = said("go")
    for _ in range(20):
        lines += [*said("a()", role="call"), *said("1", role="result")]
        assert answer(script(replies=[reply]), lines).calls


def test_what_a_new_system_message_says_does_not_hide_a_result() -> None:
    reply = {"hears": "go", "calls": {"name": "a"}, "then": "Done."}
    lines = [*said("go"), *CALLED, *said("Be brief.", role="system")]
    assert says(lines, replies=[reply]) == "Done."
