"""Nobody hears what a model thinks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.ai.openai_pipeline.thoughts import Thoughts


def heard(text: str, size: int = 3) -> str:
    thoughts = Thoughts()
    pieces = [thoughts.push(text[at : at + size]) for at in range(0, len(text), size)]
    return "".join(pieces) + thoughts.flush()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("<think>Hm.\nWell.</think>\n\nYes.", "Yes."),
        (" \n<think></think>No.", "No."),
        ("Yes. <think>no</think>", "Yes. <think>no</think>"),
        ("<think>for ever", ""),
        ("<th", "<th"),
        ("<b>Yes</b>", "<b>Yes</b>"),
        ("", ""),
    ],
)
@pytest.mark.parametrize("size", [1, 4, 100])
def test_thoughts_that_come_first_are_left_out(written: str, said: str, size: int) -> None:
    assert heard(written, size) == said


@given(st.text(alphabet="<think/>a ", max_size=40), st.integers(1, 9))
def test_it_does_not_matter_how_they_come(text: str, size: int) -> None:
    assert heard(text, size) == heard(text, 1)
