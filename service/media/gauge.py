"""How loud is the line, block by block, and how loud is it when nobody speaks?

Cuts frames of any length into blocks of 20 ms and follows the floor: the least loudness of the
last second or so. Time is the frames' own; what is missing between two frames is told, not filled.
"""

import audioop
from collections.abc import Iterator
from typing import Final

from service.core.audio import AudioFrame, MediaFormat
from service.media.convert import to_pcm16
from service.media.frames import frame_bytes

BLOCK_MS: Final = 20

_FLOOR_START: Final = 330.0  # -40 dBFS, until the line has been heard
_FLOOR_LEAST: Final = 110.0  # -49.5 dBFS
_FLOOR_MOST: Final = 1300.0  # -28 dBFS
_FLOOR_BLOCKS: Final = 40  # the floor is the least loudness of the last 0.8 to 1.6 s


class Gauge:
    """Follows one stream. While `levels` is gone through, the rest speaks of the block given."""

    def __init__(self, audio_format: MediaFormat) -> None:
        self.floor = _FLOOR_START
        self.end_ms = 0  # media time of the block's end
        self.missing_blocks = 0  # before the block; whoever has dealt with them sets it back to 0
        self._decode = to_pcm16(audio_format.encoding)
        self._block_bytes = frame_bytes(audio_format, BLOCK_MS)
        self._rest = b""
        self._least = self._least_before = 32768
        self._blocks = 0

    def levels(self, frame: AudioFrame) -> Iterator[int]:
        """The loudness (RMS of 16 bit samples) of each block that is full now, in order."""
        gap_blocks = (frame.start_ms - self.end_ms) // BLOCK_MS
        if gap_blocks:
            self._skip(frame.start_ms, gap_blocks)
        data = self._rest + frame.data if self._rest else frame.data
        size = self._block_bytes
        at = 0
        while len(data) - at >= size:
            block = data if len(data) == size else data[at : at + size]
            at += size
            level = audioop.rms(self._decode(block), 2)
            self.end_ms += BLOCK_MS
            if level < self._least:
                self._hear_less(level)
            self._blocks += 1
            if self._blocks == _FLOOR_BLOCKS:
                self._follow_floor()
            yield level
        self._rest = data[at:]

    def _skip(self, start_ms: int, gap_blocks: int) -> None:
        """Frames are missing, or time began anew."""
        if gap_blocks > 0 or gap_blocks < -1:
            self.missing_blocks += max(gap_blocks, 0)
            self._rest = b""
            self.end_ms = start_ms

    def _hear_less(self, level: int) -> None:
        self._least = level
        if level < self.floor:
            self.floor = max(level, _FLOOR_LEAST)

    def _follow_floor(self) -> None:
        least = min(self._least, self._least_before)
        self.floor = min(max(least, _FLOOR_LEAST), _FLOOR_MOST)
        self._least_before, self._least, self._blocks = self._least, 32768, 0
