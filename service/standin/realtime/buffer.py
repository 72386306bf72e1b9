"""The input buffer: sound of the person until it becomes an item, and where their turns are.

With turn detection it says when speech starts and stops, by the bridge's own gate; semantic
detection differs in how long it waits alone.
"""

from typing import Any

from msgspec import Struct

from service.core.audio import AudioFrame, MediaFormat, Party
from service.core.events import SpeechStarted, SpeechStopped
from service.media.vad import Detector
from service.standin.refusals import Refusal
from service.standin.sound import width

COMMIT_LEAST_MS = 100
_MOST_BYTES = 64 * 1024 * 1024
_SEMANTIC_MS = {"high": 400, "medium": 700, "auto": 700, "low": 1200}
_SEMANTIC_PREFIX_MS = 300


class Began(Struct, frozen=True):
    """The person speaks: `at_ms` of the session's sound, the lead-in included."""

    at_ms: int


class Ended(Struct, frozen=True):
    """The person has spoken: until `at_ms`, the silence included; `data` is all of it."""

    at_ms: int
    data: bytes


class Buffer:
    """One session's. Times count all the sound that ever came."""

    def __init__(self, audio_format: MediaFormat, turns: dict[str, Any] | None) -> None:
        self._format = audio_format
        self._data = bytearray()
        self._dropped = 0  # bytes that are in the buffer no more
        self._detector: Detector | None = None
        self._prefix_ms = 0
        self._turns: dict[str, Any] | None = None
        self.set(audio_format, turns)

    def set(self, audio_format: MediaFormat, turns: dict[str, Any] | None) -> None:
        """Another format, or another turn detection; sound in another format is forgotten."""
        if audio_format == self._format and turns == self._turns:
            return
        self._turns = turns
        if audio_format != self._format:
            self._dropped = self._size(self.total_ms, audio_format)
            self._data.clear()
            self._format = audio_format
        self._detect_anew()

    @property
    def total_ms(self) -> int:
        """How much sound came in all."""
        return self._format.duration_ms(self._dropped + len(self._data))

    @property
    def speaking(self) -> bool:
        """Whether the person speaks now, as far as turns are detected."""
        return self._detector is not None and self._detector.speaking

    def append(self, data: bytes) -> Began | Ended | None:
        """More sound, and what it makes certain."""
        if len(self._data) + len(data) > _MOST_BYTES:
            raise Refusal("The input audio buffer is full.", code="input_audio_buffer_full")
        start_ms = self.total_ms
        self._data += data
        if self._detector is None or not data:
            return None
        length_ms = self._format.duration_ms(len(data))
        found = self._detector.hear(
            AudioFrame(data, self._format, start_ms, length_ms, Party.REMOTE)
        )
        if isinstance(found, SpeechStarted):
            return Began(self._keep_from(max(0, found.start_ms - self._prefix_ms)))
        if isinstance(found, SpeechStopped):
            at_ms = self.total_ms
            return Ended(at_ms, self.take())
        if not self._detector.speaking:
            self._keep_from(max(0, self.total_ms - self._prefix_ms - 1000))
        return None

    def commit(self) -> bytes:
        """All of it; Refusal when that is too little."""
        size_ms = self._format.duration_ms(len(self._data))
        if size_ms < COMMIT_LEAST_MS:
            message = (
                "Error committing input audio buffer: buffer too small. Expected at least "
                f"{COMMIT_LEAST_MS}ms of audio, but buffer only has {size_ms:.2f}ms of audio."
            )
            raise Refusal(message, code="input_audio_buffer_commit_empty")
        self._detect_anew()
        return self.take()

    def take(self) -> bytes:
        """All of it, and the buffer is empty."""
        data = bytes(self._data)
        self._dropped += len(data)
        self._data.clear()
        return data

    def _detect_anew(self) -> None:
        self._detector = None
        turns = self._turns
        if turns is not None:
            silence_ms = turns.get("silence_duration_ms", 0)
            if turns["type"] == "semantic_vad":
                silence_ms = _SEMANTIC_MS[turns["eagerness"]]
            self._prefix_ms = turns.get("prefix_padding_ms", _SEMANTIC_PREFIX_MS)
            self._detector = Detector(self._format, hangover_ms=silence_ms)

    def _keep_from(self, at_ms: int) -> int:
        """Forget what was before; where the buffer then begins."""
        extra = self._size(at_ms, self._format) - self._dropped
        if extra > 0:
            del self._data[:extra]
            self._dropped += extra
        return self._format.duration_ms(self._dropped)

    def _size(self, ms: int, audio_format: MediaFormat) -> int:
        return ms * audio_format.sample_rate_hz // 1000 * width(audio_format)
