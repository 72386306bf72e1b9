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

ON_THE_PHONE = (
    "You are talking on the telephone: what you write is read aloud. Answer briefly, in one to "
    "three spoken sentences, unless asked for more. Write no lists, headings, markdown, emoji or "
    "stage directions, and write numbers and abbreviations as they are to be said. What the caller "
    "says comes from speech recognition and may be misspelled; text in (parentheses) tells what "
    "they did."
)


class ToolUse(Struct):
    """A tool that the model called, and what came of it; None until that is known."""

    call_id: str
    name: str
    arguments: str
    result: str | None = None


class Entry(Struct):
    """What one side said, or did."""

    role: str  # "user" or "assistant"
    text: str
    turn_id: TurnId | None = None
    tools: Sequence[ToolUse] = ()

    @property
    def told(self) -> list[ToolUse]:
        """The tools of which something came."""
        return [tool for tool in self.tools if tool.result is not None]

    @property
    def messages(self) -> int:
        """How many messages it takes."""
        return bool(self.text or self.told) + len(self.told)

    @property
    def characters(self) -> int:
        """How long they are."""
        told = self.told
        return len(self.text) + sum(len(t.arguments) + len(t.result or "") for t in told)


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
        self._turn(turn_id).text = text

    def cut(self, turn_id: TurnId, heard_text: str) -> None:
        """The caller heard no more than this of it."""
        entry = self._find(turn_id)
        if entry is None:
            return
        entry.text = heard_text.strip()
        if not entry.text and not entry.tools:
            self._entries.remove(entry)

    def used(self, turn_id: TurnId, tools: Sequence[ToolUse]) -> None:
        """In this turn the agent called tools; their results come into the same values."""
        self._turn(turn_id).tools = tools

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

    def _turn(self, turn_id: TurnId) -> Entry:
        entry = self._find(turn_id)
        if entry is None:
            entry = Entry("assistant", "", turn_id)
            self._entries.append(entry)
        return entry

    def _find(self, turn_id: TurnId) -> Entry | None:
        return next((entry for entry in reversed(self._entries) if entry.turn_id == turn_id), None)


def _alternating(entries: Iterable[Entry]) -> Iterator[ChatCompletionMessageParam]:
    """Messages of which no two of the same side follow each other, the caller's first."""
    waiting = Entry("user", "")
    first = True
    for entry in entries:
        if not entry.messages:
            continue
        if entry.role == waiting.role and not waiting.told:
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
    told = entry.told
    if entry.role == "user":
        yield {"role": "user", "content": entry.text}
    elif not told:
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
                for tool in told
            ],
        }
        for tool in told:
            yield {"role": "tool", "tool_call_id": tool.call_id, "content": tool.result or ""}


def _sound(arguments: str) -> str:
    """Servers read what a model wrote when they are told it again: JSON or nothing."""
    try:
        return arguments if isinstance(json.loads(arguments), dict) else "{}"
    except ValueError:
        return "{}"
