"""Word times from text and sound, measured against a synthesiser that tells the true ones."""

import audioop
import random
from collections import Counter
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.ai.offline.espeak import Espeak
from service.ai.offline.speech import say
from service.ai.spoken import Spoken
from service.core.events import TurnId
from service.core.turns import AgentTurn
from service.media.alignment import BLOCK_MS, place
from tests.voices import PEOPLE

SENTENCES = """\
Good morning, this is the city library. What can I do for you?
The next train to Springfield leaves at 7:45 from platform 3.
I have two rooms left for that night: a double for 129 dollars, and a suite.
Could you spell your last name for me, please?
That was B 7 2 4 K, is that right?
Sure, give me a moment while I look up your order.
Your parcel left our warehouse yesterday; it should be with you by Friday evening.
I'm afraid I can't change the delivery address any more, since the driver is on the way.
The office number is 212-555-0187.
Our opening hours are Monday to Thursday from 8:30 to 5, and until noon on Fridays.
It costs $19.99 a month, and you can cancel whenever you like.
Okay.
All right, then I'll see you on the 23rd of April. Have a nice day!
Because of the holiday, our laboratory results will be delayed by approximately two days.
You can write to us at help@example.com at any time.
We accept cash, credit cards, and bank transfers.
He will call you back within the hour, I promise.
The balance on your account is 3,412 dollars and 60 cents.
Before I transfer you, may I ask what this is about?
If it hurts again, take one of the white pills, drink some water, and lie down.
Sorry, I did not understand that. Could you say it another way?
Dr. Ramirez is a specialist in paediatric cardiology.
Yes, both the standard and the extended guarantee cover accidental damage.
To confirm, that is a table for six on Saturday at half past seven under the name of Oyelaran."""


def levels(pcm: bytes) -> list[int]:
    size = 16 * BLOCK_MS
    return [audioop.rms(pcm[at : at + size], 2) for at in range(0, len(pcm) - size + 1, size)]


def turn(texts: list[str], starts: list[int], length_ms: int) -> AgentTurn:
    made = AgentTurn(TurnId("t"), made_ms=length_ms, made=True)
    for text, start_ms in zip(texts, starts, strict=True):
        made.add_text(text, start_ms)
    return made


def guessed(spoken: Spoken) -> tuple[AgentTurn, AgentTurn]:
    """The turn as it truly was, and as it is taken to be."""
    texts = [word.text for word in spoken.words]
    true = [word.start_ms for word in spoken.words]
    length_ms = spoken.duration_ms
    return (
        turn(texts, true, length_ms),
        turn(texts, place(texts, levels(spoken.pcm), None), length_ms),
    )


def test_committed_words_are_right_to_within_one_in_nearly_all_cases() -> None:
    espeak, chance, off = Espeak(), random.Random(7), Counter[int]()
    paces = cycle((130, 165, 210))
    for sentence in SENTENCES.splitlines():
        for voice in PEOPLE:
            spoken = say(espeak, sentence, voice=voice, words_per_minute=next(paces), pitch=50)
            true, taken = guessed(spoken)
            for _ in range(20):
                heard_ms = chance.randrange(spoken.duration_ms + 1)
                both = (len(made.heard_text(heard_ms).split()) for made in (true, taken))
                off[abs(next(both) - next(both))] += 1
    within_one = (off[0] + off[1]) / off.total()
    print(f"within one word: {within_one:.2%}, exact: {off[0] / off.total():.2%}")
    assert within_one > 0.985
    assert max(off) <= 3


@given(
    st.lists(st.sampled_from(["so", "yes,", "7:30.", "umbrella", "--", "a"]), max_size=30),
    st.lists(st.one_of(st.just(0), st.integers(0, 20_000)), max_size=200),
    st.one_of(st.none(), st.floats(10, 80)),
)
def test_words_keep_their_order_whatever_the_sound(
    words: list[str], sound: list[int], weight_ms: float | None
) -> None:
    starts = place(words, sound, weight_ms)
    assert len(starts) == len(words)
    assert starts == sorted(starts)
    assert all(start >= 0 for start in starts)
    if weight_ms is None:
        assert all(start <= len(sound) * BLOCK_MS for start in starts)


def test_a_pause_parts_the_phrases() -> None:
    sound = [5000] * 20 + [0] * 30 + [5000] * 60
    assert place(["No,", "that", "is", "not", "possible."], sound, None)[1] == 1000


def test_words_are_not_pulled_into_silence_at_the_end() -> None:
    sound = [5000] * 30 + [0] * 100
    assert all(start < 600 for start in place(["Good", "bye."], sound, None))


def test_while_sound_comes_words_follow_the_pace_that_is_known() -> None:
    first, second, third = place(["hello", "hello", "hello"], [5000] * 10, 40.0)
    assert first == 0
    assert second - first == pytest.approx(third - second, abs=1)


def test_a_long_text_takes_no_time_to_speak_of() -> None:
    words = ["word,", "and", "another"] * 200
    sound = ([5000] * 15 + [0] * 6) * 200
    assert len(place(words, sound, None)) == 600
