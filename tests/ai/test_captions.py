"""Words are told in time, in order, and each once."""

from service.ai.captions import Captions, first_weight_ms
from service.ai.offline.espeak import Espeak
from service.ai.offline.speech import say
from service.core.audio import PCM16_8K

SENTENCE = "We are open from nine to five, Monday to Friday, and on Saturdays until noon."
STEP = 16 * 100
SPOKEN = say(Espeak(), SENTENCE, voice="en-us", words_per_minute=165, pitch=50)


def captions(*, begin_ms: int = 0) -> Captions:
    return Captions(PCM16_8K, begin_ms=begin_ms, weight_ms=first_weight_ms(1.0))


def test_every_word_is_told_once_and_before_it_is_heard() -> None:
    made = captions()
    made.read(SENTENCE)
    told = []
    true = {word.text.strip(): word.start_ms for word in SPOKEN.words if word.text != " to"}
    for at in range(0, len(SPOKEN.pcm), STEP):
        made.hear(SPOKEN.pcm[at : at + STEP])
        played_ms = at // 32  # sound comes twice as fast as it is heard
        told += made.due(played_ms)
        missing = {word.text.strip() for word in SPOKEN.words} - {w.text.strip() for w in told}
        assert all(true[word] > played_ms for word in missing if word in true)
    told += made.complete()
    assert "".join(word.text for word in told) == SENTENCE
    assert [w.start_ms for w in told] == sorted(w.start_ms for w in told)
    assert made.complete() == made.due(10_000) == []


def test_sound_that_is_all_there_places_words_to_within_a_word() -> None:
    made = captions(begin_ms=5000)
    made.hear(SPOKEN.pcm)
    made.read(SENTENCE)
    for word, true in zip(made.complete(), SPOKEN.words, strict=True):
        assert abs(word.start_ms - 5000 - true.start_ms) < 300


def test_what_the_sound_does_not_reach_was_not_said() -> None:
    made = captions()
    made.read(SENTENCE)
    made.hear(SPOKEN.pcm[: len(SPOKEN.pcm) // 2])
    words = "".join(word.text for word in made.break_off())
    assert 20 < len(words) < len(SENTENCE) - 20
    assert SENTENCE.startswith(words)
    assert made.text == words


def test_nothing_is_told_before_there_is_sound() -> None:
    made = captions()
    made.read("Hello there. ")
    assert [word.text for word in made.due(0)] == ["Hello"]
    made = captions()
    assert made.due(0) == []


def test_a_voice_is_known_once_it_was_heard() -> None:
    made = captions()
    made.hear(SPOKEN.pcm)
    made.read(SENTENCE)
    assert made.weight_ms == first_weight_ms(1.0)
    made.complete()
    assert 25 < made.weight_ms < 50
    assert captions().weight_ms == first_weight_ms(1.0)
