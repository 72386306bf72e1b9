"""The offline engine's script: what is said to what is heard."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from service.agents.parts import LISTED, Form, Line, Part, Phrase, Word


def _digit(value: Any) -> Any:
    return str(value) if type(value) is int else value


_AS_TEXT = {"type": "string", "pattern": "^[0-9*#A-D]$"}
_AS_DIGIT = {"type": "integer", "minimum": 0, "maximum": 9}
Key = Annotated[
    str,
    Form("[0-9*#A-D]", "one key: 0 to 9, *, #, A to D"),
    BeforeValidator(_digit),
    WithJsonSchema({"anyOf": [_AS_TEXT, _AS_DIGIT]}),
]


class Reply(Part):
    """What the offline engine says to a phrase or a key."""

    hears: Annotated[tuple[Phrase, ...], LISTED] = ()
    """Phrases that mean this; {slot} stands for any of the slot's words."""
    key: Key | None = None
    """A key of the telephone that means it."""
    says: Line
    """The answer; {slot} and {variable} are filled in."""
    when: Word | None = None
    """Only in this step of the conversation."""
    then: Word | None = None
    """The step that begins with it."""
    end: bool = False
    """The call ends when this was said."""

    @model_validator(mode="after")
    def _reachable(self) -> "Reply":
        if not self.hears and self.key is None:
            raise ValueError("needs hears or key, else it is never said")
        return self


@dataclass(frozen=True)
class Heard:
    """A phrase in plain words, the reply to it, and what its slots were filled with."""

    phrase: str
    reply: Reply
    values: dict[str, str]


Replies = Annotated[tuple[Reply, ...], Field(max_length=500), LISTED]
