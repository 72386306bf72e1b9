"""What callers say is understood, in several voices and on bad lines; other speech is not.

The floors guard against decline and promise no rate: bench/recognition.py has the wide measurement.
"""

from functools import cache

import pytest

from bench.recognition import BESIDE, DAYS, cut
from service.ai.offline import speech
from service.ai.offline.espeak import Espeak
from service.ai.offline.pronounce import guess
from service.ai.offline.recogniser import Recogniser
from service.core.audio import PCMA_8K, PCMU_8K, MediaFormat
from tests.voices import recording

PHRASES = (
    "what are your opening hours",
    "when are you open",
    "where are you",
    "how much is a cleaning",
    "book an appointment",
    "can i speak to a person",
    "yes please",
    "no thank you",
    "thank you",
    "goodbye",
)
VOICES = ("en-us", "en", "en-us+f2", "en-gb-x-rp+m3")


@cache
def tools() -> tuple[Espeak, Recogniser]:
    espeak = Espeak()
    return espeak, Recogniser(lambda word: guess(espeak, word))


def heard(
    pcm: bytes,
    phrases: tuple[str, ...] = PHRASES,
    form: MediaFormat = PCMU_8K,
    level_db: float = 0,
) -> str:
    utterance = b"".join(cut(pcm, form, level_db, -45))
    return tools()[1].recognise(utterance, phrases, {})


def said(text: str, voice: str) -> bytes:
    return speech.say(tools()[0], text, voice=voice, words_per_minute=155, pitch=50).pcm


def test_scripted_phrases_are_understood_in_many_voices() -> None:
    right = sum(heard(said(p, voice)) == p for p in PHRASES for voice in VOICES)
    assert right >= 0.85 * len(PHRASES) * len(VOICES)


@pytest.mark.parametrize(("form", "level_db"), [(PCMU_8K, 0), (PCMU_8K, -12), (PCMA_8K, -6)])
def test_a_recorded_person_is_understood_at_any_level(form: MediaFormat, level_db: int) -> None:
    days = [recording(f"digits/day-{number}") for number in range(7)]
    found = [heard(pcm, DAYS, form, level_db) for pcm in days]
    assert sum(a == b for a, b in zip(found, DAYS, strict=True)) >= 6


@pytest.mark.parametrize("polite", ["hi, {} please", "hello, {}", "{} thanks", "um {} please"])
def test_a_caller_may_be_polite(polite: str) -> None:
    texts = PHRASES[:6]
    right = sum(heard(said(polite.format(text), "en-us")) == text for text in texts)
    assert right >= 4


def test_long_speech_beside_the_script_is_mostly_refused() -> None:
    taken = [heard(said(text, voice)) for text in BESIDE for voice in ("en-us", "en")]
    assert sum(map(bool, taken)) <= 0.15 * len(taken)


def test_a_phrase_is_only_understood_where_the_script_listens_for_it() -> None:
    pcm = said("what are your opening hours", "en-us")
    assert heard(pcm) == "what are your opening hours"
    assert heard(pcm, ("book an appointment", "no")) == ""
    assert heard(pcm, ()) == ""


def test_a_phrase_that_nobody_can_say_is_left_out_and_harms_no_other() -> None:
    espeak, recogniser = tools()
    spoken = speech.say(espeak, "goodbye", voice="en-us", words_per_minute=150, pitch=50).pcm
    assert recogniser.recognise(spoken, ("rock ' roll", "goodbye"), {}) == "goodbye"
    assert recogniser.recognise(spoken, ("①",), {}) == ""
