"""Checks of one value in a Telnyx command: each gives the code of what is wrong, or None.

The codes are those of Telnyx's "API error codes".
"""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from service.twin.twiml import is_loopback

Check = Callable[[Any], str | None]

_MAX_URL_CHARS = 2000
_NUMBER = re.compile(r"\+[1-9]\d{6,14}|sips?:\S+")
_KEYS = re.compile(r"[0-9A-D*#]+")


def one_of(*values: str) -> Check:
    """One of these words."""
    return lambda value: None if value in values else "10032"


def within(low: int, high: int) -> Check:
    """A whole number between two, both included."""

    def check(value: Any) -> str | None:
        if type(value) is not int:
            return "10015"
        return None if low <= value <= high else "10033"

    return check


def text(max_chars: int = 4000) -> Check:
    """Text, not too long."""
    return lambda value: None if isinstance(value, str) and len(value) <= max_chars else "10015"


def matching(pattern: str) -> Check:
    """Text that is wholly this pattern."""
    known = re.compile(pattern)
    return lambda value: None if isinstance(value, str) and known.fullmatch(value) else "10015"


def flag(value: Any) -> str | None:
    """True or false."""
    return None if isinstance(value, bool) else "10015"


def number(value: Any) -> str | None:
    """A phone number or SIP address."""
    return None if isinstance(value, str) and _NUMBER.fullmatch(value) else "10016"


def state(value: Any) -> str | None:
    """Standard base64."""
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError):
        return "90017"
    return None


def url(*schemes: str) -> Check:
    """An address with one of these schemes; without TLS only on this machine."""

    def check(value: Any) -> str | None:
        if not isinstance(value, str) or len(value) > _MAX_URL_CHARS:
            return "10003"
        parts = urlsplit(value)
        allowed = parts.scheme in schemes or (
            parts.scheme in ("ws", "http") and is_loopback(parts.hostname or "")
        )
        return None if allowed and parts.hostname else "10003"

    return check


def pairs(value: Any) -> str | None:
    """A list of {name, value}."""
    if isinstance(value, list) and all(
        isinstance(pair, dict)
        and pair.keys() == {"name", "value"}
        and all(isinstance(text, str) for text in pair.values())
        for pair in value
    ):
        return None
    return "10015"


def digits(max_keys: int, *, empty: bool = False) -> Check:
    """Keys of a telephone; `empty`: none at all is allowed, too."""

    def check(value: Any) -> str | None:
        if not isinstance(value, str) or len(value) > max_keys:
            return "10015"
        return None if _KEYS.fullmatch(value) or (empty and not value) else "10015"

    return check


def loops(value: Any) -> str | None:
    """How often to play: 1 to 100, or "infinity"."""
    return None if value == "infinity" else within(1, 100)(value)
