"""What an agent's file and a call's order say about how this conversation is to be held."""

from datetime import timedelta

from service.agents import Agent
from service.bridge.shared import Shared
from service.core.calls import Call
from service.core.dialog import Manners


def manners(call: Call, agent: Agent, shared: Shared) -> Manners:
    """Of this call; what it has lasted elsewhere counts."""
    asked_ms = (call.max_duration_s or 0) * 1000
    limit_ms = min(asked_ms or shared.max_call_ms, shared.max_call_ms)
    talked = shared.clock.utc() - (call.answered_at or shared.clock.utc())
    return Manners(
        greeting=agent.fill(agent.greeting, call.variables),
        interruptible=agent.interruptible,
        max_duration_ms=max(0, limit_ms - talked // timedelta(milliseconds=1)),
    )
