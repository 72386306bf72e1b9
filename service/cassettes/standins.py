"""Stand-ins for what must not be shown: the same for the same thing, and of its shape.

A phone number becomes a fictional one, an id one of its prefix and length, a name other letters.
They are counted, not computed: nothing of the original can be found out from them.
"""

import hashlib
import re
from collections.abc import Callable

_WORDS = "loremipsumdolorsitametconsectetur"


class StandIns:
    """Those of one cassette."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}

    def number(self, original: str) -> str:
        """A phone number from the range kept for fiction, with a plus where there was one."""
        digits = re.sub(r"\D", "", original)
        made = self._get("number", digits, lambda n: f"1555010{n:04d}")
        return f"+{made}" if original.lstrip().startswith("+") else made

    def hexadecimal(self, original: str, prefix: str = "") -> str:
        """`prefix` and as many digits as there were."""
        size = len(original) - len(prefix)
        kind = f"{prefix}{size}x"
        return self._get(kind, original, lambda n: f"{prefix}{n:0{size}x}"[-len(original) :])

    def uuid(self, original: str) -> str:
        """A UUID of version 4."""
        return self._get("uuid", original, lambda n: f"00000000-0000-4000-8000-{n:012x}")

    def named(self, original: str, prefix: str) -> str:
        """`prefix` and a number that fills the length."""
        size = len(original) - len(prefix)
        return self._get(f"{prefix}{size}", original, lambda n: f"{prefix}{n:0{size}d}")

    def account(self, original: str) -> str:
        """A number of nineteen digits, as carriers count their own things."""
        return self._get("account", original, lambda n: str(10**18 + n))

    def email(self, original: str) -> str:
        """An address of nobody."""
        return self._get("email", original.lower(), lambda n: f"person{n}@example.com")

    def ipv4(self, original: str) -> str:
        """An address kept for documentation (RFC 5737)."""
        return self._get("ipv4", original, lambda n: f"192.0.2.{(n - 1) % 254 + 1}")

    def ipv6(self, original: str) -> str:
        """An address kept for documentation (RFC 3849)."""
        return self._get("ipv6", original, lambda n: f"2001:db8::{n:x}")

    def shape(self, original: str) -> str:
        """Other letters for letters, other digits for digits; blanks and points stay."""
        return self._get("shape", original, lambda n: _reshaped(original, n))

    def _get(self, kind: str, original: str, make: Callable[[int], str]) -> str:
        made = self._known.get((kind, original))
        if made is None:
            number = self._counts[kind] = self._counts.get(kind, 0) + 1
            made = self._known[kind, original] = make(number)
        return made


def words(text: str) -> str:
    """Stand-in words: as many, each as long, points and blanks as they were."""
    return re.sub(r"\w+", lambda word: _word(len(word[0])), text)


def _word(length: int) -> str:
    return (_WORDS * (length // len(_WORDS) + 1))[:length]


def _reshaped(original: str, number: int) -> str:
    for attempt in range(100):
        chance = hashlib.shake_128(f"{number}.{attempt}".encode()).digest(len(original))
        made = "".join(map(_other, original, chance))
        if made.lower() != original.lower():
            return made
    return "x" * len(original)  # nothing in it that could be another letter or digit


def _other(char: str, chance: int) -> str:
    if char.isdigit():
        return str(chance % 10)
    if char.isalpha():
        letter = chr(ord("a") + chance % 26)
        return letter.upper() if char.isupper() else letter
    return char if char.isascii() else "x"
