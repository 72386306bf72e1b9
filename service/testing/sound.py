"""What a scripted caller says and hears, as sound: where it is loud, and what text becomes.

A text is spoken by espeak-ng in this process, once; a sound file is read as it is.
"""

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from service.core.audio import FRAME_MS
from service.media.g711 import decode_pcmu
from service.replay.voice import CallerVoice
from service.twin.speech import load_wav

BYTES_PER_MS = 8
_FRAME_SAMPLES = FRAME_MS * BYTES_PER_MS
_LOUD_RMS = 200  # above comfort noise (about -44 dB), below any spoken word

Samples = npt.NDArray[np.int16]


def samples_of(pcmu: bytes) -> Samples:
    """PCM16 at 8 kHz."""
    return np.frombuffer(decode_pcmu(pcmu), "<i2").astype(np.int16)


def loud_frames(pcmu: bytes) -> list[int]:
    """The 20 ms frames in which something can be heard, by their numbers."""
    whole = len(pcmu) // _FRAME_SAMPLES * _FRAME_SAMPLES
    frames = samples_of(pcmu[:whole]).reshape(-1, _FRAME_SAMPLES).astype(np.float32)
    return [int(n) for n in np.flatnonzero(np.sqrt((frames**2).mean(axis=1)) > _LOUD_RMS)]


def first_loud_ms(pcmu: bytes) -> int | None:
    """Where sound begins."""
    loud = loud_frames(pcmu)
    return loud[0] * FRAME_MS if loud else None


def last_loud_ms(pcmu: bytes) -> int:
    """Where sound ends."""
    loud = loud_frames(pcmu)
    return (loud[-1] + 1) * FRAME_MS if loud else len(pcmu) // BYTES_PER_MS


def sound_of(what: str | Path, folders: tuple[Path, ...]) -> bytes:
    """PCMU of a text, or of a WAV file: a Path, or a text that ends in `.wav`.

    A file is looked for in `folders`, in this order. FileNotFoundError, ValueError.
    """
    if isinstance(what, str) and not what.lower().endswith(".wav"):
        return _spoken(what)
    return load_wav(find(what, folders))


def find(name: str | Path, folders: tuple[Path, ...]) -> Path:
    """The file or folder of this name in the first of `folders` that has it."""
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    looked = " and ".join(str(folder) for folder in dict.fromkeys(folders))
    raise FileNotFoundError(f"{name}: not found; looked in {looked}")


@cache
def _voice() -> CallerVoice:
    return CallerVoice()


@cache
def _spoken(text: str) -> bytes:
    return _voice().say(text)
