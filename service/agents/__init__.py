"""The agents: YAML files that say who answers the phone and how (interface: Agents).

Knows what an agent may say and where its file is wrong; the engines know how to say it.
"""

from service.agents.book import AgentBook, check
from service.agents.model import BUILT_IN, Agent
from service.agents.openai import Pipeline, Realtime
from service.agents.overrides import Overrides
from service.agents.replies import Heard, Reply
from service.agents.schema import agent_schema
from service.agents.tools import (
    CollectDigitsTool,
    EndCallTool,
    HttpTool,
    McpServer,
    SendDtmfTool,
    Tool,
    TransferCallTool,
)
from service.agents.turn_taking import TurnTaking
from service.agents.voice import Voice
from service.agents.web import Lookup
from service.agents.whole import faults_of

__all__ = [
    "BUILT_IN",
    "Agent",
    "AgentBook",
    "CollectDigitsTool",
    "EndCallTool",
    "Heard",
    "HttpTool",
    "Lookup",
    "McpServer",
    "Overrides",
    "Pipeline",
    "Realtime",
    "Reply",
    "SendDtmfTool",
    "Tool",
    "TransferCallTool",
    "TurnTaking",
    "Voice",
    "agent_schema",
    "check",
    "faults_of",
]
