"""G.711: eight bits a sample, logarithmic, to linear PCM16 (little-endian) and back.

By audioop, which is an order of magnitude faster per frame than numpy tables. It comes from the
standard library up to Python 3.12 and from audioop-lts after. Follows ITU-T G.711.
"""

import audioop

from service.core.audio import SILENCE_BYTE, Encoding

PCMU_SILENCE = SILENCE_BYTE[Encoding.PCMU]


def decode_pcmu(data: bytes) -> bytes:
    """PCM16 of mu-law bytes."""
    return audioop.ulaw2lin(data, 2)


def encode_pcmu(pcm: bytes) -> bytes:
    """Mu-law bytes of PCM16."""
    return audioop.lin2ulaw(pcm, 2)


def decode_pcma(data: bytes) -> bytes:
    """PCM16 of A-law bytes."""
    return audioop.alaw2lin(data, 2)


def encode_pcma(pcm: bytes) -> bytes:
    """A-law bytes of PCM16."""
    return audioop.lin2alaw(pcm, 2)
