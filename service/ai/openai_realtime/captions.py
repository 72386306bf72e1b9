"""Where in an answer's sound each of its words begins, which the server does not say.

Words are laid over the voiced part of the sound by their length. While sound still comes, words
are told as late as may be, since each piece of sound makes the guess better: once all is there,
it is right to within a word.
"""

import audioop
import re
from collections.abc import Iterator

from service.ai.spoken import Word
from service.core.audio import MediaFormat
from service.media.convert import to_pcm16
from service.media.frames import frame_bytes

BLOCK_MS = 20
AHEAD_MS = 400
"""So long before its guessed beginning a word is told: a guess may be late by that."""

_WEIGHT_MS = 66.0
"""Of a letter, until this voice has been heard: 15 a second."""
_DIGIT_WEIGHT = 3.5  # "7" is said as "seven"
_VOICED = 0.06  # of the loudest block: breath and room are below
_LEAST_RMS = 60


class Captions:
    """The words of one item. `weight_ms` is how long a letter takes, as measured before."""

    def __init__(self, sound_format: MediaFormat, *, begin_ms: int, weight_ms: float) -> None:
        self._decode = to_pcm16(sound_format.encoding)
        self._block_bytes = frame_bytes(sound_format, BLOCK_MS)
        self._begin_ms = begin_ms
        self._guess_ms = weight_ms
        self._rest = b""
        self._levels: list[int] = []
        self._text = ""
        self._told = 0  # characters
        self._told_weight = 0.0
        self._complete = False  # text and sound belong together
        self._closed = False

    @property
    def text(self) -> str:
        """All of it, so far."""
        return self._text

    @property
    def weight_ms(self) -> float:
        """How long a letter takes in this voice; only once all is there."""
        weight = _weight(self._text)
        return self._voiced_ms() / weight if weight and self._complete else self._guess_ms

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
        return self._tell(_words(self._text[self._told :], whole=True), None)

    def break_off(self) -> list[Word]:
        """No more comes, and the text had run ahead: what the sound does not reach was not said."""
        ends_ms = self._begin_ms + len(self._levels) * BLOCK_MS
        words = self._tell(_words(self._text[self._told :], whole=True), ends_ms)
        self._text = self._text[: self._told]
        self._closed = True
        return words

    def due(self, played_ms: int) -> list[Word]:
        """The words to be told when at most so much of the turn's sound can have been heard."""
        if self._closed or self._told == len(self._text):
            return []
        until_ms = min(played_ms + AHEAD_MS, self._begin_ms + len(self._levels) * BLOCK_MS)
        return self._tell(_words(self._text[self._told :], whole=False), until_ms)

    def _tell(self, words: Iterator[str], until_ms: int | None) -> list[Word]:
        told: list[Word] = []
        for text in words:
            start_ms = self._begin_ms + self._place_ms(self._told_weight)
            if until_ms is not None and start_ms > until_ms:
                break
            told.append(Word(text, start_ms))
            self._told += len(text)
            self._told_weight += _weight(text)
        return told

    def _place_ms(self, weight: float) -> int:
        """Where the voiced sound reaches what these letters before take; behind it all, else."""
        left_ms = weight * self.weight_ms
        threshold = self._threshold()
        for number, level in enumerate(self._levels):
            if level < threshold:
                continue
            if left_ms < BLOCK_MS:
                return number * BLOCK_MS + round(max(0.0, left_ms))
            left_ms -= BLOCK_MS
        return len(self._levels) * BLOCK_MS + round(left_ms)

    def _voiced_ms(self) -> int:
        threshold = self._threshold()
        return sum(level >= threshold for level in self._levels) * BLOCK_MS

    def _threshold(self) -> float:
        return max(_LEAST_RMS, _VOICED * max(self._levels, default=0))


def first_weight_ms(speed: float) -> float:
    """How long a letter takes before this voice has been heard, at this speed."""
    return _WEIGHT_MS / speed


def _words(text: str, *, whole: bool) -> Iterator[str]:
    """Words with the blank before each; the last only when it is certainly whole."""
    found = [match[0] for match in re.finditer(r"\s*\S+", text)]
    if not whole and found and not text[-1].isspace():
        found.pop()
    yield from found


def _weight(text: str) -> float:
    return sum(
        _DIGIT_WEIGHT if character.isdigit() else 1.0 for character in text if character.isalnum()
    )
