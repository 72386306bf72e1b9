"""Text as a voice can read it: models write for screens, whatever they are told. Pure."""

import re
import unicodedata

_FENCE = re.compile(r"```\w*")
_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\s]*\)")
_TAG = re.compile(r"</?[a-zA-Z][^<>\n]{0,200}>")
_LINE_MARK = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+|>[ \t]?|[-*+\u2022][ \t]+|\|)", re.M)
_RULE = re.compile(r"^[ \t]*(?:[-*_=|:][ \t]*){3,}$", re.M)
_STARS = re.compile(r"(?<![\d\s])\*+|\*+(?!\d)|~~|`|\|")
_UNDERLINED = re.compile(r"(?<![\w])(_{1,3})(?=\S)(.+?)(?<=\S)\1(?!\w)")
_BLANKS = re.compile(r"\s+")
_BEFORE_MARK = re.compile(r" ([,.;:!?])(?=\s|$)")

_SYMBOLS_FROM = "\u2190"
"""Signs before this are text, like the degree sign; from here on they are pictures."""
_JOINERS = "\u200d\ufe0e\ufe0f\u20e3"


def readable(text: str) -> str:
    """The text without markdown, tags and emoji, its blanks single; "" when nothing is left."""
    text = _FENCE.sub(" ", text)
    text = _LINK.sub(r"\1", text)
    text = _TAG.sub(" ", text)
    text = _RULE.sub(" ", text)
    text = _LINE_MARK.sub("", text)
    text = _UNDERLINED.sub(r"\2", text)
    text = _STARS.sub("", text)
    text = "".join(letter for letter in text if not _is_picture(letter))
    text = _BEFORE_MARK.sub(r"\1", _BLANKS.sub(" ", text)).strip()
    return text if any(letter.isalnum() for letter in text) else ""


def _is_picture(letter: str) -> bool:
    if letter < _SYMBOLS_FROM:
        return letter in _JOINERS
    kind = unicodedata.category(letter)
    return kind == "So" or letter in _JOINERS or "\U0001f3fb" <= letter <= "\U0001f3ff"
