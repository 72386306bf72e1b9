"""Finds what tells of somebody in a text, by its look or because it is known, and replaces it.

Looks below the writing: percent-encoding, base64 and JSON within a string are undone and done
again, some levels deep. Pure.
"""

import base64
import binascii
import html
import ipaddress
import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus, unquote

from service.cassettes.standins import StandIns

MOST_LEVELS = 4
"""base64 of a URL with JSON in it is three."""

MEMORY = 4096
WHOLE_WORDS = 6
"""What is known and shorter than this is replaced as a whole word only: it may be in others."""

_LOOKS = re.compile(
    r"""
      (?P<date>\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?)
    | (?P<email>[\w.+-]+@[\w-]+(?:\.[\w-]+)*)
    | (?P<uuid>\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b)
    | (?P<token>(?<=/stream/)[0-9A-Za-z_.~-]{16,})
    | (?P<ulid>(?<![0-9A-Za-z])[a-z]{2,16}_[0-9A-HJKMNP-TV-Z]{26}(?![0-9A-Za-z]))
    | (?P<control>\bv[23]:[0-9A-Za-z_-]{16,})
    | (?P<sid>(?<![0-9A-Za-z])[A-Z]{2}[0-9a-f]{32}(?![0-9A-Za-z]))
    | (?P<hex>(?<![0-9A-Za-z])[0-9a-fA-F]{24,}(?![0-9A-Za-z]))
    | (?P<key>\bKEY[0-9A-Za-z_-]{16,})
    | (?P<ipv4>(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]))
    | (?P<ipv6>(?<![\w:])(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(?![\w:]))
    | (?P<number>(?<![\w.])(?:\+\d(?:[ ().-]{0,2}\d){6,14}|\d(?:[ ().-]{0,2}\d){9,14})(?![\w]))
    """,
    re.VERBOSE,
)
_ENCODED = re.compile(r"[^\s\"'<>&=?/]*%[0-9A-Fa-f]{2}[^\s\"'<>&=?/]*")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_NOT_IN_URLS = "-_.~"


class Texts:
    """The texts of one cassette."""

    def __init__(self, stand_ins: StandIns) -> None:
        self._stand_ins = stand_ins
        self._known: dict[str, str] = {}  # as it may be written, and what stands for it there
        self._pattern: re.Pattern[str] | None = None
        self._memory: dict[str, str] = {}

    def learn(self, value: str) -> None:
        """This is not to be shown, wherever it stands from now on; nor are its longer words."""
        value = value.strip()
        if not value or value in self._known or self._by_look(value) != value:
            return
        for part in {value, *(word for word in value.split() if len(word) >= WHOLE_WORDS)}:
            stand_in = self._stand_ins.shape(part)
            for written in _WRITTEN:
                self._known.setdefault(written(part), written(stand_in))
        longest_first = sorted(self._known, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_as_pattern, longest_first)))
        self._memory.clear()

    def is_telling(self, text: str) -> bool:
        """Whether it is seen by its look that this tells of somebody."""
        return self._by_look(text) != text

    def redact(self, text: str) -> str:
        """The text with stand-ins."""
        made = self._memory.get(text)
        if made is None:
            made = self._redact(text, MOST_LEVELS)
            if len(self._memory) >= MEMORY:
                self._memory.clear()
            self._memory[text] = made
        return made

    def _redact(self, text: str, levels: int) -> str:
        if levels == 0:
            return text
        if text[:1] in ("{", "[") and (made := self._in_json(text, levels)) is not None:
            return made
        text = self._by_look(self._by_name(text))
        if "%" in text:
            text = _ENCODED.sub(lambda found: self._in_percents(found[0], levels), text)
        return _BASE64.sub(lambda found: self._in_base64(found[0], levels), text)

    def _by_name(self, text: str) -> str:
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: self._known[found[0]], text)

    def _by_look(self, text: str) -> str:
        return _LOOKS.sub(self._stand_in, text)

    def _stand_in(self, found: re.Match[str]) -> str:
        text = found[0]
        match found.lastgroup:
            case "number":
                return self._stand_ins.number(text)
            case "email":
                return self._stand_ins.email(text)
            case "uuid":
                return self._stand_ins.uuid(text)
            case "token":
                return self._token(text)
            case "ulid":
                return self._stand_ins.named(text, text[: text.index("_") + 1])
            case "control" | "key":
                return self._stand_ins.named(text, text[:3])
            case "sid":
                return self._stand_ins.hexadecimal(text, text[:2])
            case "hex":
                return self._stand_ins.hexadecimal(text)
            case "ipv4" | "ipv6":
                return self._address(text)
            case _:
                return text  # a date: its digits are no number of anybody

    def _token(self, text: str) -> str:
        """A call's id and its secret, or a secret."""
        call_id, point, secret = text.partition(".")
        if not point:
            return self._stand_ins.shape(text)
        return f"{self._by_look(call_id)}.{self._by_look(secret)}"

    def _address(self, text: str) -> str:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return text  # a time of day, a ratio, a version
        if address.is_loopback or address.is_unspecified:
            return text
        return self._stand_ins.ipv4(text) if address.version == 4 else self._stand_ins.ipv6(text)

    # Below the writing -------------------------------------------------------------------------

    def _in_json(self, text: str, levels: int) -> str | None:
        try:
            value = json.loads(text)
            made = self._in_value(value, levels)
            return text if made == value else json.dumps(made, separators=(",", ":"))
        except (ValueError, RecursionError):  # no JSON, or nested deeper than anybody means it
            return None

    def _in_value(self, value: object, levels: int) -> object:
        match value:
            case str():
                return self._redact(value, levels - 1)
            case dict():
                return {name: self._in_value(each, levels) for name, each in value.items()}
            case list():
                return [self._in_value(each, levels) for each in value]
            case _:
                return value

    def _in_percents(self, text: str, levels: int) -> str:
        plain = unquote(text)
        made = self._redact(plain, levels - 1)
        return text if made == plain else quote(made, safe=_NOT_IN_URLS)

    def _in_base64(self, text: str, levels: int) -> str:
        plain = _text_in(text)
        if plain is None:
            return text
        made = self._redact(plain, levels - 1)
        return text if made == plain else base64.b64encode(made.encode()).decode()


def _text_in(encoded: str) -> str | None:
    """The text that base64 stands for, in either alphabet; None: it stands for no text."""
    letters = encoded.rstrip("=").translate(str.maketrans("-_", "+/"))
    try:
        text = base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return text if text.isprintable() else None


def _as_pattern(known: str) -> str:
    if len(known) >= WHOLE_WORDS:
        return re.escape(known)
    return rf"(?<!\w){re.escape(known)}(?!\w)"


def _in_json_text(text: str) -> str:
    return json.dumps(text)[1:-1]


_WRITTEN: tuple[Callable[[str], str], ...] = (
    str,
    quote,
    quote_plus,
    html.escape,
    _in_json_text,
)
"""How a value may stand in a text that is otherwise left as it is."""
