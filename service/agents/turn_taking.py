"""When a turn is over, and what counts as an interruption."""

from typing import Annotated

from pydantic import Field

from service.agents.parts import LISTED, Part, Phrase

BACKCHANNELS = (
    "uh-huh",
    "uh huh",
    "mhm",
    "mm-hmm",
    "mm hmm",
    "hmm",
    "hm",
    "mm",
    "yeah",
    "yep",
    "yes",
    "ok",
    "okay",
    "right",
    "sure",
    "i see",
    "got it",
    "alright",
    "all right",
    "of course",
)


class TurnTaking(Part):
    """When a turn is over, and what counts as an interruption."""

    end_of_turn_ms: Annotated[int, Field(ge=200, le=5000)] = 600
    """Silence after which the caller's turn is over as a rule."""
    quick_ms: Annotated[int, Field(ge=100, le=5000)] = 400
    """The same after a sentence that sounds complete; never more than `end_of_turn_ms`."""
    patient_ms: Annotated[int, Field(ge=200, le=10_000)] = 1500
    """The same while digits or letters are being spelled; never less than `end_of_turn_ms`."""
    decide_ms: Annotated[int, Field(ge=100, le=3000)] = 900
    """How long the agent may stay paused until it is known whether this is an interruption."""
    accept_ms: Annotated[int, Field(ge=100, le=3000)] = 600
    """Speech of this length interrupts the agent, whatever it says."""
    backchannels: Annotated[tuple[Phrase, ...], Field(max_length=200), LISTED] = BACKCHANNELS
    """Words that say "I am listening" and stop nobody."""
    echo_guard: bool = True
    """The agent's own voice, coming back from the line, is not taken for the caller."""
