"""Whether the offline engine can follow an agent's script: words, slots, steps, phrases.

Only files are looked into, no engine is started.
"""

from math import prod

from service.agents import words as known_words
from service.agents.lines import Faults, Place
from service.agents.model import PLACEHOLDER, Agent
from service.agents.placeholders import BRACED, names_in
from service.agents.replies import Reply

PHRASES_MOST = 2000
"""Phrases of one agent, slots filled in: recognition slows down with each."""


def check_script(agent: Agent, faults: Faults) -> None:
    """Add every fault of the script."""
    steps = {reply.then for reply in agent.replies}
    known = set(agent.slots) | names_in(agent)
    for i, reply in enumerate(agent.replies):
        _check_placeholders(("replies", i, "says"), reply.says, known, faults)
        for j, phrase in enumerate(reply.hears):
            _check_placeholders(("replies", i, "hears", j), phrase, set(agent.slots), faults)
        if reply.when is not None and reply.when not in steps:
            faults.add(("replies", i, "when"), f"no reply leads to {reply.when} by then")
    _check_words(agent, faults)
    if _names(agent) <= set(agent.slots):
        _check_phrases(agent, faults)


def _names(agent: Agent) -> set[str]:
    """The slots that phrases name."""
    phrases = (phrase for reply in agent.replies for phrase in reply.hears)
    return {name for phrase in phrases for name in BRACED.findall(phrase)}


def _ways(agent: Agent, reply: Reply) -> int:
    return sum(
        prod(len(agent.slots[name]) for name in PLACEHOLDER.findall(phrase))
        for phrase in reply.hears
    )


def _check_placeholders(place: Place, text: str, known: set[str], faults: Faults) -> None:
    for name in BRACED.findall(text):
        if name not in known:
            faults.add(place, f"{{{name}}} is not known here")


def _check_words(agent: Agent, faults: Faults) -> None:
    """A phrase of signs alone cannot be heard. Words of no dictionary can: they are guessed at."""
    places: dict[Place, str] = {
        ("replies", i, "hears", j): phrase
        for i, reply in enumerate(agent.replies)
        for j, phrase in enumerate(reply.hears)
    }
    places |= {("slots", n, i): w for n, words in agent.slots.items() for i, w in enumerate(words)}
    places |= {("again", i): phrase for i, phrase in enumerate(agent.again)}
    for place, phrase in places.items():
        if not known_words.plain(phrase):
            faults.add(place, "there is no word in it")


def _check_phrases(agent: Agent, faults: Faults) -> None:
    if sum(_ways(agent, reply) for reply in agent.replies) > PHRASES_MOST:
        faults.add(("replies",), f"more than {PHRASES_MOST} phrases, slots filled in")
        return
    owners: dict[tuple[str | None, str], int] = {}
    index = {id(reply): i for i, reply in enumerate(agent.replies)}
    heard = [(each.phrase, each.reply) for each in agent.heard]
    heard += [(f"key {reply.key}", reply) for reply in agent.replies if reply.key]
    for phrase, reply in heard:
        if not phrase:
            continue  # a phrase without a word is a fault already
        i = index[id(reply)]
        owner = owners.setdefault((reply.when, phrase), i)
        if owner != i:
            faults.add(("replies", i), f"{phrase!r} is also heard by replies[{owner}]")
