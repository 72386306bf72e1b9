"""Cuts a stream of sound into frames of one length, each stamped with its place in time.

What does not fill a frame waits for more; a stream that ends is filled up with silence. Only for
formats of constant size per sample.
"""

from service.core.audio import FRAME_MS, SILENCE_BYTE, AudioFrame, Encoding, MediaFormat, Party

_SILENCE = SILENCE_BYTE | {Encoding.L16: b"\x00"}


class Framer:
    """Frames of `frame_ms` from bytes of any length; the first starts at `start_ms`."""

    def __init__(
        self,
        audio_format: MediaFormat,
        party: Party,
        *,
        start_ms: int = 0,
        frame_ms: int = FRAME_MS,
    ) -> None:
        self._format = audio_format
        self._party = party
        self._next_ms = start_ms
        self._frame_ms = frame_ms
        self._frame_bytes = frame_bytes(audio_format, frame_ms)
        self._rest = b""

    def push(self, data: bytes) -> list[AudioFrame]:
        """The frames that are full now."""
        data = self._rest + data
        end = len(data) - len(data) % self._frame_bytes
        self._rest = data[end:]
        return [
            self._stamp(data[begin : begin + self._frame_bytes])
            for begin in range(0, end, self._frame_bytes)
        ]

    def flush(self) -> list[AudioFrame]:
        """The last frame, filled up with silence; none when nothing waits."""
        if not self._rest:
            return []
        missing = self._frame_bytes - len(self._rest)
        return self.push(_SILENCE[self._format.encoding] * missing)

    def _stamp(self, data: bytes) -> AudioFrame:
        start_ms = self._next_ms
        self._next_ms += self._frame_ms
        return AudioFrame(data, self._format, start_ms, self._frame_ms, self._party)


def frame_bytes(audio_format: MediaFormat, frame_ms: int) -> int:
    """How many bytes `frame_ms` of this format take."""
    width = 2 if audio_format.encoding in (Encoding.L16, Encoding.PCM16) else 1
    return audio_format.sample_rate_hz * width * audio_format.channels * frame_ms // 1000
