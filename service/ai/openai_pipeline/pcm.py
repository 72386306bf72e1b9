"""Raw PCM16 out of what a speech server sends: in pieces of any length, perhaps a WAV file. Pure.

A server asked for `pcm` sends samples and nothing else, but some that people run themselves send a
WAV file whatever they are asked for, at a rate of their own.
"""

from service.core.errors import MediaError

_HEAD_MOST_BYTES = 4096
_PROBE_BYTES = 12
_OTHERS = (b"ID3", b"OggS", b"fLaC", b"<!do", b"<htm", b"<!DO", b'{"er')
_PCM, _EXTENSIBLE = 1, 0xFFFE


class PcmReader:
    """Samples of one sound. `sample_rate_hz` is as it was told until a WAV file's head is read."""

    def __init__(self, sample_rate_hz: int) -> None:
        self.sample_rate_hz = sample_rate_hz
        self._held = b""
        self._head_read = False

    def push(self, data: bytes) -> bytes:
        """The whole samples that are there now; MediaError when it is another kind of file."""
        self._held += data
        if not self._head_read and not self._read_head():
            return b""
        end = len(self._held) // 2 * 2
        samples, self._held = self._held[:end], self._held[end:]
        return samples

    def flush(self) -> bytes:
        """The sound is over: what is shorter than any head. Half a sample is dropped."""
        held, self._held = self._held, b""
        return b"" if self._head_read or held.startswith(b"RIFF") else held[: len(held) // 2 * 2]

    def _read_head(self) -> bool:
        """Whether it is known where the samples begin."""
        if len(self._held) < _PROBE_BYTES:
            return False
        if self._held.startswith(_OTHERS):
            raise MediaError("media.not_pcm", "another kind of file")
        begin = self._data_begin() if self._is_wav() else 0
        if begin is None:
            if len(self._held) > _HEAD_MOST_BYTES:
                raise MediaError("media.not_pcm", "a WAV file without sound")
            return False
        self._held = self._held[begin:]
        self._head_read = True
        return True

    def _is_wav(self) -> bool:
        return self._held.startswith(b"RIFF") and self._held[8:12] == b"WAVE"

    def _data_begin(self) -> int | None:
        """Where the chunk of samples begins; None: not there yet."""
        at = _PROBE_BYTES
        while len(self._held) >= at + 8:
            name, size = (
                self._held[at : at + 4],
                int.from_bytes(self._held[at + 4 : at + 8], "little"),
            )
            if name == b"data":
                return at + 8
            if name == b"fmt ":
                if len(self._held) < at + 8 + 16:
                    return None
                self._read_format(self._held[at + 8 : at + 24])
            at += 8 + size + size % 2
        return None

    def _read_format(self, chunk: bytes) -> None:
        kind, channels = (int.from_bytes(chunk[at : at + 2], "little") for at in (0, 2))
        rate_hz, bits = int.from_bytes(chunk[4:8], "little"), int.from_bytes(chunk[14:16], "little")
        if kind not in (_PCM, _EXTENSIBLE) or (channels, bits) != (1, 16):
            raise MediaError("media.not_pcm", "a WAV file of another kind than PCM16, mono")
        if not 4000 <= rate_hz <= 192_000:
            raise MediaError("media.not_pcm", "a WAV file with an unlikely rate")
        self.sample_rate_hz = rate_hz
