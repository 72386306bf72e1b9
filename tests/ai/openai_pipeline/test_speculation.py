"""Which answer, prepared before the turn was over, fits what was said."""

import pytest

from service.ai.openai_pipeline.speculation import Speculation
from service.core.events import TurnId

ONE = TurnId("turn_1")


@pytest.mark.parametrize(
    ("prepared", "said", "fits"),
    [
        ("When are you open", "when are you open?", True),
        ("It's ten.", "it\u2019s ten", True),
        ("when are you", "when are you open", False),
        ("yes", "no", False),
        ("\u4f60\u597d", "\u4f60\u597d\u3002", True),
        ("?", "!", False),
        ("", "", True),
    ],
)
def test_the_same_words_have_the_same_answer(prepared: str, said: str, fits: bool) -> None:
    speculation = Speculation()
    speculation.begin(ONE, prepared)
    assert speculation.fits(said) is fits


def test_what_is_over_fits_nothing() -> None:
    speculation = Speculation()
    assert not speculation.fits("yes")
    assert speculation.end() is None
    speculation.begin(ONE, "yes")
    assert speculation.turn_id == speculation.end() == ONE
    assert not speculation.fits("yes")
    assert speculation.turn_id is None
