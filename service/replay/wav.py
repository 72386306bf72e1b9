"""One call as a stereo WAV: the caller's voice on the left, what the caller heard on the right.

Reads a twin's record and nothing else. 16 bit PCM at 8 kHz, from the first media stream on.
"""

import base64
import wave
from pathlib import Path
from typing import Any

import numpy as np

from service.core.audio import Encoding
from service.media.g711 import PCMU_SILENCE, decode_pcma, decode_pcmu, encode_pcmu
from service.twin.record import CallRecord

RATE_HZ = 8000
_BYTES_PER_MS = 8


def write_wav(path: Path, record: CallRecord) -> None:
    """Write both sides of the call."""
    sides = (said_pcmu(record), record.heard_pcmu())
    length = max(len(side) for side in sides)
    left, right = (
        np.frombuffer(decode_pcmu(side.ljust(length, PCMU_SILENCE)), "<i2") for side in sides
    )
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(np.stack([left, right], axis=1).tobytes())


def said_pcmu(record: CallRecord) -> bytes:
    """What the caller said, each frame at its time."""
    sound = bytearray()
    if not record.streams:
        return b""
    start_ms = record.streams[0].started_at_ms
    encoding = ""
    for line in record.lines:
        message = line.get("message")
        if line["lane"] != "stream" or line["from"] != "carrier" or message is None:
            continue
        if message["event"] == "start":
            encoding = _encoding(message)
        elif message["event"] == "media":
            data = base64.b64decode(message["media"]["payload"])
            if encoding == Encoding.PCMA:
                data = encode_pcmu(decode_pcma(data))
            end = max(0, line["at_ms"] - start_ms) * _BYTES_PER_MS
            sound += PCMU_SILENCE * (end - len(data) - len(sound))
            sound += data
    return bytes(sound)


def _encoding(start: dict[str, Any]) -> str:
    """Twilio says it outside, Telnyx inside of its `media_format`."""
    said = start["start"]
    return str((said.get("media_format") or said.get("mediaFormat"))["encoding"])
