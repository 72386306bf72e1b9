"""What an ear would notice, and what it would not."""

from collections.abc import Callable

import numpy as np
import pytest

from service.cassettes.files import read
from service.core.audio import PCMU_8K
from service.media.g711 import decode_pcmu, encode_pcmu
from service.replay.deeds import Stretch, stream_deeds
from service.replay.hearing import samples
from service.replay.sound import Place, compare_sound
from service.replay.waves import Samples
from tests.replay.fixtures import TALKED

FRAME = 160
Change = Callable[[Samples], Samples]


def sentences() -> list[Samples]:
    found = []
    for deed in stream_deeds(read(TALKED).lines, PCMU_8K, every_mark=False):
        if isinstance(deed.content, Stretch):
            decoded = samples(deed.content.data, PCMU_8K)
            assert decoded is not None
            found.append(decoded)
    return found


GREETING, HOURS, GOODBYE = sentences()
AT = 60 * FRAME  # in the middle of a word
LOUD = [
    at
    for at in range(14 * FRAME, 130 * FRAME, 7 * FRAME)
    if np.abs(HOURS[at - FRAME : at + 3 * FRAME]).reshape(4, FRAME).max(axis=1).min() > 0.1
]
NOISE = np.random.default_rng(1).normal(0, 1, 60_000).astype(np.float32)


def heard(should: Samples, did: Samples) -> list[Place]:
    return compare_sound(should, did, rate_hz=8000, loud_db=3, shift_ms=120)


def whats(should: Samples, did: Samples) -> list[str]:
    return [place.what for place in heard(should, did)]


def as_pcmu(sound: Samples) -> Samples:
    pcm = (np.clip(sound, -1, 0.999) * 32768).astype("<i2").tobytes()
    decoded = np.frombuffer(decode_pcmu(encode_pcmu(pcm)), "<i2")
    return decoded.astype(np.float32) / np.float32(32768)


def silent(length: int) -> Samples:
    return np.zeros(length, np.float32)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        lambda x: as_pcmu(x + NOISE[: len(x)] * 0.0005),
        lambda x: as_pcmu(x * 0.8),
        lambda x: np.r_[silent(40), x],
        lambda x: np.r_[silent(400), x],
        lambda x: (x[:-1] + x[1:]) / 2,
    ],
    ids=["the same", "a little noise", "2 dB quieter", "5 ms later", "50 ms later", "filtered"],
)
@pytest.mark.parametrize("sentence", [GREETING, HOURS, GOODBYE], ids=["greeting", "hours", "bye"])
def test_what_nobody_would_hear_is_no_difference(sentence: Samples, change: Change) -> None:
    assert heard(sentence, change(sentence)) == []


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("silence", lambda x: silent(len(x))),
        ("other", lambda x: NOISE[: len(x)] * 0.1),
        ("other", lambda x: GREETING[: len(x)]),
        ("other", lambda x: GOODBYE[: len(x)]),
    ],
    ids=["silence", "noise", "another sentence", "one more"],
)
def test_something_else_is_heard_from_the_beginning_to_the_end(what: str, change: Change) -> None:
    found = heard(HOURS, change(HOURS))
    assert what in {place.what for place in found}
    assert found[0].from_ms < 200
    assert sum(place.length_ms for place in found) > 1500


@pytest.mark.parametrize("at", LOUD)
@pytest.mark.parametrize(
    ("what", "length_ms", "change"),
    [
        ("gap", 40, lambda x, at: np.r_[x[:at], silent(320), x[at:]]),
        ("doubled", 20, lambda x, at: np.r_[x[: at + FRAME], x[at:]]),
        ("doubled", 60, lambda x, at: np.r_[x[: at + 480], x[at:]]),
        ("missing", 20, lambda x, at: np.r_[x[:at], x[at + FRAME :]]),
        (
            "swapped",
            40,
            lambda x, at: np.r_[
                x[:at], x[at + FRAME : at + 320], x[at : at + FRAME], x[at + 320 :]
            ],
        ),
    ],
    ids=["gap", "doubled frame", "doubled message", "lost frame", "swapped frames"],
)
def test_frames_that_go_wrong_within_speech_are_named_with_place_and_length(
    what: str, length_ms: int, change: Callable[[Samples, int], Samples], at: int
) -> None:
    found = next(
        (place for place in heard(HOURS, change(HOURS, at)) if place.what == what),
        None,
    )
    assert found is not None
    assert abs(found.from_ms - at // 8) <= 80
    assert abs(found.length_ms - length_ms) <= 10


@pytest.mark.parametrize("factor", [0.5, 2.0, 0.25])
def test_another_volume_is_told_in_decibels(factor: float) -> None:
    [*found] = heard(HOURS, as_pcmu(HOURS * np.float32(factor)))
    assert {place.what for place in found} == {"level"}
    assert found[0].level_db == pytest.approx(20 * np.log10(factor), abs=0.5)


def test_a_part_that_is_too_quiet_is_told_from_where_to_where() -> None:
    quiet = HOURS.copy()
    quiet[AT : AT + 8000] *= 0.4
    [found] = [place for place in heard(HOURS, quiet) if place.what == "level"]
    assert abs(found.from_ms - AT // 8) < 150
    assert abs(found.to_ms - AT // 8 - 1000) < 150


def test_a_hiss_under_the_voice_is_heard_where_it_is_silent() -> None:
    assert "noise" in whats(HOURS, as_pcmu(HOURS + NOISE[: len(HOURS)] * 0.03))


def test_a_pause_may_be_a_little_longer_but_not_much() -> None:
    pause = silent(1600)
    whole = np.r_[HOURS, pause, GREETING]
    assert whats(whole, np.r_[HOURS, pause, silent(640), GREETING]) == []
    assert whats(whole, np.r_[HOURS, pause, silent(2400), GREETING]) == ["pause"]


def test_the_middle_of_a_call_may_be_wrong_and_the_rest_is_still_compared() -> None:
    should = np.r_[GREETING, silent(800), HOURS, silent(800), GOODBYE]
    did = np.r_[GREETING, silent(800), silent(len(HOURS)), silent(800), GOODBYE]
    [found] = heard(should, did)
    assert found.what == "silence"
    assert found.from_ms >= len(GREETING) // 8
    assert found.to_ms <= (len(GREETING) + 800 + len(HOURS)) // 8
