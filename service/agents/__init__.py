"""The agents: YAML files that say who answers the phone and how (interface: Agents).

Knows what an agent may say and where its file is wrong; the engines know how to say it.
"""

from service.agents.book import AgentBook, check
from service.agents.model import Agent, Heard, Reply, Voice

__all__ = ["Agent", "AgentBook", "Heard", "Reply", "Voice", "check"]
