"""What may happen on a live call: told by the carrier's socket, by the engine, or by a person.

Events are facts in the past tense. `commands.py` is what the bridge may do about them.
"""

from typing import NewType

from msgspec import Struct

from service.core.audio import AudioFrame, MediaFormat
from service.core.calls import EndedBy

TurnId = NewType("TurnId", str)


# From the carrier's media socket ---------------------------------------------------------------


class StreamStarted(Struct, frozen=True):
    """The carrier's media stream begins; nothing may be sent before."""

    stream_id: str
    provider_call_id: str
    format: MediaFormat  # of the frames that arrive, as the carrier declared it
    parameters: dict[str, str]
    send_format: MediaFormat | None = None  # of the frames we send, where it differs


class MediaReceived(Struct, frozen=True, gc=False):
    """Sound from the person on the line, in order."""

    frame: AudioFrame
    sequence: int  # the carrier's own number of this frame


class MarkPlayed(Struct, frozen=True, gc=False):
    """The carrier returns a mark: played up to there, or cleared; its name tells which."""

    name: str


class DtmfReceived(Struct, frozen=True, gc=False):
    """A key was pressed: one of 0-9 * # A-D. `channel` is "stream" or "webhook"."""

    digit: str
    channel: str = "stream"


class StreamStopped(Struct, frozen=True, gc=False):
    """The carrier said that the stream is over."""

    cause: str


class StreamLost(Struct, frozen=True, gc=False):
    """The socket closed without the carrier saying so; another one may come."""

    cause: str


class StreamFaulted(Struct, frozen=True, gc=False):
    """The carrier complains about something we sent; the stream goes on."""

    code: str
    detail: str


MediaEvent = (
    StreamStarted
    | MediaReceived
    | MarkPlayed
    | DtmfReceived
    | StreamStopped
    | StreamLost
    | StreamFaulted
)


# From the engine -------------------------------------------------------------------------------


class SpeechSuspected(Struct, frozen=True, gc=False):
    """Something like speech has begun while the agent is heard: perhaps an interruption.

    SpeechStarted or SpeechDismissed follows within the turn-taking's time to decide.
    """

    start_ms: int  # media time of the first voiced frame


class SpeechDismissed(Struct, frozen=True, gc=False):
    """What was suspected was a cough, a noise or an "uh-huh": the agent goes on."""


class SpeechStarted(Struct, frozen=True, gc=False):
    """The person has begun to speak: decided, not merely suspected."""

    start_ms: int  # media time of the first voiced frame


class SpeechStopped(Struct, frozen=True, gc=False):
    """The person's turn is over."""

    end_ms: int  # media time of the end of the last voiced frame


class Transcribed(Struct, frozen=True, gc=False):
    """What the person said, as understood; empty text: speech that was not understood.

    `end_ms`: it is the text of what was said up to this media time; None: of all so far.
    """

    text: str
    final: bool = True
    end_ms: int | None = None


class TurnStarted(Struct, frozen=True, gc=False):
    """The engine begins to answer: its first token is there."""

    turn_id: TurnId


class TurnText(Struct, frozen=True, gc=False):
    """A word or piece of what the turn says; `start_ms` is where in the turn's audio it begins."""

    turn_id: TurnId
    text: str  # with the blank that parts it from the piece before
    start_ms: int


class TurnAudio(Struct, frozen=True, gc=False):
    """Sound of the turn, in order, in the format that `Brief.line` asks for."""

    turn_id: TurnId
    frame: AudioFrame


class TurnEnded(Struct, frozen=True, gc=False):
    """The engine has made all of the turn. It has not been heard yet."""

    turn_id: TurnId


class EndRequested(Struct, frozen=True, gc=False):
    """The engine wants to hang up once everything it made has been heard."""

    cause: str


class DigitsRequested(Struct, frozen=True, gc=False):
    """The engine, or somebody outside, wants these keys pressed to the line."""

    digits: str


class TransferRequested(Struct, frozen=True, gc=False):
    """The call is to be handed to this number once everything said before has been heard."""

    to: str  # E.164
    from_outside: bool = False  # no words of the person's take it back


class FillerRequested(Struct, frozen=True, gc=False):
    """Say this sentence kept ready now, since what the person waits for takes a while."""

    text: str


class ToolCalled(Struct, frozen=True):
    """The engine used one of the agent's tools, and this came of it."""

    name: str
    arguments: str  # JSON as the model wrote it, cut at 2000 characters
    code: str  # "ok", else why it failed, like "tool.timeout"
    took_ms: int


class EngineFailed(Struct, frozen=True, gc=False):
    """The engine cannot go on (`fatal`), or failed at one thing and goes on."""

    code: str
    detail: str
    fatal: bool = True


EngineEvent = (
    SpeechSuspected
    | SpeechDismissed
    | SpeechStarted
    | SpeechStopped
    | Transcribed
    | TurnStarted
    | TurnText
    | TurnAudio
    | TurnEnded
    | EndRequested
    | TransferRequested
    | FillerRequested
    | ToolCalled
    | DigitsRequested
    | EngineFailed
)


# From outside, through the API or another instance ----------------------------------------------


class SayRequested(Struct, frozen=True, gc=False):
    """Somebody wants the agent to say this now."""

    text: str


class InstructionsGiven(Struct, frozen=True, gc=False):
    """Somebody tells the agent what to mind from now on."""

    text: str


class MachineDetected(Struct, frozen=True, gc=False):
    """The carrier tells who picked up: "human", "machine" or "unknown".

    `greeting_over`: the machine's own greeting has ended, so that a message may be left.
    """

    result: str
    greeting_over: bool = False


class GreetingKnown(Struct, frozen=True, gc=False):
    """What had to be looked up for the greeting has been: greet the person with this."""

    text: str


class TransferFailed(Struct, frozen=True, gc=False):
    """The carrier did not take the order to transfer: the person is still on our line."""

    code: str
    detail: str


class HangUpRequested(Struct, frozen=True, gc=False):
    """The call is to end now; `ended_by` is api, limit, carrier or bridge."""

    cause: str
    ended_by: EndedBy


class TakenOver(Struct, frozen=True, gc=False):
    """The carrier's next socket went to another instance, which carries the call on."""


ControlEvent = (
    SayRequested
    | DigitsRequested
    | TransferRequested
    | InstructionsGiven
    | MachineDetected
    | HangUpRequested
    | DtmfReceived
)
"""What is decided on like any other event of the call."""

LiveEvent = MediaEvent | EngineEvent | ControlEvent | GreetingKnown | TransferFailed
