"""Collects what a caller types: so many digits, up to a finishing key, within set times.

The keys go to the model alone. They may be a PIN, so they are in no log and in no error.
"""

import asyncio

from msgspec import Struct

from service.tools.spec import ToolFailed, ToolResult

DIGITS_MOST = 32
LATE_KEY_S = 2.0
"""A finishing key that comes this soon after the last digit was wanted finishes nothing more."""


class Wish(Struct, frozen=True, kw_only=True):
    """What is to be typed. `finish_key` may be "": then only the number of digits or time ends."""

    min_digits: int = 1
    max_digits: int = DIGITS_MOST
    finish_key: str = "#"
    timeout_s: float = 10.0  # until the first key
    between_s: float = 4.0  # from key to key


class Keypad:
    """One call's keys, while somebody waits for them."""

    def __init__(self) -> None:
        self._keys: asyncio.Queue[str] | None = None
        self._late_key = ""
        self._late_until_s = 0.0

    def press(self, digit: str) -> bool:
        """True: the key is for the number being typed."""
        if self._keys is not None:
            self._keys.put_nowait(digit)
            return True
        late, self._late_key = self._late_key, ""
        return bool(late) and digit == late and _now_s() < self._late_until_s

    async def collect(self, wish: Wish) -> ToolResult:
        """The digits as text. ToolFailed when there are too few, or others wait already."""
        if self._keys is not None:
            raise ToolFailed("tool.busy", "The caller is being waited for already.")
        self._keys = asyncio.Queue()
        try:
            digits, finished = await _typed(self._keys, wish)
        finally:
            self._keys = None
        if not finished:
            self._late_key, self._late_until_s = wish.finish_key, _now_s() + LATE_KEY_S
        return ToolResult(_enough(digits, wish))


async def _typed(keys: "asyncio.Queue[str]", wish: Wish) -> tuple[str, bool]:
    """What was typed, and whether the finishing key ended it."""
    digits = ""
    patience_s = wish.timeout_s
    while len(digits) < wish.max_digits:
        try:
            async with asyncio.timeout(patience_s):
                key = await keys.get()
        except TimeoutError:
            break
        if key == wish.finish_key:
            return digits, True
        digits += key
        patience_s = wish.between_s
    return digits, False


def _enough(digits: str, wish: Wish) -> str:
    if not digits:
        raise ToolFailed("tool.no_digits", "The caller typed nothing.")
    if len(digits) < wish.min_digits:
        text = f"The caller typed only {digits}: at least {wish.min_digits} digits are needed."
        raise ToolFailed("tool.too_few_digits", text)
    return digits


def _now_s() -> float:
    return asyncio.get_running_loop().time()
