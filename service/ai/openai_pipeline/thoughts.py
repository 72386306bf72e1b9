"""What a model thinks before it answers, left out: some servers send it as part of the answer.

Models that reason, run on one's own machine, write `<think>...</think>` first. Pure.
"""

_BEGIN, _END = "<think>", "</think>"


class Thoughts:
    """Takes an answer's text in pieces, gives it without its thoughts."""

    def __init__(self) -> None:
        self._held = ""
        self._thinking = False
        self._past = False  # thoughts come first or not at all
        self._after = False  # nothing but blanks since they ended

    def push(self, piece: str) -> str:
        """What of it is to be said; may be nothing yet."""
        if self._past:
            return self._without_blanks(piece)
        self._held += piece
        if not self._thinking:
            begun = self._held.lstrip()
            if not begun.startswith(_BEGIN):
                return "" if _BEGIN.startswith(begun) else self._release()
            self._thinking = True
        _, ended, rest = self._held.partition(_END)
        if not ended:
            self._held = self._held[-len(_END) :]  # its end may come in two pieces
            return ""
        self._held, self._after = rest, True
        return self._without_blanks(self._release())

    def flush(self) -> str:
        """The answer is over: what looked like a thought's beginning."""
        return "" if self._thinking or self._past else self._release()

    def _without_blanks(self, piece: str) -> str:
        if self._after:
            piece = piece.lstrip()
            self._after = not piece
        return piece

    def _release(self) -> str:
        self._past = True
        held, self._held = self._held, ""
        return held
