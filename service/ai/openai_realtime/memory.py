"""The conversation so far, as the next session must know it: what was said and heard.

A lost socket takes the server's memory with it. Here is what that memory held in words: what the
caller said, what they heard of the agent, what tools told. Bounded: the newest counts.
"""

from collections import deque
from collections.abc import Iterable, Iterator

from msgspec import Struct

from service.ai.openai import orders
from service.ai.openai.orders import Order
from service.core.turns import PastTurn

ENTRIES_MOST = 120
CHARACTERS_MOST = 16_000
"""About 4,000 tokens: an hour's talk fits as a rule, and a session opens as fast as without."""


class Entry(Struct):
    """One thing said or done. `key` finds it again; a `call` has arguments and an output."""

    who: str  # "caller", "agent" or "tool"
    key: str
    text: str
    arguments: str = ""
    output: str | None = None

    @property
    def size(self) -> int:
        """In characters."""
        return len(self.text) + len(self.arguments) + len(self.output or "")


class Memory:
    """One call's conversation."""

    def __init__(self, history: Iterable[PastTurn]) -> None:
        self._entries: deque[Entry] = deque(maxlen=ENTRIES_MOST)
        for number, turn in enumerate(history):
            self._entries.append(Entry(turn.who, f"past_{number}", turn.text))

    def said(self, who: str, key: str, text: str) -> None:
        """This was said; with a key that is known, it was said then."""
        entry = self._find(key)
        if entry is None:
            self._entries.append(Entry(who, key, text))
        else:
            entry.text = text

    def forget(self, key: str) -> None:
        """It was not said after all."""
        entry = self._find(key)
        if entry is not None:
            self._entries.remove(entry)

    def called(self, call_id: str, name: str, arguments: str) -> None:
        """A tool was called."""
        self._entries.append(Entry("tool", call_id, name, arguments))

    def told(self, call_id: str, output: str) -> None:
        """What came of it."""
        entry = self._find(call_id)
        if entry is not None:
            entry.output = output

    def seeds(self) -> list[Order]:
        """The newest of it as items of a new session, oldest first."""
        kept: list[Entry] = []
        room = CHARACTERS_MOST
        for entry in reversed(self._entries):
            room -= entry.size
            if room < 0:
                break
            kept.append(entry)
        return [order for entry in reversed(kept) for order in _items(entry)]

    def _find(self, key: str) -> Entry | None:
        return next((entry for entry in reversed(self._entries) if entry.key == key), None)


def seed_id(key: str) -> str:
    """The id of the item that stands for an entry; OpenAI takes 32 characters at most."""
    return f"s_{key[-30:]}"


def _items(entry: Entry) -> Iterator[Order]:
    if entry.who == "tool":
        if entry.output is not None:
            yield orders.tool_called(entry.key, entry.text, entry.arguments)
            yield orders.tool_told(entry.key, entry.output)
    elif entry.text:
        say = orders.caller_said if entry.who == "caller" else orders.agent_said
        yield say(entry.text, seed_id(entry.key))
