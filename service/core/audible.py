"""Whether the person hears the agent now: what they say is judged by it.

Pure. Who speaks during the last moments of a turn answers it and does not interrupt it, so for
that the agent counts as silent already.
"""

TAIL_MS = 300
"""The last moments of a turn."""


class Audible:
    """Follows one call's agent."""

    def __init__(self) -> None:
        self._told = False
        self._quiet_from_ms: int | None = None

    def made(self, left_ms: int, now_ms: int) -> None:
        """All sound there is has been made; `left_ms` of it was not heard yet."""
        self._quiet_from_ms = now_ms + left_ms - TAIL_MS

    def unknown(self) -> None:
        """How long the agent will be heard nobody knows: it makes more, or it was paused."""
        self._quiet_from_ms = None

    def is_due(self, now_ms: int) -> bool:
        """Whether the agent has become silent by now, and nobody was told."""
        return self._told and self._quiet_from_ms is not None and now_ms >= self._quiet_from_ms

    def change(self, now_ms: int, *, sounds: bool) -> bool | None:
        """What it is now, where that is news. `sounds`: a turn has sound that may be heard."""
        quiet = self._quiet_from_ms is not None and now_ms >= self._quiet_from_ms
        audible = sounds and not quiet
        if audible is self._told:
            return None
        self._told = audible
        return audible
