"""What an agent's file and a call's order say about how this conversation is to be held."""

from datetime import timedelta

from service.agents import Agent
from service.bridge.shared import Shared
from service.core.calls import Call, Direction
from service.core.manners import Manners
from service.core.patience import Waits
from service.core.voicemail import VoicemailPolicy


def known_variables(call: Call) -> dict[str, str]:
    """What an agent may name in its texts, before anything is looked up."""
    inbound = call.direction is Direction.INBOUND
    caller, called = (call.from_, call.to) if inbound else (call.to, call.from_)
    return call.variables | {"caller": caller, "called": called, "call_id": call.call_id}


def manners(
    call: Call, agent: Agent, shared: Shared, variables: dict[str, str], *, fallbacks: int
) -> Manners:
    """Of this call; what it has lasted elsewhere counts."""

    def filled(text: str) -> str:
        return agent.fill(text, variables)

    return Manners(
        greeting="" if agent.lookups else filled(agent.greeting),  # else once they are known
        interruptible=agent.interruptible,
        max_duration_ms=_left_ms(call, agent, shared),
        waits=Waits(
            filler_after_ms=agent.filler.after_ms if agent.filler.says else 0,
            idle_after_ms=agent.idle.after_ms,
        ),
        idle_says=tuple(map(filled, agent.idle.says)),
        idle_times=agent.idle.times,
        idle_goodbye=filled(agent.idle.goodbye),
        fallbacks=fallbacks,
        last_resort_to=agent.last_resort.transfer_to,
        voicemail=VoicemailPolicy(agent.voicemail.policy),
        voicemail_message=filled(agent.voicemail.message),
    )


def _left_ms(call: Call, agent: Agent, shared: Shared) -> int:
    asked_ms = (call.max_duration_s or agent.max_duration_s or 0) * 1000
    limit_ms = min(asked_ms or shared.max_call_ms, shared.max_call_ms)
    talked = shared.clock.utc() - (call.answered_at or shared.clock.utc())
    return max(0, limit_ms - talked // timedelta(milliseconds=1))
