"""Sound and text in pieces."""

import random

import pytest

from service.ai.spoken import Word
from service.core.audio import PCM16_8K, PCMU_8K, MediaFormat
from service.standin.sound import PCM16_24K, Made, chunks, converted, pieces


@pytest.mark.parametrize("audio_format", [PCMU_8K, PCM16_24K])
@pytest.mark.parametrize("size_bytes", [0, 1, 333, 10_000])
def test_pieces_are_whole_samples_and_nothing_is_lost(
    audio_format: MediaFormat, size_bytes: int
) -> None:
    data = bytes(range(250)) * 100
    made = [*chunks(data, audio_format, size_bytes=size_bytes, chance=random.Random(1))]
    assert b"".join(made) == data
    width = 2 if audio_format == PCM16_24K else 1
    assert all(len(piece) % width == 0 for piece in made)
    if not size_bytes:
        assert len({len(piece) for piece in made}) > 2


def test_a_text_is_made_in_words_and_long_words_in_several() -> None:
    assert pieces("Your appointment, Ana.") == ["Your", " appointm", "ent,", " Ana."]
    assert "".join(pieces("a  b\nc")) == "a  b\nc"
    assert pieces("") == []


def test_another_format_has_the_same_length() -> None:
    assert len(converted(bytes(16_000), PCM16_8K, PCM16_24K)) == pytest.approx(48_000, abs=96)


def test_words_are_heard_when_half_of_them_has_been() -> None:
    made = Made("a b", bytes(16_000), PCM16_8K, (Word("a", 0), Word(" b", 400)))
    heard = {ms: made.heard(ms) for ms in (0, 200, 201, 700, 701, 1000)}
    assert heard == {0: "", 200: "", 201: "a", 700: "a", 701: "a b", 1000: "a b"}
    assert made.duration_ms == 1000
