"""When does a person begin to speak, and when are they done? A cheap gate for every frame.

Loudness against a noise floor that follows the line, decided over 200 ms, so that clicks, coughs
and constant comfort noise are not speech. Time is the frames' own; no clock is read. It does not
tell speech from music or from a second voice.
"""

import audioop
from typing import Final

from service.core.audio import AudioFrame, MediaFormat
from service.core.events import SpeechStarted, SpeechStopped
from service.media.convert import to_pcm16
from service.media.frames import frame_bytes

BLOCK_MS: Final = 20
HANGOVER_MS: Final = 600
"""A pause inside a sentence is seldom longer; an answer that waits much longer feels slow."""

_WINDOW_MASK: Final = (1 << 10) - 1  # 200 ms of blocks, the newest in the lowest bit
_ONSET_BLOCKS: Final = 6  # 120 ms of them loud: a click of 80 ms touches five at most
_MOVING_BLOCKS: Final = 3  # a step from silence to steady noise moves two at most
_MOVING_RATIO: Final = 1.35  # steady noise varies by 8 % from block to block (one sigma)
_RECENT_MASK: Final = 0b111
_MAX_GAP_BLOCKS: Final = 64

_FLOOR_START: Final = 330.0  # -40 dBFS, until the line has been heard
_FLOOR_LEAST: Final = 110.0  # -49.5 dBFS
_FLOOR_MOST: Final = 1300.0  # -28 dBFS
_FLOOR_BLOCKS: Final = 40  # the floor is the least loudness of the last 0.8 to 1.6 s
_LOUD_RATIO: Final = 2.5  # 8 dB above the floor is loud ...
_STILL_LOUD_RATIO: Final = 1.8  # ... and 5 dB are enough to go on speaking
_SURELY_SPEECH: Final = 1500.0  # -27 dBFS: comfort noise is never so loud


class Detector:
    """Follows one stream. `speaking` says whether the person speaks now."""

    def __init__(self, audio_format: MediaFormat, *, hangover_ms: int = HANGOVER_MS) -> None:
        self.speaking = False
        self._decode = to_pcm16(audio_format.encoding)
        self._block_bytes = frame_bytes(audio_format, BLOCK_MS)
        self._hangover_ms = hangover_ms
        self._rest = b""
        self._next_ms = 0  # media time at which the next block begins
        self._loud = 0  # one bit a block
        self._moving = 0
        self._level = 0
        self._voiced_end_ms = 0
        self._floor = _FLOOR_START
        self._least = self._least_before = 32768
        self._blocks = 0

    def hear(self, frame: AudioFrame) -> SpeechStarted | SpeechStopped | None:
        """What this frame makes certain; frames of any length, in order."""
        gap_blocks = (frame.start_ms - self._next_ms) // BLOCK_MS
        if gap_blocks:
            self._skip(frame.start_ms, gap_blocks)
        data = frame.data
        if len(data) == self._block_bytes and not self._rest:
            return self._block(data)
        return self._blocks_of(data)

    def _blocks_of(self, data: bytes) -> SpeechStarted | SpeechStopped | None:
        event = None
        data = self._rest + data
        size = self._block_bytes
        end = len(data) - len(data) % size
        for begin in range(0, end, size):
            event = self._block(data[begin : begin + size]) or event
        self._rest = data[end:]
        return event

    def _skip(self, start_ms: int, gap_blocks: int) -> None:
        """Frames are missing, or time began anew: what was not heard was not loud."""
        if gap_blocks > 0 or gap_blocks < -1:
            shift = min(max(gap_blocks, 0), _MAX_GAP_BLOCKS)
            self._loud = self._loud << shift & _WINDOW_MASK
            self._moving = self._moving << shift & _WINDOW_MASK
            self._rest = b""
            self._next_ms = start_ms

    def _block(self, data: bytes) -> SpeechStarted | SpeechStopped | None:
        level = audioop.rms(self._decode(data), 2)
        before, self._level = self._level, level
        self._next_ms += BLOCK_MS
        self._follow_floor(level)
        if self.speaking:
            return self._while_speaking(level)
        if level < self._floor * _LOUD_RATIO:
            self._loud = self._loud << 1 & _WINDOW_MASK
            self._moving = self._moving << 1 & _WINDOW_MASK
            return None
        return self._while_loud(level, before)

    def _follow_floor(self, level: int) -> None:
        if level < self._least:
            self._least = level
            if level < self._floor:
                self._floor = max(level, _FLOOR_LEAST)
        self._blocks += 1
        if self._blocks == _FLOOR_BLOCKS:
            least = min(self._least, self._least_before)
            self._floor = min(max(least, _FLOOR_LEAST), _FLOOR_MOST)
            self._least_before, self._least, self._blocks = self._least, 32768, 0

    def _while_loud(self, level: int, before: int) -> SpeechStarted | None:
        moving = level > before * _MOVING_RATIO or before > level * _MOVING_RATIO
        self._loud = loud = (self._loud << 1 | 1) & _WINDOW_MASK
        self._moving = (self._moving << 1 | moving) & _WINDOW_MASK
        if loud.bit_count() < _ONSET_BLOCKS:
            return None
        if level < _SURELY_SPEECH and self._moving.bit_count() < _MOVING_BLOCKS:
            return None
        self.speaking = True
        self._voiced_end_ms = self._next_ms
        return SpeechStarted(self._next_ms - loud.bit_length() * BLOCK_MS)

    def _while_speaking(self, level: int) -> SpeechStopped | None:
        voiced = level >= self._floor * _STILL_LOUD_RATIO
        self._loud = (self._loud << 1 | voiced) & _WINDOW_MASK
        if voiced and (self._loud & _RECENT_MASK).bit_count() >= 2:  # one block alone is a click
            self._voiced_end_ms = self._next_ms
            return None
        if self._next_ms - self._voiced_end_ms < self._hangover_ms:
            return None
        self.speaking = False
        self._loud = self._moving = 0
        return SpeechStopped(self._voiced_end_ms)
