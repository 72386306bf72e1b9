"""The words and the manners of turn-taking: what is told of a person's speech, and the settings.

`TurnTaker` in `service/core/turn_taker.py` decides; `Listener` in `service/ai/listening.py` is
what engines use.
"""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from service.core.events import SpeechDismissed, SpeechStarted, SpeechStopped, SpeechSuspected


class TurnTaking(Protocol):
    """The settings of an agent's file, `turn_taking`; times in milliseconds."""

    @property
    def end_of_turn_ms(self) -> int:
        """Silence after which a turn is over as a rule."""

    @property
    def quick_ms(self) -> int:
        """Silence after which it is over when what was said sounds complete."""

    @property
    def patient_ms(self) -> int:
        """Silence after which it is over while something is spelled, or plainly goes on."""

    @property
    def decide_ms(self) -> int:
        """How long after its first sound a suspected interruption may stay undecided."""

    @property
    def accept_ms(self) -> int:
        """Speech of this length interrupts whatever it says."""

    @property
    def backchannels(self) -> Sequence[str]:
        """Words that say "I am listening" and no more, like "uh-huh"."""

    @property
    def echo_guard(self) -> bool:
        """Whether the agent's own voice is expected back from the line."""


class TurnMayBeOver(Struct, frozen=True, gc=False):
    """First sign of an end: time to prepare an answer, unheard. TurnGoesOn or SpeechStopped
    follows.
    """

    end_ms: int  # media time of the end of the last voiced frame


class TurnGoesOn(Struct, frozen=True, gc=False):
    """The person speaks on: what was prepared at the last TurnMayBeOver or BurstEnded is void."""


class BurstEnded(Struct, frozen=True, gc=False):
    """What was suspected has ended undecided: recognise it and tell what it says.

    SpeechDismissed or SpeechStarted follows, or TurnGoesOn when the person speaks on.
    """

    end_ms: int  # media time of the end of the last voiced frame


Heard = (
    SpeechSuspected
    | SpeechDismissed
    | SpeechStarted
    | SpeechStopped
    | TurnMayBeOver
    | TurnGoesOn
    | BurstEnded
)
"""What a listener tells of a person's speech."""


class VoiceAsked(Struct, frozen=True, gc=False):
    """Let a judge say whether the newest sound is a voice; `judged` takes the answer."""

    number: int
    since_ms: int  # what was heard before this media time helps nobody to tell
