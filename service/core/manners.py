"""How an agent is to behave on one call: what its file, the order and the limits come to."""

from msgspec import Struct

from service.core.patience import Waits
from service.core.voicemail import VoicemailPolicy


class Manners(Struct, frozen=True, kw_only=True):
    """Texts are ready to be said: variables are filled in."""

    greeting: str = ""
    interruptible: bool = True  # False protects the greeting only
    max_duration_ms: int | None = None
    waits: Waits = Waits()
    idle_says: tuple[str, ...] = ()
    idle_times: int = 0
    idle_goodbye: str = ""
    fallbacks: int = 0  # engines to try after the first
    say_again: str = "Sorry, could you say that again?"
    not_transferred: str = "I am sorry, I could not put you through."
    last_resort_to: str | None = None  # who takes the call when no engine is left
    voicemail: VoicemailPolicy = VoicemailPolicy.TALK
    voicemail_message: str = ""
