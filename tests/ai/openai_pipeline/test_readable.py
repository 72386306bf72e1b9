"""What a voice is given to read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.ai.openai_pipeline.readable import readable


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("**Hello**, *dear* caller!", "Hello, dear caller!"),
        ("## Opening hours\n- Monday\n* Tuesday", "Opening hours Monday Tuesday"),
        ("See [our site](https://example.com/a?b=c).", "See our site."),
        ("Run `make` or\n```sh\nmake run\n```", "Run make or make run"),
        ("Great \U0001f600! See you \U0001f44d\U0001f3fd\u2764\ufe0f", "Great! See you"),
        ("It is 20 \u00b0C & sunny\u2122", "It is 20 \u00b0C & sunny\u2122"),
        ("_Really_ a snake_case __word__", "Really a snake_case word"),
        ("2*3 is 6", "2*3 is 6"),
        ("one<br/>two <b>three</b>", "one two three"),
        ("a < b and c > d", "a < b and c > d"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "a b 1 2"),
        ("Wait ... what ?", "Wait ... what?"),
        ("> quoted", "quoted"),
        ("1. First", "1. First"),
        ("-5 degrees", "-5 degrees"),
        ("\u4f60\u597d\uff01", "\u4f60\u597d\uff01"),
    ],
)
def test_marks_for_screens_are_left_out(written: str, read: str) -> None:
    assert readable(written) == read


@pytest.mark.parametrize("nothing", ["", "  \n", "\U0001f600", "---", "...", "**", "```"])
def test_what_cannot_be_said_is_nothing(nothing: str) -> None:
    assert readable(nothing) == ""


@given(st.text(max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    found = readable(text)
    assert "\n" not in found
    assert found == found.strip()
