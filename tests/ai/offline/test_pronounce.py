import pytest

from service.ai.offline.espeak import Espeak
from service.ai.offline.pronounce import guess


@pytest.mark.parametrize(
    ("word", "phonemes"),
    [
        ("toothache", "T UW TH EY K"),
        ("acme", "AE K M IY"),
        ("kubernetes", "K UW B ER N EH T IY Z"),
        ("zoë", "Z OW IY"),
    ],
)
def test_words_of_no_dictionary_are_said_as_they_are_written(word: str, phonemes: str) -> None:
    assert guess(Espeak(), word) == phonemes
