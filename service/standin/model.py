"""What the language model answers, from the script and the conversation alone. Pure.

It knows nothing but the conversation that it is given, as a real one; so what a client lets it
remember is what it goes by.
"""

import re
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from service.standin.script import Answer, Script, normal

Role = Literal["system", "user", "assistant", "call", "result"]

_WORD_FOR_WORD = re.compile(r"\b(word for word|verbatim|say exactly|exactly the following)\b", re.I)
_QUOTED = re.compile(r"[\"\u201c](.+?)[\"\u201d]", re.S)


class Line(Struct, frozen=True):
    """One entry of a conversation: words, a tool's name and arguments, or what a tool gave."""

    role: Role
    text: str


def answer(script: Script, lines: Sequence[Line], orders: str = "") -> Answer:
    """The next thing it says and does, its placeholders filled. `orders`: instructions for it."""
    if _WORD_FOR_WORD.search(orders):
        return Answer(says=_ordered(orders))
    heard_at = max((i for i, line in enumerate(lines) if line.role == "user"), default=-1)
    since = [line for line in lines[heard_at + 1 :] if line.role != "system"]
    if heard_at < 0 and not since:
        return Answer(says=script.opens)
    heard = lines[heard_at].text if heard_at >= 0 else ""
    chosen = _reply(script, heard)
    if since and since[-1].role == "result":
        chosen = _after_tools(chosen, _rounds(since))
    results = [line.text for line in since if line.role == "result"]
    says = chosen.says.replace("{heard}", heard).replace("{result}", results[-1] if results else "")
    return chosen.model_copy(update={"says": says})


def _reply(script: Script, heard: str) -> Answer:
    padded = f" {normal(heard)} "
    for reply in script.replies:
        if any(_fits(phrase, padded) for phrase in reply.hears):
            return reply
    return Answer(says=script.otherwise)


def _fits(phrase: str, padded: str) -> bool:
    return phrase == "*" or f" {normal(phrase)} " in padded


def _after_tools(first: Answer, rounds: int) -> Answer:
    chosen = first
    for _ in range(rounds):
        if chosen.again:
            continue
        chosen = chosen.then or Answer(says="{result}")
    return chosen


def _rounds(since: Sequence[Line]) -> int:
    """How often tools have been called and have answered since the person spoke."""
    roles = [line.role for line in since]
    return sum(
        role == "result" and following != "result"
        for role, following in zip(roles, [*roles[1:], "end"], strict=True)
    )


def _ordered(orders: str) -> str:
    """The text in an order to say something word for word."""
    _, parted, text = orders.partition("\n\n")
    if not parted:
        quoted = _QUOTED.search(orders)
        text = quoted[1] if quoted else orders.partition(":")[2]
    return text.strip()
