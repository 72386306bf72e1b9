"""Keys as pairs of tones, for a line that takes digits only in the sound.

Frequencies are ITU-T Q.23; lengths and levels lie well inside what ITU-T Q.24 says every exchange
must take (40 ms of tone, 40 ms of pause, -25 to 0 dBm0, high tone up to 4 dB above the low one).
"""

from collections.abc import Iterator

import numpy as np

from service.core.audio import AudioFrame, Encoding, MediaFormat, Party
from service.core.errors import MediaError
from service.media.convert import Converter
from service.media.frames import Framer

TONE_MS = 100
PAUSE_MS = 100
WAIT_MS = 500
"""What `w` stands for."""

_LOW_HZ = (697, 770, 852, 941)
_HIGH_HZ = (1209, 1336, 1477, 1633)
_KEYS = ("123A", "456B", "789C", "*0#D")
_PAIRS = {
    key: (_LOW_HZ[row], _HIGH_HZ[column])
    for row, keys in enumerate(_KEYS)
    for column, key in enumerate(keys)
}
_LOW_DBM0 = -10.0
_HIGH_DBM0 = -8.0
_FULL_SCALE_DBM0 = 3.14  # a sine at the end of the scale (ITU-T G.711: 3.14 for A-law, 3.17 mu-law)
_RAMP_MS = 2  # a tone that begins at once clicks


def dial_tones(digits: str, line: MediaFormat) -> Iterator[AudioFrame]:
    """Frames of the keys 0-9 * # A-D; `w` waits half a second. MediaError for another key."""
    rate_hz = line.sample_rate_hz
    converter = Converter(MediaFormat(Encoding.PCM16, rate_hz), line)
    framer = Framer(line, Party.AGENT)
    for digit in digits:
        yield from framer.push(converter.convert(_sound(digit, rate_hz)))
    yield from framer.flush()


def _sound(digit: str, rate_hz: int) -> bytes:
    if digit == "w":
        return bytes(2 * (WAIT_MS * rate_hz // 1000))
    if digit not in _PAIRS:
        raise MediaError("media.unknown_key", "expected 0-9 * # A-D or w")
    return _pair(digit, rate_hz) + bytes(2 * (PAUSE_MS * rate_hz // 1000))


def _pair(digit: str, rate_hz: int) -> bytes:
    low_hz, high_hz = _PAIRS[digit]
    seconds = np.arange(TONE_MS * rate_hz // 1000) / rate_hz
    tone = _amplitude(_LOW_DBM0) * np.sin(2 * np.pi * low_hz * seconds)
    tone += _amplitude(_HIGH_DBM0) * np.sin(2 * np.pi * high_hz * seconds)
    ramp = np.minimum(1.0, np.minimum(seconds, seconds[::-1]) * 1000 / _RAMP_MS)
    encoded: bytes = (tone * ramp).astype("<i2").tobytes()
    return encoded


def _amplitude(dbm0: float) -> float:
    return float(32767 * 10 ** ((dbm0 - _FULL_SCALE_DBM0) / 20))
