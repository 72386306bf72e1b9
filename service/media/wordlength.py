"""How long a word takes to say, against others: by its syllables, its letters and its place.

Made for English, and near enough for languages written in letters; figures and letters that are
spelled count as what they are read as. A weight of 1 is about a letter.
"""

import re
from typing import Final


def _listed(words: str) -> tuple[str, ...]:
    return tuple(words.split())


_WORD = 0.5
_SYLLABLE = 2.2
_LETTER = 0.62
_STRESSED = 1.2  # a word that means something is said with more care than "of the"
_LAST = 1.25  # a phrase's last word is drawn out

_NUCLEUS = re.compile("[aeiouy\u00e0-\u00ff\u0400-\u04ff]+")
_PART = re.compile(r"\d{1,3}(?:,\d{3})+|\d+|[^\W\d_]+|[.@/&%$\u20ac\u00a3+#=-]")
_ORDINAL = re.compile(r"\d+(?:st|nd|rd|th)\b")
_ENDS = re.compile("[.,;:!?\u2014\u2013\u2026\u3002\u3001][\"')\\]\u201d\u2019\u00bb]*$")
_TELEPHONE = re.compile(r"\d{3}-\d{3}")
_DIGITS_MOST = 30
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")  # a syllable each

_READ_AS: Final = {
    "@": "at",
    "/": "slash",
    "&": "and",
    "%": "percent",
    "$": "dollars",
    "\u20ac": "euros",
    "\u00a3": "pounds",
    "+": "plus",
    "#": "number",
    "=": "equals",
    "mr": "mister",
    "mrs": "misses",
    "dr": "doctor",
    "st": "street",
}
_ONES: Final = _listed(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
)
_TENS: Final = _listed("zero ten twenty thirty forty fifty sixty seventy eighty ninety")
_LIGHT: Final = _listed(
    "a an the of to in on at as is it i and or but for by be we he if so my your you our his her"
    " its are was were am do can with from that this will would have has had not or than then them"
    " us me"
)


def weight(word: str) -> float:
    """The weight of a word as it is written, with the marks on it; 0: it is not said."""
    word = word.strip()
    spoken = [part for match in _PART.finditer(word) for part in _read(match[0], word)]
    if not spoken:
        return 0.0
    total = sum(_length(each) for each in spoken)
    if len(spoken) > 1 or spoken[0] not in _LIGHT or word.isupper():
        total += _STRESSED
    return total * _LAST if _ENDS.search(word) else total


def _length(word: str) -> float:
    if wide := len(_WIDE.findall(word)):
        return _SYLLABLE * wide
    return _WORD + _SYLLABLE * _syllables(word) + _LETTER * len(word)


def _syllables(word: str) -> int:
    silent = len(word) > 2 and word.endswith("e") and not word.endswith(("le", "ee", "ie"))
    past = word.endswith("ed") and not word.endswith(("ted", "ded"))
    return max(1, len(_NUCLEUS.findall(word)) - int(silent or past))


def _read(part: str, word: str) -> list[str]:
    """The words that a part of a word is read as."""
    if part[0].isdecimal():
        return _number(part.replace(",", ""), spelled=_TELEPHONE.search(word) is not None)
    if _ORDINAL.search(word) and part in ("st", "nd", "rd", "th"):
        return []
    if part.isalpha():
        spelled = len(part) == 1 or (part.isupper() and len(part) <= 3) or part == "www"
        if spelled and part not in ("a", "I"):
            return ["doubleyou" if letter in "wW" else f"{letter}e" for letter in part]
        return [_READ_AS.get(part.lower(), part.lower())]
    if part == "-":
        return []
    if part == ".":  # within a word it is read, at its end it is a mark
        inner = re.search(r"\w\.\w", word) is not None
        return ["dot" if not word[:1].isdecimal() else "point"] * (
            inner and not word.endswith("m.")
        )
    return [_READ_AS[part]]


def _number(digits: str, *, spelled: bool) -> list[str]:
    """Up to four figures as a number; more, and those behind a zero, one by one."""
    if spelled or len(digits) > 4 or (digits[0] == "0" and len(digits) > 1):
        return [_ONES[int(digit)] for digit in digits[:_DIGITS_MOST]]
    value, said = int(digits), list[str]()
    if value >= 1000:
        said += [_ONES[value // 1000], "thousand"]
        value %= 1000
    if value >= 100:
        said += [_ONES[value // 100], "hundred"]
        value %= 100
    if value >= 20:
        said.append(_TENS[value // 10])
        value %= 10
    return said + ([_ONES[value]] if value or not said else [])
