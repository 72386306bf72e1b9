"""Sentences out of a text that comes piece by piece, each as soon as its end is certain. Pure.

A voice needs whole sentences for its melody, and the caller an early first sound: so of the first
sentence a clause will do. No cut within figures, abbreviations or addresses.
"""

import re
from typing import Final


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


SENTENCE_MOST_CHARACTERS: Final = 300
"""A longer one is cut at a mark or a blank: nobody waits for its end."""
_LEAST_CHARACTERS: Final = 20
"""A shorter one goes with the next: a voice says "Yes. Of course." better in one go."""
_CLAUSE_CHARACTERS: Final = 18
_CLAUSE_WORDS: Final = 3

_END: Final = re.compile(
    "(?P<mark>[.!?\u2026]+)[\"')\\]*_\u201d\u2019\u00bb]*(?=\\s)|[\u3002\uff01\uff1f]|\\n+"
)
_CLAUSE: Final = re.compile("[,;:\u2014\u2013](?=\\s)| -(?=\\s)|[\uff0c\u3001\uff1b]")
_LAST_WORD: Final = re.compile(r"[^\s(\[\"'*_]+$")
_NEVER_LAST: Final = _listed(
    "mr mrs ms dr prof st vs e.g i.e approx dept gen gov hon jr messrs mt rev sen sgt capt col lt"
    " maj bzw z.b u.a d.h mme mlle sr sra"
)
_BEFORE_FIGURES: Final = _listed("no nr ext fig tel p pp art ch")
_SELDOM_LAST: Final = _listed(
    "a.m p.m am pm etc inc ltd co corp u.s u.k u.s.a usw jan feb mar apr jun jul aug sep sept oct"
    " nov dec ave blvd rd sq min max"
)


class Sentences:
    """Takes text in pieces; what it gives, joined, is the text that it was given."""

    def __init__(self) -> None:
        self._text = ""
        self._searched = 0  # no end before this
        self._first = True

    def push(self, piece: str) -> list[str]:
        """The sentences that are complete now."""
        self._text += piece
        found: list[str] = []
        while (end := self._next_end()) is not None:
            found.append(self._cut(end))
        return found

    def flush(self) -> list[str]:
        """The text is over: what is left of it."""
        rest, self._text, self._searched = self._text, "", 0
        return [rest] if rest.strip() else []

    def _cut(self, end: int) -> str:
        sentence, self._text = self._text[:end], self._text[end:]
        self._searched = 0
        self._first = False
        return sentence

    def _next_end(self) -> int | None:
        end = self._sentence_end()
        if end is None and self._first:
            end = self._clause_end()
        if end is None and len(self._text) > SENTENCE_MOST_CHARACTERS:
            end = self._forced_end()
        return end

    def _sentence_end(self) -> int | None:
        for match in _END.finditer(self._text, self._searched):
            follows = self._text[match.end() :].lstrip()[:1]
            if not follows:
                return None  # what comes next decides
            if self._long_enough(match.end()) and self._is_end(match, follows):
                return match.end()
            self._searched = match.end()
        return None

    def _long_enough(self, end: int) -> bool:
        return self._first or len(self._text[:end].strip()) >= _LEAST_CHARACTERS

    def _is_end(self, match: re.Match[str], follows: str) -> bool:
        if not self._text[: match.start()].strip(" \n*_#-"):
            return False  # nothing yet to be ended
        return match["mark"] != "." or _ends_sentence(self._text[: match.start()], follows)

    def _clause_end(self) -> int | None:
        for match in _CLAUSE.finditer(self._text):
            clause = self._text[: match.end()].strip()
            words = clause.count(" ") + 1 if clause.isascii() else _CLAUSE_WORDS
            if len(clause) >= _CLAUSE_CHARACTERS and words >= _CLAUSE_WORDS:
                return match.end()
        return None

    def _forced_end(self) -> int:
        within = self._text[:SENTENCE_MOST_CHARACTERS]
        marks = [match.end() for match in _CLAUSE.finditer(within)]
        if marks and marks[-1] > SENTENCE_MOST_CHARACTERS // 3:
            return marks[-1]
        blank = within.rfind(" ")
        return blank if blank > 0 else SENTENCE_MOST_CHARACTERS


def _ends_sentence(before: str, follows: str) -> bool:
    """Whether a full stop behind this ends a sentence, when this character comes next."""
    found = _LAST_WORD.search(before)
    if found is None:
        return True
    word = found[0].lower()
    if word in _NEVER_LAST or (len(word) == 1 and word.isalpha() and word != "i"):
        return False  # "Dr. Smith", "J. Smith"
    if word in _BEFORE_FIGURES:
        return not follows.isdecimal()  # "No. I am sorry.", but "no. 5"
    if word.isdecimal() and not before[: found.start()].rpartition("\n")[2].strip(" -*#"):
        return False  # "1. Open the lid"
    return word not in _SELDOM_LAST or follows.isupper()
