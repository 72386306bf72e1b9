"""A sentence by espeak-ng, made fit for a telephone: 8 kHz, one loudness, words in place."""

import re

import numpy as np
import numpy.typing as npt
import soxr

from service.ai.offline.espeak import Espeak, WordStart
from service.ai.spoken import Spoken, Word

RATE_HZ = 8000
LEVEL_RMS = 32768 * 10 ** (-16 / 20)
"""Of the sound without its pauses: -16 dBFS, as loud as the recordings telephone systems play."""
_PEAK_MOST = 32000.0
_PAUSE_BELOW = 0.02  # of the loudest sample
_WORD = re.compile(r"\S+")


def say(espeak: Espeak, text: str, *, voice: str, words_per_minute: int, pitch: int) -> Spoken:
    """The sentence as PCM16 at 8 kHz; EngineError when it cannot be made."""
    speech = espeak.say(text, voice=voice, words_per_minute=words_per_minute, pitch=pitch)
    samples = np.frombuffer(speech.pcm, np.dtype("<i2")).astype(np.float32)
    narrow = soxr.resample(samples, speech.sample_rate_hz, RATE_HZ)
    return Spoken(_levelled(narrow), _words(text, speech.words))


def _levelled(samples: npt.NDArray[np.float32]) -> bytes:
    size = np.abs(samples)
    peak = float(size.max(initial=0.0))
    if not peak:
        return samples.astype("<i2").tobytes()
    voiced = samples[size > peak * _PAUSE_BELOW]
    gain = LEVEL_RMS / float(np.sqrt(np.mean(np.square(voiced, dtype=np.float64))))
    loud = samples * gain
    # The few peaks that would clip are bent instead: it is not heard, and a lower gain would be.
    knee = _PEAK_MOST * 0.7
    over = np.abs(loud) > knee
    room = _PEAK_MOST - knee
    bent = knee + room * np.tanh((np.abs(loud[over]) - knee) / room)
    loud[over] = np.sign(loud[over]) * bent
    return loud.astype("<i2").tobytes()


def _words(text: str, starts: tuple[WordStart, ...]) -> tuple[Word, ...]:
    """Each word of the text, as written, at its sound; one without a sound is with the last."""
    words = []
    sounded = iter(starts)
    start = next(sounded, None)
    at_ms = 0
    for index, match in enumerate(_WORD.finditer(text)):
        first = True
        while start is not None and start.character < match.end():
            if first:
                at_ms = start.audio_ms
                first = False
            start = next(sounded, None)
        words.append(Word(match[0] if index == 0 else f" {match[0]}", at_ms))
    return tuple(words)
