"""What a piece of sound is: its bytes, its format, its place in time, and who made it.

Frames pass through the bridge in the form they came in; nothing is decoded until someone needs
samples. G.711 is ITU-T G.711; its static RTP payload types are in RFC 3551.
"""

from enum import StrEnum

from msgspec import Struct


class Encoding(StrEnum):
    """How samples are written as bytes."""

    PCMU = "PCMU"
    PCMA = "PCMA"
    G722 = "G722"
    OPUS = "OPUS"
    L16 = "L16"  # 16 bit signed, big-endian: as RTP carries it (RFC 3551, 4.5.11)
    PCM16 = "PCM16"  # 16 bit signed, little-endian: our inside


class MediaFormat(Struct, frozen=True, gc=False):
    """An encoding at a sample rate. `clock_rate_hz` is RTP's, which differs for G.722."""

    encoding: Encoding
    sample_rate_hz: int = 8000
    channels: int = 1

    @property
    def clock_rate_hz(self) -> int:
        """RTP timestamp ticks per second (RFC 3551, 4.5.2: G.722 ticks at 8 kHz by mistake)."""
        return 8000 if self.encoding is Encoding.G722 else self.sample_rate_hz

    def duration_ms(self, size_bytes: int) -> int:
        """How long `size_bytes` of this format last; whole milliseconds, rounded down.

        Only for formats of constant size per sample (PCMU, PCMA, G722, L16, PCM16).
        """
        width = 2 if self.encoding in (Encoding.L16, Encoding.PCM16) else 1
        per_second = 8000 if self.encoding is Encoding.G722 else self.sample_rate_hz * width
        return size_bytes * 1000 // (per_second * self.channels)


PCMU_8K = MediaFormat(Encoding.PCMU)
PCMA_8K = MediaFormat(Encoding.PCMA)
PCM16_8K = MediaFormat(Encoding.PCM16)

SILENCE_BYTE = {Encoding.PCMU: b"\xff", Encoding.PCMA: b"\xd5", Encoding.PCM16: b"\x00"}
"""The byte that repeats in digital silence (G.711: the code for +0)."""

FRAME_MS = 20
"""What carriers send and expect as a rule; no promise of theirs, so nothing may depend on it."""


class Party(StrEnum):
    """Who made a sound. Never "inbound": it means two things on a phone line."""

    REMOTE = "remote"  # the person on the line
    AGENT = "agent"  # the engine


class AudioFrame(Struct, frozen=True, gc=False):
    """Some sound. `start_ms` is media time since the stream (REMOTE) or the turn (AGENT) began."""

    data: bytes
    format: MediaFormat
    start_ms: int
    duration_ms: int
    party: Party
