"""Sound for the callers of the bench: µ-law at 8 kHz in frames of 20 ms.

Human speech from Debian's `asterisk-core-sounds-en-wav` where it is installed, else tones in the
rhythm of speech, so that a detector has work either way.
"""

import audioop
import math
import wave
from array import array
from pathlib import Path

from service.media.g711 import encode_pcmu

SOUNDS = Path("/usr/share/asterisk/sounds/en")
NAMES = ("demo-congrats", "demo-instruct", "demo-abouttotry", "vm-intro", "demo-moreinfo")
RATE_HZ = 8000
FRAME_BYTES = 160
SILENCE = b"\xff" * FRAME_BYTES
LOUD_RMS = 1000
"""-30 dBFS: from here on anybody would say that somebody speaks."""


def source() -> str:
    """What the callers say, for the report."""
    return "human speech" if _files() else "tones (no speech installed)"


def talk() -> list[bytes]:
    """About half a minute or more of talk, in frames."""
    files = _files()
    pcm = b"".join(_read(path) for path in files) if files else _tones(seconds=30)
    return _frames(encode_pcmu(pcm))


def utterances() -> list[list[bytes]]:
    """Several pieces of talk, each from its first loud frame on."""
    files = _files()
    pieces = [_read(path) for path in files] if files else [_tones(seconds=3)]
    return [_from_loud(_frames(encode_pcmu(pcm))) for pcm in pieces]


def _files() -> list[Path]:
    return [path for name in NAMES if (path := SOUNDS / f"{name}.wav").is_file()]


def _read(path: Path) -> bytes:
    with wave.open(str(path), "rb") as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE_HZ, 1, 2):
            raise SystemExit(f"{path}: expected 16 bit PCM, mono, 8 kHz")
        return file.readframes(file.getnframes())


def _tones(*, seconds: int) -> bytes:
    """300 ms of a gliding tone, 200 ms of near silence, and so on."""
    samples = array("h")
    for n in range(seconds * RATE_HZ):
        at_ms = n * 1000 // RATE_HZ
        loud = 8000 if at_ms % 500 < 300 else 40
        hz = 180 + 60 * (at_ms // 500 % 5)
        samples.append(int(loud * math.sin(2 * math.pi * hz * n / RATE_HZ)))
    return samples.tobytes()


def _frames(pcmu: bytes) -> list[bytes]:
    whole = len(pcmu) - len(pcmu) % FRAME_BYTES
    return [pcmu[at : at + FRAME_BYTES] for at in range(0, whole, FRAME_BYTES)]


def _from_loud(frames: list[bytes]) -> list[bytes]:
    for n, frame in enumerate(frames):
        if audioop.rms(audioop.ulaw2lin(frame, 2), 2) >= LOUD_RMS:
            return frames[n:]
    return frames
