"""Sounds for twins' tests."""

import math
import struct

from service.media.g711 import encode_pcmu


def tone(ms: int, hz: int = 440, amplitude: int = 8000) -> bytes:
    """A loud tone, PCMU."""
    samples = [int(amplitude * math.sin(2 * math.pi * hz * n / 8000)) for n in range(ms * 8)]
    return encode_pcmu(struct.pack(f"<{len(samples)}h", *samples))


QUIET = b"\xff"
