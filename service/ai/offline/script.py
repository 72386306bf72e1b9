"""What the agent's script answers: the pure part of the offline engine.

A conversation is in a step or in none; a step's own phrases come before those that hold always.
What a slot was filled with is remembered for the rest of the call.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct

from service.agents import Agent, Heard, Reply
from service.agents.words import plain


class Line(Struct, frozen=True):
    """What to say now, and whether that was the last of it."""

    text: str
    end: bool = False


class Script:
    """One call's way through an agent's replies."""

    def __init__(self, agent: Agent, variables: Mapping[str, str]) -> None:
        self._agent = agent
        self._values = dict(variables)
        self._step: str | None = None
        self._last = ""
        self._again = frozenset(plain(phrase) for phrase in agent.again)

    @property
    def phrases(self) -> tuple[str, ...]:
        """All that can be understood now; empty when the script listens to nothing."""
        found = dict.fromkeys(heard.phrase for heard in self._heard())
        return tuple(found | dict.fromkeys(sorted(self._again)))

    @property
    def takes_keys(self) -> bool:
        """Whether any key means something, now or later."""
        return any(reply.key is not None for reply in self._agent.replies)

    def said(self, text: str) -> None:
        """This was said from outside the script; it is what "say that again" repeats."""
        self._last = text

    def hear(self, phrase: str) -> Line:
        """The answer to a phrase of `phrases`, or to empty text: speech not understood."""
        if phrase in self._again and self._last:
            return Line(self._last)
        for heard in self._heard():
            if heard.phrase == phrase:
                self._values |= heard.values
                return self._say(heard.reply)
        return Line(self._agent.not_understood)

    def press(self, digit: str) -> Line:
        """The answer to a key."""
        for step in self._steps():
            for reply in self._agent.replies:
                if reply.key == digit and reply.when == step:
                    return self._say(reply)
        return Line(self._agent.not_understood)

    def _say(self, reply: Reply) -> Line:
        self._step = reply.then
        text = self._agent.fill(reply.says, self._values)
        self._last = text[:1].upper() + text[1:]  # a slot may begin it
        return Line(self._last, reply.end)

    def _heard(self) -> Iterator[Heard]:
        for step in self._steps():
            yield from (heard for heard in self._agent.heard if heard.reply.when == step)

    def _steps(self) -> tuple[str | None, ...]:
        return (None,) if self._step is None else (self._step, None)
