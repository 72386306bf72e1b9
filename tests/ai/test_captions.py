"""Real speech, of which the place of every word is known, against where captions put it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from service.ai.captions import PLACED_EVERY_MS, Captions, first_weight_ms
from service.ai.offline.engine import OfflineEngine
from service.ai.offline.workers import Workers
from service.ai.spoken import Spoken, Word
from service.core.audio import PCM16_8K
from tests.voices import silence

TEXTS = (
    "We are open from nine to five, Monday to Friday, and on Saturdays until noon. Would you like "
    "to book an appointment?",
    "Your appointment is on Tuesday, the 14th of March at 10:30 with Dr. Lee. Please bring your "
    "insurance card, and a list of the medicines that you take.",
    "The code is 4 7 2 9. I repeat: four, seven, two, nine.",
    "Sure! Let me check the calendar for you. There is a free slot on Wednesday morning at eleven "
    "o'clock, or on Thursday afternoon at a quarter past three. Which one would you prefer?",
    "Yes.",
)


@pytest.fixture
async def engine() -> AsyncIterator[OfflineEngine]:
    async with OfflineEngine(str, staff=Workers(1)) as engine:
        yield engine


def captions() -> Captions:
    return Captions(PCM16_8K, begin_ms=0, weight_ms=first_weight_ms(1.0))


def errors(found: list[Word], spoken: Spoken) -> Iterator[int]:
    """By how many words what was heard is wrong, every 20 ms."""
    for heard_ms in range(0, spoken.duration_ms, 20):
        right = sum(word.start_ms <= heard_ms for word in spoken.words)
        yield abs(sum(word.start_ms <= heard_ms for word in found) - right)


async def test_with_all_of_the_sound_words_are_right_to_within_one(engine: OfflineEngine) -> None:
    every: list[int] = []
    for text in TEXTS:
        spoken = await engine.synthesise(text)
        known = captions()
        known.hear(spoken.pcm)
        known.read(text)
        found = known.complete()
        assert "".join(word.text for word in found) == text
        every += errors(found, spoken)
    assert max(every) <= 2
    assert sum(error > 1 for error in every) <= 0.01 * len(every)


async def test_while_sound_comes_words_are_told_before_they_can_be_heard(
    engine: OfflineEngine,
) -> None:
    text = TEXTS[0]
    spoken = await engine.synthesise(text)
    known = captions()
    known.read(text)  # it runs ahead
    found: list[Word] = []
    for begin in range(0, len(spoken.pcm), 1600):
        known.hear(spoken.pcm[begin : begin + 1600])
        heard_ms = begin // 16 // 2  # sound is made at twice the speed of speech
        found += known.due(heard_ms)
        right = sum(word.start_ms <= heard_ms for word in spoken.words)
        assert sum(word.start_ms <= heard_ms for word in found) >= right - 2
    found += known.complete()
    assert "".join(word.text for word in found) == text
    assert max(errors(found, spoken)) <= 2


async def test_the_pace_of_a_voice_is_learned(engine: OfflineEngine) -> None:
    spoken = await engine.synthesise(TEXTS[0])
    known = captions()
    known.hear(spoken.pcm)
    known.read(TEXTS[0])
    assert known.weight_ms == first_weight_ms(1.0)
    known.complete()
    slow = Captions(PCM16_8K, begin_ms=0, weight_ms=known.weight_ms)
    slow.hear(b"".join(spoken.pcm[at : at + 2] * 2 for at in range(0, len(spoken.pcm), 2)))
    slow.read(TEXTS[0])
    slow.complete()
    assert slow.weight_ms == pytest.approx(2 * known.weight_ms, rel=0.1)


async def test_what_the_sound_does_not_reach_was_not_said(engine: OfflineEngine) -> None:
    spoken = await engine.synthesise(TEXTS[0])
    known = captions()
    known.read(TEXTS[0])
    known.hear(spoken.pcm[: 16 * 2000])
    told = known.break_off()
    assert "".join(word.text for word in told) == known.text
    right = sum(word.start_ms < 2000 for word in spoken.words)
    assert abs(len(told) - right) <= 1
    assert known.due(10_000) == []


def test_a_word_that_is_not_all_there_waits() -> None:
    known = captions()
    known.read("From ni")
    known.hear(b"\x00\x20" * 8000)
    assert [word.text for word in known.due(900)] == ["From"]
    known.read("ne ")
    assert [word.text for word in known.due(900)] == []  # placed again after a while
    assert [word.text for word in known.due(900 + PLACED_EVERY_MS)] == [" nine"]


def test_words_without_sound_and_sound_without_words_do_no_harm() -> None:
    known = captions()
    known.read("Well, \u2014 yes.")
    assert [word.start_ms for word in known.complete()] == [0, 0, 0]
    known = captions()
    known.hear(silence(500))
    assert known.complete() == []
