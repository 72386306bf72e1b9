"""What an agent does when nobody speaks, when a machine answers, and when all else fails."""

from typing import Annotated, Literal

from pydantic import Field

from service.agents.parts import LISTED, Line, Number, Part, Sentence

Lines = Annotated[tuple[Line, ...], Field(max_length=10), LISTED]


class Filler(Part):
    """What is said when an answer takes long."""

    after_ms: Annotated[int, Field(ge=300, le=30_000)] = 2000
    """Silence since the caller's last word."""
    says: Lines = ("One moment, please.",)
    """The sentences, in turn; [] for none."""


class Idle(Part):
    """What is said when the caller says nothing."""

    after_ms: Annotated[int, Field(ge=0, le=600_000)] = 0
    """Silence of both sides; 0: never."""
    says: Lines = ("Are you still there?",)
    """The questions, in turn."""
    times: Annotated[int, Field(ge=0, le=10)] = 2
    """How often it is asked before the call is ended."""
    goodbye: Sentence = "I will hang up now. Goodbye."
    """Said before that; empty: nothing."""


class LastResort(Part):
    """What is done when no engine can go on."""

    says: Line = "I am sorry, something went wrong on our side. Please call again later. Goodbye."
    """Said from sound that was made before."""
    transfer_to: Number | None = None
    """The call goes to this number then; null: it is ended."""


class Voicemail(Part):
    """What is done when a machine answers a call that was placed."""

    policy: Literal["talk", "hang_up", "leave_message"] = "talk"
    """Talk as with anybody, hang up, or say `message` after the tone and hang up."""
    message: Sentence = ""
    """What `leave_message` says."""
