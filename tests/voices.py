"""People on the line: recordings that Debian installs, and noise made here."""

import wave
from pathlib import Path

import numpy as np

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
