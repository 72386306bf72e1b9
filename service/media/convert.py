"""The one door between formats of sound: encodings and sample rates, as a stream.

A Converter belongs to one stream, since resampling needs what came before; equal formats pass
through untouched. It does not mix channels and knows neither G.722 nor Opus yet.
"""

import audioop
from collections.abc import Callable

import numpy as np
import soxr

from service.core.audio import Encoding, MediaFormat
from service.core.errors import MediaError
from service.media import g711

Recode = Callable[[bytes], bytes]


def _same(data: bytes) -> bytes:
    return data


def _swap(data: bytes) -> bytes:
    return audioop.byteswap(data, 2)


_CODECS: dict[Encoding, tuple[Recode, Recode]] = {  # to PCM16, from PCM16
    Encoding.PCMU: (g711.decode_pcmu, g711.encode_pcmu),
    Encoding.PCMA: (g711.decode_pcma, g711.encode_pcma),
    Encoding.L16: (_swap, _swap),
    Encoding.PCM16: (_same, _same),
}


def to_pcm16(encoding: Encoding) -> Recode:
    """The function that makes PCM16 of this encoding; MediaError when there is none."""
    return _codec(encoding)[0]


def from_pcm16(encoding: Encoding) -> Recode:
    """The function that makes this encoding of PCM16; MediaError when there is none."""
    return _codec(encoding)[1]


class Converter:
    """Turns the bytes of one stream from one format into another.

    `identity` says that `convert` gives back what it got, so that a caller may leave it out.
    """

    def __init__(self, source: MediaFormat, target: MediaFormat) -> None:
        if source.channels != 1 or target.channels != 1:
            raise MediaError("media.unsupported_format", "more than one channel")
        self.identity = source == target
        self._resampler: _Resampler | None = None
        self.convert = _same if self.identity else self._choose(source, target)

    def flush(self) -> bytes:
        """What the resampler still holds back. Nothing may be converted afterwards."""
        return b"" if self._resampler is None else self._resampler.feed(b"", last=True)

    def _choose(self, source: MediaFormat, target: MediaFormat) -> Recode:
        decode, encode = to_pcm16(source.encoding), from_pcm16(target.encoding)
        if source.sample_rate_hz != target.sample_rate_hz:
            self._resampler = _Resampler(source, target)
            return self._resampler.feed
        if encode is _same:
            return decode
        if decode is _same:
            return encode
        return lambda data: encode(decode(data))


class _Resampler:
    """Decodes, changes the rate, encodes; holds back about 30 ms."""

    def __init__(self, source: MediaFormat, target: MediaFormat) -> None:
        self._decode = to_pcm16(source.encoding)
        self._encode = from_pcm16(target.encoding)
        # In its ordinary mode soxr gives its output in lumps of 60 to 120 ms, which is too late
        # for a conversation; the mode for varying rates filters in the time domain, frame by frame.
        self._stream = soxr.ResampleStream(
            source.sample_rate_hz, target.sample_rate_hz, 1, dtype="int16", vr=True
        )

    def feed(self, data: bytes, *, last: bool = False) -> bytes:
        samples = np.frombuffer(self._decode(data), np.dtype("<i2"))
        return self._encode(self._stream.resample_chunk(samples, last=last).tobytes())


def _codec(encoding: Encoding) -> tuple[Recode, Recode]:
    try:
        return _CODECS[encoding]
    except KeyError:
        raise MediaError("media.unsupported_format", str(encoding)) from None
