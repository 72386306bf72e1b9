"""Sound for a scripted caller: a WAV file, or text through whatever speaks it, as PCMU at 8 kHz.

Reads 16 bit PCM WAV of any rate; several channels are mixed to one.
"""

import wave
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soxr

from service.media.g711 import encode_pcmu

_RATE_HZ = 8000

Synthesise = Callable[[str], tuple[bytes, int]]
"""Text to (PCM16 mono, sample rate in Hz)."""


def load_wav(path: Path | str | BinaryIO) -> bytes:
    """A WAV file as PCMU at 8 kHz. ValueError for what is not 16 bit PCM."""
    name = path if isinstance(path, Path | str) else "the sound"
    try:
        with wave.open(str(path) if isinstance(path, Path) else path, "rb") as file:
            width, channels, rate_hz = file.getsampwidth(), file.getnchannels(), file.getframerate()
            pcm = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{name}: expected a WAV file: {error}") from None
    if width != 2:
        raise ValueError(f"{name}: expected 16 bit PCM")
    if channels > 1:
        mixed = np.frombuffer(pcm, "<i2").reshape(-1, channels).mean(axis=1)
        pcm = mixed.astype("<i2").tobytes()
    return pcmu_of(pcm, rate_hz)


def speak(text: str, synthesise: Synthesise) -> bytes:
    """`text` spoken, as PCMU at 8 kHz."""
    return pcmu_of(*synthesise(text))


def pcmu_of(pcm: bytes, rate_hz: int) -> bytes:
    """PCM16 mono of any rate as PCMU at 8 kHz."""
    if rate_hz != _RATE_HZ:
        samples = np.frombuffer(pcm, "<i2")
        pcm = soxr.resample(samples, rate_hz, _RATE_HZ).astype("<i2").tobytes()
    return encode_pcmu(pcm)
