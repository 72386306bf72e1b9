"""What the words of a person's speech say about whose turn it is.

Does a text sound complete, does it plainly go on, is something being spelled, is it a mere
"uh-huh", or the agent's own words come back? Punctuation serves in every language; the lists of
words are English. Texts come from a recogniser, so they may lack capitals and stops.
"""

import re
from collections.abc import Iterable, Sequence
from enum import Enum
from itertools import takewhile
from typing import Final


class Pace(Enum):
    """How long a silence after a text is to last until the turn is over."""

    QUICK = "quick"  # it sounds complete
    USUAL = "usual"
    PATIENT = "patient"  # it plainly goes on


WORDS_MOST: Final = 200
"""Of a text only the last words are looked at, so that a long one costs no more."""
_TEXT_MOST: Final = WORDS_MOST * 12

_WORD = re.compile(r"\d+(?:[:,]\d+)+|[^\W_]+(?:'[^\W_]+)*")  # "10:30" is one word
_ENDS_SENTENCE = re.compile("[.!?\u3002\uff1f\uff01][\"')\\]\u00bb\u201d\u2019]*$")
_ENDS_OPEN = re.compile("(?:[,;:\u2013\u2014-]|[.][.]+|\u2026)$")


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


_ANSWERS: Final = _listed(
    "yes yeah yep yup no nope ok okay sure right correct exactly please thanks thank you hello hi"
    " bye goodbye stop wait nothing none maybe good great fine"
)
_GOES_ON: Final = _listed(
    "a an the and or but because if when while that's my your his her our their i'm it's is are was"
    " were am to of for from at in on by with as than um uh er erm uhm hmm called named between"
    " until whose which also plus then"
)
_DIGITS: Final = _listed(
    "zero oh one two three four five six seven eight nine double triple dash hyphen dot underscore"
    " slash"
)
_SPELLED_AFTER: Final = _listed(
    "number is code zip pin extension account area plus spelled reference id"
)
_WHOLE_NUMBER_DIGITS: Final = 10  # a phone number is complete: no more patience than usual
_INSISTING: Final = _listed("stop wait no hold hang")


def words_of(text: str) -> list[str]:
    """The last words of a text, in small letters and without marks; "uh-huh" is two."""
    return _WORD.findall(text[-_TEXT_MOST:].lower().replace("\u2019", "'"))[-WORDS_MOST:]


def pace_of(text: str) -> Pace:
    """How complete what was said so far sounds."""
    text = text.strip()
    words = words_of(text)
    if not words:
        return Pace.USUAL
    digits = _digits_at_end(words)
    if digits:
        return Pace.PATIENT if digits < _WHOLE_NUMBER_DIGITS else Pace.USUAL
    if text.endswith("?"):
        return Pace.QUICK
    if _ENDS_OPEN.search(text) or words[-1] in _GOES_ON:
        return Pace.PATIENT
    complete = _ENDS_SENTENCE.search(text) or (len(words) <= 3 and _ANSWERS.issuperset(words))
    return Pace.QUICK if complete else Pace.USUAL


def _digits_at_end(words: Sequence[str]) -> int:
    """How many digits or letters were spelled up to the end; 0: none are being spelled."""
    if words[-3:-1] == ["as", "in"]:  # "B as in bravo"
        return 1
    spelled = [*takewhile(_is_spelled, reversed(words))]
    if len(spelled) == 1 < len(words) and words[-2] not in _SPELLED_AFTER:
        return 0  # one lone digit or letter behind other words: "at five", "plan b"
    return 0 if spelled == ["i"] else sum(len(w) if w.isdecimal() else 1 for w in spelled)


def _is_spelled(word: str) -> bool:
    return word.isdecimal() or word in _DIGITS or (len(word) == 1 and word.isalpha())


class Sense(Enum):
    """What words over the agent's are worth."""

    NOTHING = "nothing"  # none at all, or a back-channel
    UNCLEAR = "unclear"  # as far as they have come
    ECHO = "echo"  # the agent's own
    WORDS = "words"


_ECHO_WORDS: Final = 2  # of a whole text: one word of the agent's is said by many
_ECHO_WORDS_SO_FAR: Final = 3


class Hearsay:
    """Knows what the agent said, and what a listener says who only listens."""

    def __init__(self, backchannels: Iterable[str], *, guard: bool) -> None:
        self._backchannels = Backchannels(backchannels)
        self._own = OwnWords()
        self._guard = guard

    def said(self, text: str) -> None:
        """The agent is saying this."""
        self._own.add(text)

    def sense(self, text: str, *, final: bool) -> Sense:
        """What a text is worth; more of it may come unless it is `final`."""
        words = words_of(text)
        if self._guard and self._own.contain(text):
            if len(words) >= (_ECHO_WORDS if final else _ECHO_WORDS_SO_FAR):
                return Sense.ECHO
            if not final:
                return Sense.UNCLEAR
        if final:
            nothing = not words or self._backchannels.are_all_of(text)
            return Sense.NOTHING if nothing else Sense.WORDS
        return Sense.UNCLEAR if self._backchannels.may_become(text) else Sense.WORDS


class Backchannels:
    """The words by which a listener says no more than that they listen."""

    def __init__(self, phrases: Iterable[str]) -> None:
        self._phrases = {tuple(words_of(phrase)) for phrase in phrases} - {()}

    def are_all_of(self, text: str) -> bool:
        """Whether a text says nothing else; an empty one does not."""
        words = words_of(text)
        return bool(words) and not _INSISTING.intersection(words) and self._cover(words)

    def may_become(self, text: str) -> bool:
        """Whether a text that is not all there yet may still come to nothing else."""
        words = words_of(text)
        return not _INSISTING.intersection(words) and self._cover(words, partial=True)

    def _cover(self, words: Sequence[str], *, partial: bool = False) -> bool:
        """Whether phrases one after the other make up the words (in `partial`: begin so)."""
        reached = {0}
        for at in range(len(words)):
            if at in reached:
                reached |= {at + len(p) for p in self._phrases if tuple(words[at:])[: len(p)] == p}
        if len(words) in reached:
            return True
        return partial and any(self._begins_one(words[at:]) for at in reached if at < len(words))

    def _begins_one(self, words: Sequence[str]) -> bool:
        """Whether a phrase begins so; of the last word only a part may be there."""
        beginning = " ".join(words)
        return any(" ".join(phrase).startswith(beginning) for phrase in self._phrases)


class OwnWords:
    """What the agent said lately: by it, its voice is known when the line brings it back."""

    def __init__(self) -> None:
        self._said: list[str] = []

    def add(self, text: str) -> None:
        """The agent is saying this, too."""
        self._said = [*self._said, *words_of(text)][-WORDS_MOST:]

    def contain(self, text: str) -> bool:
        """Whether the agent said these words, in this order; of four, one may be misheard."""
        words = words_of(text)
        if not words:
            return False
        allowed = len(words) // 4
        return any(
            sum(a != b for a, b in zip(words, self._said[at:], strict=False)) <= allowed
            for at in range(len(self._said) - len(words) + 1)
        )
