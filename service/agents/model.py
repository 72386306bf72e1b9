"""What an agent file may say (interface: Agents).

The shape of it and what can be told from one value alone; `whole.py` and `script.py` look at the
whole. This file knows what an agent may say; the engines know how to say it.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError, field_validator

from service.agents import words as known_words
from service.agents.lines import written
from service.agents.manners import Filler, Idle, LastResort, Voicemail
from service.agents.openai import Pipeline, Realtime
from service.agents.overrides import Overrides, merged
from service.agents.parts import (
    LISTED,
    Instructions,
    Language,
    Line,
    MaxDuration,
    Name,
    Number,
    Part,
    Phrase,
    Sentence,
    Word,
)
from service.agents.replies import Heard, Replies, Reply
from service.agents.tools import McpServers, Tools
from service.agents.turn_taking import TurnTaking
from service.agents.voice import Voice
from service.agents.web import Lookup
from service.agents.wording import told
from service.core.errors import ConfigError

PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]{0,31})\}")
BUILT_IN = ("caller", "called", "call_id")
"""Variables that every call brings: who called, which number was called, and the call's id."""

Engine = Literal["offline", "openai-realtime", "openai-pipeline", "echo", "loopback"]
Value = Annotated[str, StringConstraints(max_length=1000)]


class Agent(Part):
    """An agent: who answers the phone, and how."""

    name: Name
    """What the agent is chosen by; `default` answers where no other does."""
    engine: Engine
    """What listens and answers."""
    fallback: Annotated[
        tuple[Literal["offline", "openai-realtime", "openai-pipeline"], ...],
        Field(max_length=3),
        LISTED,
    ] = ()
    """The engines that go on, one after the other, when the one before cannot."""
    numbers: Annotated[tuple[Number, ...], Field(max_length=1000), LISTED] = ()
    """Calls to these numbers go to this agent."""
    language: Language = "en"
    """What callers speak, a hint for recognition; empty: it guesses."""
    greeting: Sentence = ""
    """Said first; {variable} is filled in. Every engine but `echo` and `loopback` needs one."""
    interruptible: bool = True
    """Whether callers may interrupt the greeting; the rest can always be interrupted."""
    instructions: Instructions = ""
    """What the model is told about its task; {variable} is filled in."""
    max_duration_s: MaxDuration | None = None
    """The call is ended after this; null: the service's own limit."""
    record_cassette: bool = False
    """Every call of a carrier that comes to this agent is recorded as a cassette."""
    variables: Annotated[dict[Word, Value], Field(max_length=100)] = {}
    """Variables, with what they are when a call brings none."""
    lookups: Annotated[tuple[Lookup, ...], Field(max_length=5), LISTED] = ()
    """Variables from elsewhere, asked for before the greeting."""
    voice: Voice = Voice()
    """How the offline engine sounds."""
    realtime: Realtime = Realtime()
    """Settings of the engine `openai-realtime`."""
    pipeline: Pipeline = Pipeline()
    """Settings of the engine `openai-pipeline`."""
    turn_taking: TurnTaking = TurnTaking()
    """When a turn is over, and what counts as an interruption."""
    tools: Tools = ()
    """What the agent may do beside talking."""
    mcp: McpServers = ()
    """Servers of further tools (Model Context Protocol)."""
    filler: Filler = Filler()
    """What is said when an answer takes long."""
    idle: Idle = Idle()
    """What is said when the caller says nothing."""
    last_resort: LastResort = LastResort()
    """What is done when no engine can go on."""
    voicemail: Voicemail = Voicemail()
    """What is done when a machine answers."""
    slots: dict[Word, Annotated[tuple[Phrase, ...], LISTED]] = {}
    """Offline: what {slot} in a phrase may stand for."""
    replies: Replies = ()
    """Offline: the script."""
    again: Annotated[tuple[Phrase, ...], LISTED] = (
        "say that again",
        "can you say that again",
        "can you repeat that",
        "pardon",
    )
    """Offline: phrases that have the last line said again."""
    not_understood: Line = "Sorry, I did not understand that. Could you say it another way?"
    """Offline: the answer to everything else."""
    pronounce: dict[str, str] = {}
    """Offline: words whose sound is guessed wrongly, in CMUdict's phonemes: "AE K M IY"."""

    @field_validator("pronounce")
    @classmethod
    def _phonemes(cls, value: dict[str, str]) -> dict[str, str]:
        for word, phonemes in value.items():
            unknown = [p for p in phonemes.split() if p not in known_words.PHONEMES]
            if unknown or not phonemes.split():
                raise ValueError(f"{word}: expected phonemes like AE K M IY")
        return {word.lower(): phonemes for word, phonemes in value.items()}

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines that may carry its calls, in order."""
        return (self.engine, *self.fallback)

    def fill(self, text: str, values: Mapping[str, str]) -> str:
        """`text` with {name} replaced: by `values`, else by the agent's own variables, else by "".

        Braces around anything but a variable's name, as in JSON, stay as they are.
        """
        known = {**self.variables, **values}
        return PLACEHOLDER.sub(lambda found: known.get(found[1], ""), text)

    def overridden(self, overrides: Mapping[str, Any]) -> "Agent":
        """The agent as one call has it (`Overrides`). ConfigError names each fault by its key.

        Whether all of it goes together is for `faults_of` to say.
        """
        try:
            return merged(self, Overrides.model_validate(overrides))
        except ValidationError as invalid:
            faults = [f"{written(place)}: {message}" for place, message in told(invalid)]
            raise ConfigError("agent.bad_overrides", "; ".join(faults)) from None

    def kept_sentences(self) -> tuple[str, ...]:
        """Every sentence that may be needed while no engine can say it, each once."""
        waiting = (one.says for one in (*self.tools, *self.mcp))
        every = (self.last_resort.says, *self.filler.says, *waiting)
        return tuple(dict.fromkeys(text for text in every if text))

    @cached_property
    def own_voice_key(self) -> str:
        """The same for agents that sound the same in the voice on this machine."""
        return repr(self.voice)

    @cached_property
    def voice_key(self) -> str:
        """The same for agents that sound the same in their engine's voice."""
        match self.engine:
            case "openai-realtime":
                return repr(self.realtime)
            case "openai-pipeline":
                return repr(self.pipeline.speech)
            case _:
                return self.own_voice_key

    @cached_property
    def heard(self) -> tuple[Heard, ...]:
        """Every phrase that a reply hears, slots filled in, in the order of the file."""
        return tuple(heard for reply in self.replies for heard in self._ways(reply))

    def _ways(self, reply: Reply) -> Iterator[Heard]:
        for phrase in reply.hears:
            names = PLACEHOLDER.findall(phrase)
            for values in product(*(self.slots[name] for name in names)):
                chosen = dict(zip(names, values, strict=True))
                yield Heard(known_words.plain(self.fill(phrase, chosen)), reply, chosen)
