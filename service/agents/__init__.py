"""The agents: YAML files that say who answers the phone and how (interface: Agents).

Knows what an agent may say and where its file is wrong; the engines know how to say it.
"""

from service.agents.book import AgentBook, check
from service.agents.model import Agent, Reply, Voice

__all__ = ["Agent", "AgentBook", "Reply", "Voice", "check"]
