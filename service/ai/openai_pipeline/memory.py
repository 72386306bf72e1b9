"""The conversation so far, as the language model is told it: what was said, heard and done. Pure.

Of what the agent said it holds what the caller heard. Bounded: the newest counts, and a tool's call
and its result stay together. The roles of the messages alternate, since the templates of many
models that people run themselves ask for that.
"""

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct
from openai.types.chat import ChatCompletionMessageParam

from service.core.events import TurnId
from service.core.turns import PastTurn

MESSAGES_MOST = 40
CHARACTERS_MOST = 24_000
"""About 6,000 tokens: more makes the first token late."""
INSTRUCTIONS_MOST = 20
_ENTRIES_MOST = 200

BEGINS = "(the call begins)"
"""What the caller "says" when the agent speaks first."""

PENDING = "(There is no result yet: this is still being done.)"
"""So that nothing is done twice because the caller speaks meanwhile."""

ON_THE_PHONE = (
    "You are talking on the telephone: what you write is read aloud. Answer briefly, in one to "
    "three spoken sentences, unless asked for more. Write no lists, headings, markdown, emoji or "
    "stage directions, and write numbers and abbreviations as they are to be said. What the caller "
    "says comes from speech recognition and may be misspelled; text in (parentheses) tells what "
    "they did."
)


class ToolUse(Struct, frozen=True):
    """A tool that the model called, and what came of it."""

    call_id: str
    name: str
    arguments: str
    result: str = PENDING


class Entry(Struct):
    """What one side said, or did."""

    role: str  # "user" or "assistant"
    text: str
    turn_id: TurnId | None = None
    tools: Sequence[ToolUse] = ()

    @property
    def messages(self) -> int:
        """How many messages it takes."""
        return bool(self.text or self.tools) + len(self.tools)

    @property
    def characters(self) -> int:
        """How long they are."""
        return len(self.text) + sum(len(t.arguments) + len(t.result) for t in self.tools)


class Memory:
    """One call's conversation. `instructions` are the agent's own, filled in."""

    def __init__(self, instructions: str, minded: Iterable[str], history: Iterable[PastTurn]):
        self._instructions = instructions
        self._minded = deque(minded, maxlen=INSTRUCTIONS_MOST)
        roles = {"caller": "user", "agent": "assistant"}
        past = (Entry(roles[turn.who], turn.text) for turn in history)
        self._entries: deque[Entry] = deque(past, maxlen=_ENTRIES_MOST)

    def mind(self, text: str) -> None:
        """The model is to mind this from now on."""
        self._minded.append(text)

    def heard(self, text: str) -> None:
        """The caller said this, or did it."""
        self._entries.append(Entry("user", text))

    def said(self, turn_id: TurnId, text: str) -> None:
        """The agent says this in a turn: all of it, so far."""
        entry = self._find(turn_id)
        if entry is None:
            self._entries.append(Entry("assistant", text, turn_id))
        else:
            entry.text = text

    def cut(self, turn_id: TurnId, heard_text: str) -> None:
        """The caller heard no more than this of it."""
        entry = self._find(turn_id)
        if entry is None:
            return
        entry.text = heard_text.strip()
        if not entry.text:
            self._entries.remove(entry)

    def uses(self, tools: Sequence[ToolUse]) -> None:
        """The agent calls tools; nothing has come of it yet, so they have no result."""
        self._entries.append(Entry("assistant", "", tools=tools))

    def used(self, tools: Sequence[ToolUse]) -> None:
        """This came of the tools that it `uses`: newer than what was said meanwhile."""
        known = [tool.call_id for tool in tools]
        for entry in [*self._entries]:
            if entry.tools and [tool.call_id for tool in entry.tools] == known:
                self._entries.remove(entry)
        self._entries.append(Entry("assistant", "", tools=tools))

    def messages(self, heard: str = "") -> list[ChatCompletionMessageParam]:
        """What the model is asked with. `heard`: as if the caller had said this, too."""
        entries = [*self._newest(), *([Entry("user", heard)] if heard else [])]
        system = "\n\n".join(filter(None, [self._instructions, ON_THE_PHONE, *self._minded]))
        return [{"role": "system", "content": system}, *_alternating(entries)]

    def _newest(self) -> list[Entry]:
        kept: list[Entry] = []
        messages, characters = MESSAGES_MOST, CHARACTERS_MOST
        for entry in reversed(self._entries):
            messages -= entry.messages
            characters -= entry.characters
            if kept and (messages < 0 or characters < 0):
                break
            kept.append(entry)
        return kept[::-1]

    def _find(self, turn_id: TurnId) -> Entry | None:
        return next((entry for entry in reversed(self._entries) if entry.turn_id == turn_id), None)


def _alternating(entries: Iterable[Entry]) -> Iterator[ChatCompletionMessageParam]:
    """Messages of which no two of the same side follow each other, the caller's first."""
    waiting = Entry("user", "")
    first = True
    for entry in entries:
        if not entry.messages:
            continue
        if entry.role == waiting.role and not waiting.tools:
            text = "\n".join(filter(None, [waiting.text, entry.text]))
            waiting = Entry(entry.role, text, tools=entry.tools)
            continue
        if first and not waiting.text:
            waiting.text = BEGINS
        first = False
        yield from _messages(waiting)
        waiting = entry
    if waiting.messages:
        yield from _messages(waiting)


def _messages(entry: Entry) -> Iterator[ChatCompletionMessageParam]:
    if entry.role == "user":
        yield {"role": "user", "content": entry.text}
    elif not entry.tools:
        yield {"role": "assistant", "content": entry.text}
    else:
        yield {
            "role": "assistant",
            "content": entry.text or None,
            "tool_calls": [
                {
                    "id": tool.call_id,
                    "type": "function",
                    "function": {"name": tool.name, "arguments": _sound(tool.arguments)},
                }
                for tool in entry.tools
            ],
        }
        for tool in entry.tools:
            yield {"role": "tool", "tool_call_id": tool.call_id, "content": tool.result}


def _sound(arguments: str) -> str:
    """Servers read what a model wrote when they are told it again: JSON or nothing."""
    try:
        return arguments if isinstance(json.loads(arguments), dict) else "{}"
    except ValueError:
        return "{}"
