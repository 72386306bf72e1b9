"""Keeps the sound of what a person says, from a little before its first sound to its end.

The detector says when; this remembers what, and never more than `most_ms` of it.
"""

from collections import deque

from service.core.audio import AudioFrame, MediaFormat
from service.core.events import SpeechStarted, SpeechStopped
from service.media.vad import Detector

LEAD_IN_MS = 500
"""Sound kept from before speech is certain, which takes the detector 120 to 200 ms."""
MARGIN_MS = 120
"""Sound left standing on both sides: words begin and end softly."""


class Utterances:
    """Follows one stream. After a SpeechStopped, `frames` is what was said."""

    def __init__(self, audio_format: MediaFormat, *, most_ms: int) -> None:
        self.frames: list[AudioFrame] = []
        self._format = audio_format
        self._most_ms = most_ms
        self._detector = Detector(audio_format)
        self._kept: deque[AudioFrame] = deque()

    def hear(self, frame: AudioFrame) -> SpeechStarted | SpeechStopped | None:
        """What this frame makes certain."""
        end_ms = frame.start_ms + frame.duration_ms
        self._kept.append(frame)
        event = self._detector.hear(frame)
        if isinstance(event, SpeechStarted):
            self._forget_before(event.start_ms - MARGIN_MS)
        elif isinstance(event, SpeechStopped):
            self._finish(event.end_ms + MARGIN_MS)
        elif not self._detector.speaking:
            self._forget_before(end_ms - LEAD_IN_MS)
        elif end_ms - self._kept[0].start_ms >= self._most_ms:
            self._detector = Detector(self._format)
            self._finish(end_ms)
            return SpeechStopped(end_ms)
        return event

    def end(self) -> SpeechStopped | None:
        """No more frames come: what is being said, if anything is, ends here."""
        if not self._detector.speaking:
            return None
        last = self._kept[-1]
        end_ms = last.start_ms + last.duration_ms
        self._detector = Detector(self._format)
        self._finish(end_ms)
        return SpeechStopped(end_ms)

    def _forget_before(self, media_ms: int) -> None:
        while len(self._kept) > 1 and self._kept[1].start_ms <= media_ms:
            self._kept.popleft()

    def _finish(self, end_ms: int) -> None:
        self.frames = [frame for frame in self._kept if frame.start_ms < end_ms]
        self._kept.clear()
