"""Where in a sound the words of its text begin, when nobody says so.

Words are laid over the voiced part of the sound by how long they take to say; pauses are where
phrases end, so the likeliest way of pairing the two anchors the rest. Pure, and right to within
one word nearly always; how nearly, the tests measure against a synthesiser that knows.
"""

from collections.abc import Iterator, Sequence
from heapq import nsmallest
from itertools import accumulate, pairwise
from math import inf
from typing import Final

from msgspec import Struct

from service.media.wordlength import weight

BLOCK_MS: Final = 20
"""Levels are of blocks of this length."""

_VOICED = 0.03  # of the loudest block: breath and room are below
_LEAST_LEVEL = 60
_PAUSE_BLOCKS = 3  # at least; a shorter silence is a consonant's
_PAUSES_MOST = 60
_SENTENCE_ENDS = (".", "!", "?", "\u2026", "\u3002", "\uff1f", "\uff01")
_CLAUSE_ENDS = (",", ";", ":", "\u2014", "\u2013", "\u3001", "\uff0c", "-", ")")
_CLOSING = "\"')]\u201d\u2019\u00bb"

# What is unlikely, as costs: about the squares of standard deviations.
_ODDNESS_MS = 60.0  # a phrase's length differs so much from its words', whatever its length ...
_ODDNESS = 0.10  # ... and a word's by the root of this part of it
_NO_PAUSE = {"sentence": 4.0, "clause": 1.5, "": 0.0}  # where one is expected
_UNEXPECTED = 1.5  # a pause between words without a mark ...
_UNEXPECTED_MS = 100.0  # ... and once more for each such length of it
_WITHIN = 0.5  # a pause within a word: a stop consonant's ...
_WITHIN_MS = 40.0  # ... and once more for each such length of it
_FAR_MS = 900.0  # a pause so far from a word's expected end does not belong to it ...
_FAR = 0.35  # ... or so much of the way there ...
_FAR_MOST_MS = 2500.0  # ... of a long one
_WAYS_MOST = 24  # looked at on: the likeliest


class Pause(Struct, frozen=True):
    """Where the voice rests: how much of it came before, and how long it rests."""

    voiced_ms: int
    length_ms: int


class Anchor(Struct, frozen=True):
    """A word that begins when so much voice has been heard."""

    word: int
    voiced_ms: float


def place(words: Sequence[str], levels: Sequence[int], weight_ms: float | None) -> list[int]:
    """Where each word begins, in milliseconds; `levels` are the loudness of blocks of 20 ms.

    `weight_ms` is how long a weight of 1 takes, while more sound is to come; None: all is there,
    and the words fill it.
    """
    voiced = voiced_blocks(levels)
    weights = [weight(word) for word in words]
    line = _Line(weights, len(voiced) * BLOCK_MS, weight_ms)
    search = _Search(line, [_mark_after(word) for word in words])
    for pause in pauses_in(voiced)[:_PAUSES_MOST]:
        search.take(pause)
    return [_in_sound(at_ms, voiced, len(levels)) for at_ms in _spread(line, search.anchors())]


def voiced_blocks(levels: Sequence[int]) -> list[int]:
    """The blocks with voice in them, by their numbers."""
    least = max(_LEAST_LEVEL, _VOICED * max(levels, default=0))
    return [number for number, level in enumerate(levels) if level >= least]


def pauses_in(voiced: Sequence[int]) -> list[Pause]:
    """The pauses between voiced blocks."""
    return [
        Pause((count + 1) * BLOCK_MS, (after - before - 1) * BLOCK_MS)
        for count, (before, after) in enumerate(pairwise(voiced))
        if after - before > _PAUSE_BLOCKS
    ]


class _Line:
    """The words in a row, each as long as it is expected to take."""

    def __init__(self, weights: Sequence[float], voiced_ms: int, weight_ms: float | None) -> None:
        self.complete = weight_ms is None
        self.voiced_ms = voiced_ms
        total = sum(weights)
        pace = weight_ms if weight_ms is not None else voiced_ms / total if total else 0.0
        self.starts_ms = [0.0, *accumulate(each * pace for each in weights)]
        """Of each word, and the end of the last."""

    def oddness(self, begin: Anchor, end: Anchor) -> float:
        """How unlikely it is that the words between two anchors take so long."""
        expected_ms = self.starts_ms[end.word] - self.starts_ms[begin.word]
        return _oddness(end.voiced_ms - begin.voiced_ms, expected_ms, end.word - begin.word)

    def oddness_of_rest(self, last: Anchor) -> float:
        """The same of what comes after the last anchor; what is not complete may be less."""
        words = len(self.starts_ms) - 1
        if self.complete:
            return self.oddness(last, Anchor(words, self.voiced_ms))
        expected_ms = self.starts_ms[-1] - self.starts_ms[last.word]
        heard_ms = self.voiced_ms - last.voiced_ms
        return _oddness(heard_ms, expected_ms, words - last.word) if heard_ms > expected_ms else 0.0

    def near(self, voiced_ms: float) -> Iterator[int]:
        """The words that may begin here; never the first."""
        reach_ms = min(_FAR_MS + _FAR * voiced_ms, _FAR_MOST_MS)
        for word in range(1, len(self.starts_ms) - 1):
            if abs(self.starts_ms[word] - voiced_ms) <= reach_ms:
                yield word


def _oddness(took_ms: float, expected_ms: float, words: int) -> float:
    likely = _ODDNESS_MS**2 + _ODDNESS * expected_ms * expected_ms / max(1, words)
    return (took_ms - expected_ms) ** 2 / likely


class _Way(Struct, frozen=True):
    """The cheapest way to an anchor, with `pauses` of them behind it."""

    cost: float
    pauses: int
    anchors: tuple[Anchor, ...]

    @property
    def last(self) -> Anchor:
        """Where it has come to."""
        return self.anchors[-1]


class _Search:
    """The likeliest pairs of words and pauses."""

    def __init__(self, line: _Line, marks: Sequence[str]) -> None:
        self._line = line
        self._marks = marks
        self._missed = [0.0, *accumulate(_NO_PAUSE[mark] for mark in marks)]  # up to each word
        self._within = [0.0]  # up to each pause
        self._ways = [_Way(0.0, 0, (Anchor(0, 0.0),))]

    def take(self, pause: Pause) -> None:
        """The next pause: words that may begin behind it, or it is within a word."""
        found = [
            self._best_way_to(Anchor(word, pause.voiced_ms), pause)
            for word in self._line.near(pause.voiced_ms)
        ]
        self._within.append(self._within[-1] + _WITHIN + pause.length_ms / _WITHIN_MS)
        ways = [*self._ways, *(way for way in found if way is not None)]
        self._ways = nsmallest(_WAYS_MOST, ways, key=self._cost_so_far)

    def anchors(self) -> tuple[Anchor, ...]:
        """All of the best way, from the first word on."""
        return min(self._ways, key=self._cost_in_all).anchors

    def _best_way_to(self, anchor: Anchor, pause: Pause) -> _Way | None:
        best, least = None, inf
        for way in self._ways:
            last = way.last
            if last.word < anchor.word and last.voiced_ms < anchor.voiced_ms:
                cost = way.cost + self._passed(way, anchor.word) + self._line.oddness(last, anchor)
                if cost < least:
                    best, least = way, cost
        if best is None:
            return None
        if not self._marks[anchor.word - 1]:
            least += _UNEXPECTED + pause.length_ms / _UNEXPECTED_MS
        return _Way(least, len(self._within), (*best.anchors, anchor))

    def _passed(self, way: _Way, word: int) -> float:
        """The cost of marks without a pause, and pauses without a word, from a way to a word."""
        missed = self._missed[max(word - 1, way.last.word)] - self._missed[way.last.word]
        return missed + self._within[-1] - self._within[way.pauses]

    def _cost_so_far(self, way: _Way) -> float:
        return way.cost + self._within[-1] - self._within[way.pauses]

    def _cost_in_all(self, way: _Way) -> float:
        words = len(self._marks) if self._line.complete else way.last.word
        return way.cost + self._line.oddness_of_rest(way.last) + self._passed(way, words)


def _mark_after(word: str) -> str:
    bare = word.strip().rstrip(_CLOSING)
    if bare.endswith(_SENTENCE_ENDS):
        return "sentence"
    return "clause" if bare.endswith(_CLAUSE_ENDS) else ""


def _spread(line: _Line, anchors: Sequence[Anchor]) -> list[float]:
    """Each word's beginning, in voice heard before it."""
    words = len(line.starts_ms) - 1
    last = anchors[-1]
    rest_ms = line.starts_ms[-1] - line.starts_ms[last.word]
    end_ms = line.voiced_ms if line.complete else last.voiced_ms + rest_ms
    found: list[float] = []
    for begin, end in pairwise([*anchors, Anchor(words, end_ms)]):
        first_ms = line.starts_ms[begin.word]
        expected_ms = line.starts_ms[end.word] - first_ms
        pace = (end.voiced_ms - begin.voiced_ms) / expected_ms if expected_ms else 0.0
        found += [
            begin.voiced_ms + (at_ms - first_ms) * pace
            for at_ms in line.starts_ms[begin.word : end.word]
        ]
    return found


def _in_sound(voiced_ms: float, voiced: Sequence[int], blocks: int) -> int:
    """Where the sound has had so much voice."""
    number, rest_ms = divmod(round(voiced_ms), BLOCK_MS)
    if number < len(voiced):
        return voiced[number] * BLOCK_MS + rest_ms
    return blocks * BLOCK_MS + (number - len(voiced)) * BLOCK_MS + rest_ms
