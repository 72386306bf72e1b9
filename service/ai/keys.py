"""The keys that the caller presses: a tool that waits for them first, else the model's to know."""

import asyncio
from collections.abc import Callable

from service.tools import Toolbox

PAUSE_S = 1.5
"""Keys that follow within this belong together."""
KEYS_MOST = 64


class Keys:
    """One call's. `tell` gets what was pressed, in words, once no more keys come."""

    def __init__(self, toolbox: Toolbox, tell: Callable[[str], None]) -> None:
        self._toolbox = toolbox
        self._tell = tell
        self._pressed = ""
        self._timer: asyncio.TimerHandle | None = None

    def press(self, digit: str) -> None:
        """A key."""
        if self._toolbox.press(digit):
            return
        self._pressed = (self._pressed + digit)[:KEYS_MOST]
        self.close()
        self._timer = asyncio.get_running_loop().call_later(PAUSE_S, self._say)

    def close(self) -> None:
        """Leave no timer behind."""
        if self._timer is not None:
            self._timer.cancel()

    def _say(self) -> None:
        pressed, self._pressed = self._pressed, ""
        self._tell(f"(the caller pressed {pressed})")
