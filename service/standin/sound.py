"""Sound in the API's formats, and in the pieces it comes in.

`audio/pcm` is 24 kHz, 16 bit, little-endian; `audio/pcmu` and `audio/pcma` are G.711 at 8 kHz.
What espeak-ng says is made for telephones, so 24 kHz holds no more than 8 kHz do.
"""

import io
import random
import re
import wave
from collections.abc import Iterator

from msgspec import Struct

from service.ai.spoken import Word
from service.core.audio import PCM16_8K, PCMA_8K, PCMU_8K, Encoding, MediaFormat
from service.media.convert import Converter

PCM16_24K = MediaFormat(Encoding.PCM16, 24_000)
FORMATS = {"audio/pcm": PCM16_24K, "audio/pcmu": PCMU_8K, "audio/pcma": PCMA_8K}
"""By their names in the Realtime API."""

_CHUNK_MS = (50, 100, 150, 200, 250, 400)
_PIECE = re.compile(r"\s*\S{1,8}")
_UNKNOWN_LENGTH = 0x7FFFFFFF  # what a WAV header says whose end is not known yet


class Made(Struct, frozen=True):
    """Something spoken, with the place of each word in it."""

    text: str
    data: bytes
    format: MediaFormat
    words: tuple[Word, ...]

    @property
    def duration_ms(self) -> int:
        """How long it takes to play."""
        return self.format.duration_ms(len(self.data))

    def heard(self, end_ms: int) -> str:
        """The words of which half or more is sounded before `end_ms`."""
        if end_ms >= self.duration_ms:
            return self.text
        ends = [*(word.start_ms for word in self.words[1:]), self.duration_ms]
        spans = zip(self.words, ends, strict=False)
        return "".join(word.text for word, end in spans if (word.start_ms + end) / 2 < end_ms)


def converted(data: bytes, source: MediaFormat, target: MediaFormat) -> bytes:
    """All of a sound in another format."""
    converter = Converter(source, target)
    return converter.convert(data) + converter.flush()


def narrow(data: bytes, source: MediaFormat) -> bytes:
    """A sound as the recogniser wants it: PCM16 at 8 kHz."""
    return converted(data, source, PCM16_8K)


def width(audio_format: MediaFormat) -> int:
    """Bytes of a sample."""
    return 2 if audio_format.encoding is Encoding.PCM16 else 1


def chunks(
    data: bytes, audio_format: MediaFormat, *, size_bytes: int, chance: random.Random
) -> Iterator[bytes]:
    """A sound in pieces of whole samples: of one size, or, when that is 0, of any."""
    begin = 0
    while begin < len(data):
        ms = chance.choice(_CHUNK_MS)
        size = size_bytes or audio_format.sample_rate_hz * width(audio_format) * ms // 1000
        size = max(size - size % width(audio_format), width(audio_format))
        yield data[begin : begin + size]
        begin += size


def pieces(text: str) -> list[str]:
    """A text as a model makes it: a word a piece, long words in several."""
    return _PIECE.findall(text)


def wav_head(audio_format: MediaFormat) -> bytes:
    """The head of a WAV file whose length is not known yet, as speech is streamed."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(audio_format.sample_rate_hz)
    head = file.getvalue()
    endless = _UNKNOWN_LENGTH.to_bytes(4, "little")
    return head[:4] + endless + head[8:40] + endless
