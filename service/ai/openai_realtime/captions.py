"""Where in an answer's sound each of its words begins, which the server does not say.

Words are laid over the voiced part of the sound by their length, and the ends of phrases over its
pauses. While sound still comes, words are told as late as may be, since each piece of sound makes
the guess better: once all is there, it is right to within a word.
"""

import audioop
import re
from itertools import pairwise

from msgspec import Struct

from service.ai.spoken import Word
from service.core.audio import MediaFormat
from service.media.convert import to_pcm16
from service.media.frames import frame_bytes

BLOCK_MS = 20
AHEAD_MS = 400
"""So long before its guessed beginning a word is told: a guess may be late by that."""

_WEIGHT_MS = 33.0
"""Of one weight, until this voice has been heard: 15 letters a second."""
_DIGIT = 3.5  # "7" is said as "seven"
_WORD_WEIGHT = 1.0
_SYLLABLE = 1.5
_GUESS_WEIGHT = 30.0  # a guess counts as much as four words heard
_LAST = 1.1  # a phrase's last word is drawn out
_NUCLEUS = re.compile("[aeiouy]+(?!(?<=e)\\b)")
_VOICED = 0.06  # of the loudest block: breath and room are below
_LEAST_RMS = 60
_PAUSE_BLOCKS = 4  # shorter ones are within words
_REACH = 0.35  # of a phrase: so far from where it is expected its end is looked for
_REACH_LEAST_MS = 160.0
_WORD = re.compile(r"\s*\S+")
_ENDS_PHRASE = (".", ",", ";", ":", "!", "?", "\u2014", "\u2013", "\u2026")


class Pause(Struct, frozen=True):
    """Where the voice rests: how much of it came before, and how long it rests."""

    voiced_ms: int
    length_ms: int


class Captions:
    """The words of one item. `weight_ms` is how long a weight of 1 took before, in this voice."""

    def __init__(self, sound_format: MediaFormat, *, begin_ms: int, weight_ms: float) -> None:
        self._decode = to_pcm16(sound_format.encoding)
        self._block_bytes = frame_bytes(sound_format, BLOCK_MS)
        self._begin_ms = begin_ms
        self._guess_ms = weight_ms
        self._rest = b""
        self._levels: list[int] = []
        self._text = ""
        self._told = 0  # words
        self._placed: list[Word] | None = None  # None: something came since
        self._complete = False  # text and sound belong together
        self._closed = False

    @property
    def text(self) -> str:
        """All of it, so far."""
        return self._text

    @property
    def weight_ms(self) -> float:
        """How long a weight of 1 takes in this voice; as was guessed, until all is there."""
        weight = sum(map(_weight, self._text.split()))
        if not weight or not self._complete:
            return self._guess_ms
        return len(_voiced(self._levels)) * BLOCK_MS / weight

    def hear(self, sound: bytes) -> None:
        """More of the sound."""
        data = self._rest + sound
        size = self._block_bytes
        end = len(data) - len(data) % size
        for at in range(0, end, size):
            self._levels.append(audioop.rms(self._decode(data[at : at + size]), 2))
        self._rest = data[end:]
        self._placed = None

    def read(self, text: str) -> None:
        """More of the text."""
        self._text += text
        self._placed = None

    def complete(self) -> list[Word]:
        """All is there: the words that were not told yet."""
        self._complete = self._closed = True
        self._placed = None
        return self._tell(self._words(), None)

    def break_off(self) -> list[Word]:
        """No more comes, and the text had run ahead: what the sound does not reach was not said."""
        told = self._tell(self._words(), self._end_ms)
        self._text = "".join(word.text for word in self._words()[: self._told])
        self._closed = True
        return told

    def due(self, played_ms: int) -> list[Word]:
        """The words to be told when at most so much of the turn's sound can have been heard."""
        if self._closed or not self._text:
            return []
        words = self._words()
        whole = len(words) if self._text[-1].isspace() else len(words) - 1
        return self._tell(words[:whole], min(played_ms + AHEAD_MS, self._end_ms))

    @property
    def _end_ms(self) -> int:
        return self._begin_ms + len(self._levels) * BLOCK_MS

    def _tell(self, words: list[Word], until_ms: int | None) -> list[Word]:
        told: list[Word] = []
        for word in words[self._told :]:
            if until_ms is not None and word.start_ms > until_ms:
                break
            told.append(word)
        self._told += len(told)
        return told

    def _words(self) -> list[Word]:
        if self._placed is None:
            texts = _WORD.findall(self._text)
            weight_ms = None if self._complete else self._guess_ms
            starts = place(texts, self._levels, weight_ms)
            self._placed = [
                Word(text, self._begin_ms + start)
                for text, start in zip(texts, starts, strict=True)
            ]
        return self._placed


def first_weight_ms(speed: float) -> float:
    """How long a weight of 1 takes before this voice has been heard, at this speed."""
    return _WEIGHT_MS / speed


def place(words: list[str], levels: list[int], weight_ms: float | None) -> list[int]:
    """Where each word begins, in milliseconds. `levels` are of blocks of 20 ms.

    `weight_ms` is how long a weight of 1 takes; None: as long as makes the words fill the sound.
    """
    voiced = _voiced(levels)
    pauses = _pauses(voiced)
    left_ms, left = float(len(voiced) * BLOCK_MS), sum(map(_weight, words))
    starts: list[int] = []
    at_ms, before = 0.0, 0.0  # of voice, and of weight
    for phrase in _phrases(words):
        weight = sum(map(_weight, phrase))
        pace = _pace(weight_ms, at_ms, before) if weight_ms else left_ms / (left or 1.0)
        ends_ms = _snap(at_ms + weight * pace, weight * pace, pauses, at_ms)
        pace = (ends_ms - at_ms) / weight if weight else 0.0
        left_ms, left = left_ms - (ends_ms - at_ms), left - weight
        before += weight
        for word in phrase:
            starts.append(_in_sound(at_ms, voiced, len(levels)))
            at_ms += _weight(word) * pace
        at_ms = ends_ms
    return starts


def _pace(guess_ms: float, voiced_ms: float, weight: float) -> float:
    """The guess, and more and more what the phrases so far have taken."""
    return (guess_ms * _GUESS_WEIGHT + voiced_ms) / (_GUESS_WEIGHT + weight)


def _snap(expected_ms: float, length_ms: float, pauses: list[Pause], after_ms: float) -> float:
    """The pause that the end of a phrase belongs to, else where it is expected."""
    reach_ms = max(_REACH_LEAST_MS, _REACH * length_ms)
    near = [p for p in pauses if abs(p.voiced_ms - expected_ms) <= reach_ms]
    near = [p for p in near if p.voiced_ms > after_ms]
    if not near:
        return expected_ms
    best = min(near, key=lambda p: abs(p.voiced_ms - expected_ms) - p.length_ms)
    return float(best.voiced_ms)


def _phrases(words: list[str]) -> list[list[str]]:
    phrases: list[list[str]] = [[]]
    for word in words:
        phrases[-1].append(word)
        if word.rstrip("\"')\u201d\u2019").endswith(_ENDS_PHRASE):
            phrases.append([])
    return [phrase for phrase in phrases if phrase]


def _voiced(levels: list[int]) -> list[int]:
    """The blocks with voice in them, by their numbers."""
    least = max(_LEAST_RMS, _VOICED * max(levels, default=0))
    return [number for number, level in enumerate(levels) if level >= least]


def _pauses(voiced: list[int]) -> list[Pause]:
    return [
        Pause((count + 1) * BLOCK_MS, (after - before - 1) * BLOCK_MS)
        for count, (before, after) in enumerate(pairwise(voiced))
        if after - before > _PAUSE_BLOCKS
    ]


def _in_sound(voiced_ms: float, voiced: list[int], blocks: int) -> int:
    """Where the sound has had so much voice."""
    number, rest_ms = divmod(round(voiced_ms), BLOCK_MS)
    if number < len(voiced):
        return voiced[number] * BLOCK_MS + rest_ms
    return blocks * BLOCK_MS + (number - len(voiced)) * BLOCK_MS + rest_ms


def _weight(word: str) -> float:
    """How long a word takes against others: by its letters and its syllables."""
    word = word.strip().lower()
    letters = sum(_DIGIT if letter.isdigit() else 1.0 for letter in word if letter.isalnum())
    if not letters:
        return 0.0
    weight = letters + _WORD_WEIGHT + _SYLLABLE * max(1, len(_NUCLEUS.findall(word)))
    return weight * _LAST if word.endswith(_ENDS_PHRASE) else weight
