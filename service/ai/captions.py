"""The words of something that is being said, told when their sound may be heard.

No server says where in its sound a word begins, so that is worked out (`service/media/alignment`).
While sound still comes, words are told as late as may be, since each piece of sound makes
the guess better: once all is there, it is right to within a word.
"""

import audioop
import re

from service.ai.spoken import Word
from service.core.audio import MediaFormat
from service.media.alignment import BLOCK_MS, place, voiced_blocks
from service.media.convert import to_pcm16
from service.media.frames import frame_bytes
from service.media.wordlength import weight

AHEAD_MS = 400
"""So long before its guessed beginning a word is told: a guess may be late by that."""
PLACED_EVERY_MS = 300
"""While sound comes: placing the words of ten seconds takes a millisecond or two."""

_WEIGHT_MS = 38.0
"""Of one weight, until this voice has been heard: 15 letters a second."""
_WORD = re.compile(r"\s*\S+")


class Captions:
    """The words of one text. `weight_ms` is how long a weight of 1 took before, in this voice."""

    def __init__(self, sound_format: MediaFormat, *, begin_ms: int, weight_ms: float) -> None:
        self._decode = to_pcm16(sound_format.encoding)
        self._block_bytes = frame_bytes(sound_format, BLOCK_MS)
        self._begin_ms = begin_ms
        self._guess_ms = weight_ms
        self._rest = b""
        self._levels: list[int] = []
        self._text = ""
        self._told = 0  # words
        self._told_ms = begin_ms  # where the last of them begins
        self._placed: list[Word] = []  # as far as was known when they were last placed
        self._whole = 0  # so many of them are words to their end
        self._place_again_ms = 0
        self._complete = False  # text and sound belong together
        self._closed = False

    @property
    def text(self) -> str:
        """All of it, so far."""
        return self._text

    @property
    def weight_ms(self) -> float:
        """How long a weight of 1 takes in this voice; as was guessed, until all is there."""
        whole = sum(map(weight, self._text.split()))
        if not whole or not self._complete:
            return self._guess_ms
        return len(voiced_blocks(self._levels)) * BLOCK_MS / whole

    def hear(self, sound: bytes) -> None:
        """More of the sound."""
        data = self._rest + sound
        size = self._block_bytes
        end = len(data) - len(data) % size
        for at in range(0, end, size):
            self._levels.append(audioop.rms(self._decode(data[at : at + size]), 2))
        self._rest = data[end:]

    def read(self, text: str) -> None:
        """More of the text."""
        self._text += text

    def complete(self) -> list[Word]:
        """All is there: the words that were not told yet."""
        self._complete = self._closed = True
        self._place()
        return self._tell(self._placed, None)

    def break_off(self) -> list[Word]:
        """No more comes, and the text had run ahead: what the sound does not reach was not said."""
        self._closed = True
        self._place()
        told = self._tell(self._placed, self._end_ms)
        self._text = "".join(word.text for word in self._placed[: self._told])
        return told

    def due(self, played_ms: int) -> list[Word]:
        """The words to be told when at most so much of the turn's sound can have been heard."""
        if self._closed or not self._text:
            return []
        if played_ms >= self._place_again_ms:
            self._place_again_ms = played_ms + PLACED_EVERY_MS
            self._place()
        return self._tell(self._placed[: self._whole], min(played_ms + AHEAD_MS, self._end_ms))

    @property
    def _end_ms(self) -> int:
        return self._begin_ms + len(self._levels) * BLOCK_MS

    def _tell(self, words: list[Word], until_ms: int | None) -> list[Word]:
        told: list[Word] = []
        for word in words[self._told :]:
            if until_ms is not None and word.start_ms > until_ms:
                break
            self._told_ms = max(self._told_ms, word.start_ms)  # a guess may have been late
            told.append(Word(word.text, self._told_ms))
        self._told += len(told)
        return told

    def _place(self) -> None:
        texts = _WORD.findall(self._text)
        starts = place(texts, self._levels, None if self._complete else self._guess_ms)
        self._placed = [
            Word(text, self._begin_ms + start) for text, start in zip(texts, starts, strict=True)
        ]
        self._whole = len(texts) if self._text[-1:].isspace() else len(texts) - 1


def first_weight_ms(speed: float) -> float:
    """How long a weight of 1 takes before this voice has been heard, at this speed."""
    return _WEIGHT_MS / speed
