"""What the bridge may do about an event: to the carrier, to the engine, to the call's record."""

from typing import Any

from msgspec import Struct

from service.core.audio import AudioFrame
from service.core.calls import CallEnd
from service.core.events import TurnId

# To the carrier's media socket -----------------------------------------------------------------


class PlayAudio(Struct, frozen=True, gc=False):
    """Queue this sound for the person on the line."""

    frame: AudioFrame
    turn_id: TurnId


class PlaceMark(Struct, frozen=True, gc=False):
    """Ask to be told when everything sent so far has been played."""

    name: str


class ClearAudio(Struct, frozen=True, gc=False):
    """Stop the sound now and drop what is queued, here and at the carrier."""


class PauseAudio(Struct, frozen=True, gc=False):
    """Stop the sound now, and keep what the person has not heard."""


class ResumeAudio(Struct, frozen=True, gc=False):
    """Go on with the sound that was kept, at the sample where it stopped."""


class SendDigits(Struct, frozen=True, gc=False):
    """Press these keys to the line: 0-9 * # A-D, w waits half a second."""

    digits: str


class MarkEnd(Struct, frozen=True, gc=False):
    """All of the turn's sound is queued: place a mark behind it."""

    turn_id: TurnId


class ShowText(Struct, frozen=True, gc=False):
    """Show what a side is saying, where the far end has a screen. `who`: "agent" or "caller"."""

    who: str
    turn_id: TurnId
    text: str


CarrierCommand = PlayAudio | PlaceMark | ClearAudio | SendDigits | ShowText
"""What a wire may have a word for."""


# To the engine ---------------------------------------------------------------------------------


class Hear(Struct, frozen=True, gc=False):
    """Sound from the person on the line."""

    frame: AudioFrame


class TellDigit(Struct, frozen=True, gc=False):
    """The person pressed a key."""

    digit: str


class StartTurn(Struct, frozen=True, gc=False):
    """Say exactly this."""

    text: str


class Interrupt(Struct, frozen=True, gc=False):
    """The person cut this turn off; they heard `heard_ms` of it, in words `heard_text`."""

    turn_id: TurnId
    heard_ms: int
    heard_text: str


class TellAudible(Struct, frozen=True, gc=False):
    """Whether the person hears the agent now: on which what they say is judged."""

    audible: bool


class Instruct(Struct, frozen=True, gc=False):
    """Mind this for the rest of the call, beside the agent's instructions."""

    text: str


EngineCommand = Hear | TellAudible | TellDigit | StartTurn | Instruct | Interrupt


# To the call's record --------------------------------------------------------------------------


class Note(Struct, frozen=True):
    """Write an event into the call's record: `turn.agent`, `fault`, ... with its data."""

    type: str
    data: dict[str, Any]


class Transfer(Struct, frozen=True, gc=False):
    """Hand the call to this number: the conversation is over, the call is not."""

    to: str


class ChangeEngine(Struct, frozen=True, gc=False):
    """The engine cannot go on: let the agent's next one carry the conversation on.

    `unanswered`: what the person said last still waits for an answer.
    """

    unanswered: bool


class PlayFiller(Struct, frozen=True, gc=False):
    """Play this sentence kept ready; an empty text stands for any of the agent's fillers."""

    turn_id: TurnId
    text: str


class Apologise(Struct, frozen=True, gc=False):
    """The engine cannot speak any more: play the sentence kept ready for that."""


class EndCall(Struct, frozen=True):
    """Nothing is left to say: hang up, and this is how the call ended."""

    end: CallEnd


Command = (
    CarrierCommand
    | EngineCommand
    | PauseAudio
    | ResumeAudio
    | MarkEnd
    | Note
    | Transfer
    | ChangeEngine
    | PlayFiller
    | Apologise
    | EndCall
)
