"""Keys that the person presses, each counted once however often and wherever it is told."""


class KeyPresses:
    """One key press may be told by socket and by webhook: the nth "5" of both is the same."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, int]] = {}  # channel -> digit -> how often

    def is_new(self, digit: str, channel: str) -> bool:
        """Whether this is a press that no other channel has told of."""
        seen = self._seen.setdefault(channel, {})
        seen[digit] = count = seen.get(digit, 0) + 1
        told = (by.get(digit, 0) for other, by in self._seen.items() if other != channel)
        return count > max(told, default=0)
