"""Keys as tones: what an exchange listens for is there, and nothing else."""

import numpy as np
import pytest

from service.core.audio import PCMU_8K, Encoding, MediaFormat
from service.core.errors import MediaError
from service.media.g711 import decode_pcmu
from service.media.tones import dial_tones


def power(samples: "np.ndarray[tuple[int], np.dtype[np.float64]]", hz: float) -> float:
    times = np.arange(len(samples)) / 8000
    return float(abs(np.mean(samples * np.exp(-2j * np.pi * hz * times))) ** 2)


@pytest.mark.parametrize(
    ("key", "low_hz", "high_hz"),
    [("1", 697, 1209), ("5", 770, 1336), ("9", 852, 1477), ("*", 941, 1209), ("D", 941, 1633)],
)
def test_a_key_is_its_two_frequencies(key: str, low_hz: int, high_hz: int) -> None:
    sound = decode_pcmu(b"".join(frame.data for frame in dial_tones(key, PCMU_8K)))
    tone = np.frombuffer(sound, "<i2")[:800].astype(np.float64)
    strength = {hz: power(tone, hz) for hz in (697, 770, 852, 941, 1209, 1336, 1477, 1633)}
    assert set(sorted(strength, key=lambda hz: -strength[hz])[:2]) == {low_hz, high_hz}
    assert 0 < 10 * np.log10(strength[high_hz] / strength[low_hz]) < 4
    others = sum(v for hz, v in strength.items() if hz not in (low_hz, high_hz))
    assert others < 0.01 * strength[low_hz]


def test_keys_last_long_enough_and_are_parted_by_silence() -> None:
    frames = list(dial_tones("1w2", PCMU_8K))
    assert [f.start_ms for f in frames] == list(range(0, 900, 20))
    quiet = [set(f.data) <= {0xFF} for f in frames]
    assert quiet == [False] * 5 + [True] * 30 + [False] * 5 + [True] * 5


def test_the_lines_own_rate_is_kept() -> None:
    line = MediaFormat(Encoding.L16, 16_000)
    assert sum(len(frame.data) for frame in dial_tones("1", line)) == 200 * 32


def test_a_key_that_no_telephone_has_is_refused() -> None:
    with pytest.raises(MediaError, match=r"media\.unknown_key"):
        list(dial_tones("x", PCMU_8K))
