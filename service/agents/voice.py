"""How the offline engine sounds."""

from typing import Annotated

from pydantic import Field, field_validator

from service.agents.parts import Part
from service.agents.words import has_voice


class Voice(Part):
    """How the offline engine sounds, and sentences that no other voice can say."""

    name: str = "en-us"
    """A voice of espeak-ng, such as en-us or en-us+f3."""
    words_per_minute: Annotated[int, Field(ge=80, le=400)] = 165
    """How fast it speaks."""
    pitch: Annotated[int, Field(ge=0, le=99)] = 45
    """How high it speaks."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if not has_voice(name):
            raise ValueError("espeak-ng has no such voice; en-us, en, en-us+f3 are some it has")
        return name
