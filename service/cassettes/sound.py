"""Sound in a cassette that is not to be heard again: silence, or a voice that says nothing.

As many bytes as there were, frame by frame. The voice hums where the detector hears speech, which
it knows about a tenth of a second after the speech has begun; it has no words. Pure.
"""

import functools
from typing import Literal

import numpy as np

from service.core.audio import SILENCE_BYTE, AudioFrame, Encoding, MediaFormat, Party
from service.media.convert import from_pcm16
from service.media.vad import Detector

Keep = Literal["keep", "voice", "silence"]
"""What becomes of a call's sound."""

_HANGOVER_MS = 100  # the end of what was said, not the end of a turn
_PITCH_HZ = 115
_FORMANTS = ((550, 1.0), (1500, 0.4), (2450, 0.15))  # Hz and height: something like "uh"
_SYLLABLES_HZ = 4
_LOUDEST = 9000


class SilentTrack:
    """Silence in the place of sound."""

    def __init__(self, form: MediaFormat) -> None:
        self._silence = SILENCE_BYTE.get(form.encoding, b"\x00")

    def replace(self, data: bytes) -> bytes:
        """As much silence."""
        return self._silence * len(data)


class HummedTrack:
    """One direction of a call, hummed."""

    def __init__(self, form: MediaFormat) -> None:
        self._form = form
        self._silence = SilentTrack(form)
        self._detector = Detector(form, hangover_ms=_HANGOVER_MS)
        self._at_ms = 0

    def replace(self, data: bytes) -> bytes:
        """A hum of this length where somebody speaks, silence elsewhere."""
        length_ms = self._form.duration_ms(len(data))
        self._detector.hear(AudioFrame(data, self._form, self._at_ms, length_ms, Party.REMOTE))
        begin_ms, self._at_ms = self._at_ms, self._at_ms + length_ms
        if not self._detector.speaking:
            return self._silence.replace(data)
        hum = _hum(self._form)
        start = len(hum) * (begin_ms % 1000) // 1000 // 2 * 2
        return (hum[start:] + hum * (len(data) // len(hum) + 1))[: len(data)]


Track = SilentTrack | HummedTrack


def track(keep: Keep, form: MediaFormat) -> Track | None:
    """What one direction is replaced with; None: it is kept."""
    match keep:
        case "keep":
            return None
        case "silence":
            return SilentTrack(form)
        case "voice":
            return HummedTrack(form)


def media_format(encoding: str, rate_hz: int) -> MediaFormat:
    """The format in a carrier's words; PCMU at 8 kHz when they are unknown."""
    match encoding.lower().rpartition("/")[2]:
        case "pcma":
            return MediaFormat(Encoding.PCMA, 8000)
        case "x-l16":
            return MediaFormat(Encoding.L16, rate_hz)
        case "l16":  # little-endian there, whatever RFC 3551 says
            return MediaFormat(Encoding.PCM16, rate_hz)
        case _:
            return MediaFormat(Encoding.PCMU, 8000)


@functools.cache
def _hum(form: MediaFormat) -> bytes:
    """One second of it, which begins as it ends."""
    seconds = np.arange(form.sample_rate_hz) / form.sample_rate_hz
    wave = np.zeros(form.sample_rate_hz)
    for harmonic in range(1, 3400 // _PITCH_HZ):
        hz = harmonic * _PITCH_HZ
        height = sum(high / (1 + ((hz - at) / 120) ** 2) for at, high in _FORMANTS)
        wave += height * np.sin(2 * np.pi * hz * seconds)
    wave *= 0.6 - 0.4 * np.cos(2 * np.pi * _SYLLABLES_HZ * seconds)
    samples = (wave / np.abs(wave).max() * _LOUDEST).astype("<i2")
    return from_pcm16(form.encoding)(samples.tobytes())
