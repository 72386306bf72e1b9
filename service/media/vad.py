"""When does a person begin to speak, and when are they done? A cheap gate for every frame.

Loudness against a noise floor that follows the line, decided over 200 ms, so that clicks, coughs
and constant comfort noise are not speech. Time is the frames' own; no clock is read. It does not
tell speech from music or from a second voice.
"""

from typing import Final

from service.core.audio import AudioFrame, MediaFormat
from service.core.events import SpeechStarted, SpeechStopped
from service.media.gauge import BLOCK_MS, Gauge

HANGOVER_MS: Final = 600
"""A pause inside a sentence is seldom longer; an answer that waits much longer feels slow."""

_WINDOW_MASK: Final = (1 << 10) - 1  # 200 ms of blocks, the newest in the lowest bit
_ONSET_BLOCKS: Final = 6  # 120 ms of them loud: a click of 80 ms touches five at most
_MOVING_BLOCKS: Final = 3  # a step from silence to steady noise moves two at most
_MOVING_RATIO: Final = 1.35  # steady noise varies by 8 % from block to block (one sigma)
_RECENT_MASK: Final = 0b111
_MAX_GAP_BLOCKS: Final = 64

_LOUD_RATIO: Final = 2.5  # 8 dB above the floor is loud ...
_STILL_LOUD_RATIO: Final = 1.8  # ... and 5 dB are enough to go on speaking
_SURELY_SPEECH: Final = 1500.0  # -27 dBFS: comfort noise is never so loud


class Detector:
    """Follows one stream. `speaking` says whether the person speaks now."""

    def __init__(self, audio_format: MediaFormat, *, hangover_ms: int = HANGOVER_MS) -> None:
        self.speaking = False
        self._gauge = Gauge(audio_format)
        self._hangover_ms = hangover_ms
        self._loud = 0  # one bit a block
        self._moving = 0
        self._level = 0
        self._voiced_end_ms = 0

    def hear(self, frame: AudioFrame) -> SpeechStarted | SpeechStopped | None:
        """What this frame makes certain; frames of any length, in order."""
        event = None
        for level in self._gauge.levels(frame):
            if self._gauge.missing_blocks:
                self._skip()
            event = self._block(level) or event
        return event

    def _skip(self) -> None:
        """What was not heard was not loud."""
        shift = min(self._gauge.missing_blocks, _MAX_GAP_BLOCKS)
        self._gauge.missing_blocks = 0
        self._loud = self._loud << shift & _WINDOW_MASK
        self._moving = self._moving << shift & _WINDOW_MASK

    def _block(self, level: int) -> SpeechStarted | SpeechStopped | None:
        before, self._level = self._level, level
        if self.speaking:
            return self._while_speaking(level)
        if level < self._gauge.floor * _LOUD_RATIO:
            self._loud = self._loud << 1 & _WINDOW_MASK
            self._moving = self._moving << 1 & _WINDOW_MASK
            return None
        return self._while_loud(level, before)

    def _while_loud(self, level: int, before: int) -> SpeechStarted | None:
        moving = level > before * _MOVING_RATIO or before > level * _MOVING_RATIO
        self._loud = loud = (self._loud << 1 | 1) & _WINDOW_MASK
        self._moving = (self._moving << 1 | moving) & _WINDOW_MASK
        if loud.bit_count() < _ONSET_BLOCKS:
            return None
        if level < _SURELY_SPEECH and self._moving.bit_count() < _MOVING_BLOCKS:
            return None
        self.speaking = True
        self._voiced_end_ms = self._gauge.end_ms
        return SpeechStarted(self._gauge.end_ms - loud.bit_length() * BLOCK_MS)

    def _while_speaking(self, level: int) -> SpeechStopped | None:
        voiced = level >= self._gauge.floor * _STILL_LOUD_RATIO
        self._loud = (self._loud << 1 | voiced) & _WINDOW_MASK
        if voiced and (self._loud & _RECENT_MASK).bit_count() >= 2:  # one block alone is a click
            self._voiced_end_ms = self._gauge.end_ms
            return None
        if self._gauge.end_ms - self._voiced_end_ms < self._hangover_ms:
            return None
        self.speaking = False
        self._loud = self._moving = 0
        return SpeechStopped(self._voiced_end_ms)
