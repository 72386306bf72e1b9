"""Answers that are prepared before the caller's turn is over: which fits what they said. Pure.

At the first sign of an end the model is asked; if the caller goes on, the answer was never made.
"""

from service.core.events import TurnId
from service.core.wording import words_of


class Speculation:
    """At most one answer is prepared at a time."""

    def __init__(self) -> None:
        self._turn_id: TurnId | None = None
        self._heard = ""

    @property
    def turn_id(self) -> TurnId | None:
        """The turn that is prepared, if one is."""
        return self._turn_id

    def begin(self, turn_id: TurnId, heard: str) -> None:
        """This turn is to answer that the caller said this."""
        self._turn_id, self._heard = turn_id, heard

    def fits(self, heard: str) -> bool:
        """Whether it answers this: the same words, whatever their capitals and stops."""
        return self._turn_id is not None and _same(self._heard, heard)

    def end(self) -> TurnId | None:
        """Nothing is prepared any more; gives what was."""
        turn_id, self._turn_id = self._turn_id, None
        return turn_id


def _same(one: str, other: str) -> bool:
    return len(one) == len(other) == 0 or (
        bool(words := words_of(one)) and words == words_of(other)
    )
