"""What one call may have otherwise than its agent's file says.

Servers and secrets are not among it: who may place a call must not learn the operator's keys.
"""

from typing import Any, TypeVar

from service.agents.manners import Filler, Idle, Voicemail
from service.agents.openai import PipelineManners, RealtimeManners
from service.agents.parts import Instructions, Language, MaxDuration, Part, Sentence
from service.agents.turn_taking import TurnTaking
from service.agents.voice import Voice

_Part = TypeVar("_Part", bound=Part)


class Overrides(Part):
    """What this call has otherwise than the agent's file says. What is not given stays as it is
    there, whatever default is shown here.
    """

    greeting: Sentence = ""
    """Said first; {variable} is filled in."""
    instructions: Instructions = ""
    """What the model is told about its task; {variable} is filled in."""
    interruptible: bool = True
    """Whether the greeting may be interrupted."""
    language: Language = "en"
    """What is spoken."""
    max_duration_s: MaxDuration | None = None
    """The call is ended after this; the request's own `max_duration_s` goes before it."""
    voice: Voice = Voice()
    """How the offline engine sounds."""
    realtime: RealtimeManners = RealtimeManners()
    """Settings of the engine `openai-realtime`."""
    pipeline: PipelineManners = PipelineManners()
    """Settings of the engine `openai-pipeline`."""
    turn_taking: TurnTaking = TurnTaking()
    """When a turn is over, and what counts as an interruption."""
    filler: Filler = Filler()
    """What is said when an answer takes long."""
    idle: Idle = Idle()
    """What is said when the caller says nothing."""
    voicemail: Voicemail = Voicemail()
    """What is done when a machine answers."""


def merged(part: _Part, change: Part) -> _Part:
    """The part with what the change says, and else as it was, down to the last mapping."""
    update: dict[str, Any] = {}
    for name in change.model_fields_set:
        old, new = getattr(part, name), getattr(change, name)
        update[name] = merged(old, new) if isinstance(new, Part) else new
    return part.model_copy(update=update)
