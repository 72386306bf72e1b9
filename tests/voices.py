"""People on the line: recordings that Debian installs, synthetic voices, and noise made here."""

import audioop
import wave
from functools import cache
from pathlib import Path

import numpy as np

from service.ai.offline.espeak import Espeak
from service.ai.offline.speech import say
from service.core.audio import PCM16_8K, PCMU_8K, AudioFrame, Party
from service.media.convert import Converter
from service.media.frames import Framer

SOUNDS = Path("/usr/share/asterisk/sounds/en")
SILENCE = b"\x00\x00" * 8


def recording(name: str) -> bytes:
    """PCM16 at 8 kHz."""
    with wave.open(str(SOUNDS / f"{name}.wav")) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (8000, 2, 1)
        pcm: bytes = file.readframes(file.getnframes())
        return pcm


def silence(ms: int) -> bytes:
    return SILENCE * ms


def noise(ms: int, dbfs: float, seed: int = 1) -> bytes:
    """Steady white noise of this level."""
    rms = 32768 * 10 ** (dbfs / 20)
    samples = np.random.default_rng(seed).normal(0, rms, ms * 8)
    pcm: bytes = np.clip(samples, -32768, 32767).astype("<i2").tobytes()
    return pcm


def on_the_line(pcm: bytes, *, start_ms: int = 0, frame_ms: int = 20) -> list[AudioFrame]:
    """As a carrier brings it: mu-law, frame by frame."""
    framer = Framer(PCMU_8K, Party.REMOTE, start_ms=start_ms, frame_ms=frame_ms)
    data = Converter(PCM16_8K, PCMU_8K).convert(pcm)
    return [*framer.push(data), *framer.flush()]


PEOPLE = ("en-us", "en-us+f3", "en-us+m3", "en-us+f1", "en-us+m7", "en-us+f4", "en-us+m1")
"""Seven voices of the speech library."""


@cache
def spoken(text: str, voice: str = "en-us") -> bytes:
    """A person who says this, as PCM16 at 8 kHz, -16 dBFS; a third of a second of silence after."""
    return say(Espeak(), text, voice=voice, words_per_minute=165, pitch=50).pcm


def louder(pcm: bytes, db: float) -> bytes:
    """The same, so much louder, or softer."""
    return audioop.mul(pcm, 2, 10 ** (db / 20))


def together(*sounds: bytes) -> bytes:
    """All at once, from their beginnings on; as long as the first."""
    mixed = sounds[0]
    for sound in sounds[1:]:
        fitted = sound[: len(mixed)] + bytes(max(0, len(mixed) - len(sound)))
        mixed = audioop.add(mixed, fitted, 2)
    return mixed


def cough(ms: int, dbfs: float, seed: int = 1) -> bytes:
    """A burst of dull noise that fades."""
    count = ms * 8
    hiss = np.random.default_rng(seed).normal(0, 1, count)
    dull = np.convolve(hiss, np.ones(4) / 4, "same") * np.exp(-4 * np.arange(count) / count)
    level = 32768 * 10 ** (dbfs / 20) / np.sqrt(np.mean(dull**2))
    pcm: bytes = np.clip(dull * level, -32768, 32767).astype("<i2").tobytes()
    return pcm
