"""Is this sound a voice? The second stage of hearing, asked only where it matters."""

from collections.abc import Callable
from typing import Protocol

from service.core.audio import MediaFormat


class Judge(Protocol):
    """Tells voices from other sounds."""

    def ask(
        self, sound: bytes, audio_format: MediaFormat, answered: Callable[[float], None]
    ) -> bool:
        """Whether a verdict on the newest part of `sound` will come; returns at once.

        `answered` gets the probability of a voice, 0 to 1, later and on the loop's thread; it
        may come late, or never when the judge is overloaded.
        """
