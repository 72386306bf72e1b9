"""What a carrier plays to the person on the line: a queue that runs dry at the speed of speech.

Pure: time is an argument. One timeline from the first moment on, with silence wherever nothing was
queued, so that it can be listened to. A mark comes back when all that was queued before it has been
played, at once when nothing is; `clear` drops the unplayed and returns every waiting mark.
"""

from collections import deque

from msgspec import Struct

from service.core.audio import PCMU_8K, SILENCE_BYTE, MediaFormat


class Echo(Struct, frozen=True):
    """A mark that goes back to the bridge; `cleared`: it was not played up to there."""

    name: str
    at_ms: float
    cleared: bool


class Span(Struct, frozen=True):
    """A stretch during which queued sound was played, in ms since the playback began."""

    start_ms: float
    end_ms: float


class Playback:
    """One stream's playback, from `origin_ms` on. For formats of one byte per sample."""

    def __init__(self, origin_ms: float, format_: MediaFormat = PCMU_8K) -> None:
        self.format = format_
        self._origin_ms = origin_ms
        self._bytes_per_ms = format_.sample_rate_hz / 1000
        self._silence = SILENCE_BYTE[format_.encoding]
        self._queue: deque[bytes | str] = deque()
        self._timeline = bytearray()
        self._spans: list[list[int]] = []

    def queue(self, data: bytes, now_ms: float) -> list[Echo]:
        """Play this after all that is queued."""
        echoes = self.advance(now_ms)
        if data:
            self._queue.append(data)
        return echoes

    def mark(self, name: str, now_ms: float) -> list[Echo]:
        """Ask for `name` back once all that is queued has been played."""
        echoes = self.advance(now_ms)
        if not self._queue:
            return [*echoes, Echo(name, now_ms, cleared=False)]
        self._queue.append(name)
        return echoes

    def clear(self, now_ms: float) -> list[Echo]:
        """Fall silent now; every waiting mark comes back."""
        echoes = self.advance(now_ms)
        waiting = [item for item in self._queue if isinstance(item, str)]
        self._queue.clear()
        return [*echoes, *(Echo(name, now_ms, cleared=True) for name in waiting)]

    def advance(self, now_ms: float) -> list[Echo]:
        """Play up to now; returns the marks that were reached."""
        end = int((now_ms - self._origin_ms) * self._bytes_per_ms + 1e-6)
        echoes: list[Echo] = []
        while self._queue:
            item = self._queue[0]
            if isinstance(item, str):
                echoes.append(Echo(item, self._at_ms(len(self._timeline)), cleared=False))
                self._queue.popleft()
                continue
            room = end - len(self._timeline)
            if room <= 0:
                return echoes
            self._play(item[:room])
            self._queue.popleft()
            if len(item) > room:
                self._queue.appendleft(item[room:])
        self._timeline += self._silence * (end - len(self._timeline))
        return echoes

    @property
    def next_mark_ms(self) -> float | None:
        """When the first of the waiting marks is reached; None when none waits."""
        position = len(self._timeline)
        for item in self._queue:
            if isinstance(item, str):
                return self._at_ms(position)
            position += len(item)
        return None

    @property
    def queued_ms(self) -> float:
        """How much sound waits to be played."""
        waiting = sum(len(item) for item in self._queue if isinstance(item, bytes))
        return waiting / self._bytes_per_ms

    @property
    def position(self) -> int:
        """How many bytes the timeline holds."""
        return len(self._timeline)

    def heard(self, from_byte: int = 0) -> bytes:
        """The timeline as the person heard it, silence included."""
        return bytes(self._timeline[from_byte:])

    def spans(self) -> list[Span]:
        """When queued sound was played; adjoining pieces are one span."""
        return [
            Span(start / self._bytes_per_ms, end / self._bytes_per_ms) for start, end in self._spans
        ]

    def _play(self, data: bytes) -> None:
        start = len(self._timeline)
        self._timeline += data
        if self._spans and self._spans[-1][1] == start:
            self._spans[-1][1] += len(data)
        else:
            self._spans.append([start, start + len(data)])

    def _at_ms(self, position: int) -> float:
        return self._origin_ms + position / self._bytes_per_ms
