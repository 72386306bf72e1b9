"""What an agent file may say (interface: Agents).

The shape of it and what can be told from one value alone; `script.py` looks at the whole. This
file knows what an agent may say; the engines know how to say it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from service.agents import words as known_words

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Number = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")]
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
Phrase = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Voice(_Part):
    """How the offline engine sounds: an espeak-ng voice, its speed and its height."""

    name: str = "en-us"
    words_per_minute: Annotated[int, Field(ge=80, le=400)] = 165
    pitch: Annotated[int, Field(ge=0, le=99)] = 45

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if not known_words.has_voice(name):
            raise ValueError("espeak-ng has no such voice; en-us, en, en-us+f3 are some it has")
        return name


class Reply(_Part):
    """What the offline engine says to a phrase or a key.

    `when`: only in this step of the conversation. `then`: the step that begins with it.
    """

    hears: tuple[Phrase, ...] = ()
    key: Annotated[str, StringConstraints(pattern=r"^[0-9*#A-D]$")] | None = None
    says: Line
    when: Word | None = None
    then: Word | None = None
    end: bool = False

    @field_validator("hears", mode="before")
    @classmethod
    def _many(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("key", mode="before")
    @classmethod
    def _digit(cls, value: Any) -> Any:
        return str(value) if type(value) is int else value

    @model_validator(mode="after")
    def _reachable(self) -> "Reply":
        if not self.hears and self.key is None:
            raise ValueError("needs hears or key, else it is never said")
        return self


class Agent(_Part):
    """One agent, as its file says."""

    name: Name
    engine: Literal["offline", "openai-realtime", "openai-pipeline", "echo", "loopback"]
    numbers: tuple[Number, ...] = ()
    greeting: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)] = ""
    interruptible: bool = True
    instructions: Annotated[str, StringConstraints(max_length=20_000)] = ""
    record_cassette: bool = False  # every call of a carrier that comes to this agent
    variables: dict[Word, str] = {}  # with what they are when a call brings none
    voice: Voice = Voice()
    slots: dict[Word, tuple[Phrase, ...]] = {}  # what {name} in a phrase may stand for
    replies: Annotated[tuple[Reply, ...], Field(max_length=500)] = ()
    again: tuple[Phrase, ...] = (
        "say that again",
        "can you say that again",
        "can you repeat that",
        "pardon",
    )
    not_understood: Line = "Sorry, I did not understand that. Could you say it another way?"
    pronounce: dict[str, str] = {}  # where the guess is wrong, in CMUdict's phonemes: "AE K M IY"

    @field_validator("numbers", "replies", "again", mode="before")
    @classmethod
    def _many(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("slots", mode="before")
    @classmethod
    def _many_each(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}

    @field_validator("pronounce")
    @classmethod
    def _phonemes(cls, value: dict[str, str]) -> dict[str, str]:
        for word, phonemes in value.items():
            unknown = [p for p in phonemes.split() if p not in known_words.PHONEMES]
            if unknown or not phonemes.split():
                raise ValueError(f"{word}: expected phonemes like AE K M IY")
        return {word.lower(): phonemes for word, phonemes in value.items()}

    @model_validator(mode="after")
    def _greets(self) -> "Agent":
        if not self.greeting and self.engine not in ("loopback", "echo"):
            raise ValueError(f"greeting: the {self.engine} engine needs one")
        return self

    def fill(self, text: str, values: dict[str, str]) -> str:
        """`text` with {name} replaced: by `values`, else by the agent's own variables."""
        known = self.variables | values
        return PLACEHOLDER.sub(lambda found: known.get(found[1], ""), text)

    @cached_property
    def heard(self) -> tuple["Heard", ...]:
        """Every phrase that a reply hears, slots filled in, in the order of the file."""
        return tuple(heard for reply in self.replies for heard in self._ways(reply))

    def _ways(self, reply: Reply) -> Iterator["Heard"]:
        for phrase in reply.hears:
            names = PLACEHOLDER.findall(phrase)
            for values in product(*(self.slots[name] for name in names)):
                chosen = dict(zip(names, values, strict=True))
                yield Heard(known_words.plain(self.fill(phrase, chosen)), reply, chosen)


@dataclass(frozen=True)
class Heard:
    """A phrase in plain words, the reply to it, and what its slots were filled with."""

    phrase: str
    reply: Reply
    values: dict[str, str]
