"""What the stand-in speaks and hears with."""

import asyncio

import pytest

from service.core.audio import PCM16_8K, PCMU_8K
from service.core.errors import EngineError
from service.standin import Voice
from service.standin.sound import PCM16_24K


async def test_a_sentence_sounds_the_same_in_every_format_and_voices_differ(voice: Voice) -> None:
    wide = await voice.make("Hello there.", "marin", 165, PCM16_24K)
    narrow = await voice.make("Hello there.", "marin", 165, PCMU_8K)
    other = await voice.make("Hello there.", "coral", 165, PCMU_8K)
    assert wide.duration_ms == pytest.approx(narrow.duration_ms, abs=2)
    assert wide.words == narrow.words
    assert other.data != narrow.data


async def test_a_sentence_is_made_once(voice: Voice) -> None:
    first = await voice.make("Good day.", "marin", 165, PCMU_8K)
    assert await voice.make("Good day.", "marin", 165, PCMU_8K) is first


async def test_what_is_said_is_recognised_and_noise_is_not(voice: Voice) -> None:
    phrases = ("where are you", "when are you open")
    spoken = await voice.make("When are you open?", "alloy", 150, PCM16_8K)
    assert await voice.recognise(spoken.data, phrases) == "when are you open"
    assert await voice.recognise(bytes(16_000), phrases) == ""


async def test_what_cannot_be_spoken_is_an_error(voice: Voice) -> None:
    with pytest.raises(EngineError):
        await voice.say("\ud800", "marin", 165)


def test_a_voice_serves_one_loop_after_another() -> None:
    async def main(voice: Voice) -> int:
        made = await asyncio.gather(*(voice.say(text, "ash", 165) for text in ("one", "two")))
        return len(made)

    shared = Voice()
    try:
        assert [asyncio.run(main(shared)) for _ in range(2)] == [2, 2]
    finally:
        asyncio.run(shared.aclose())
