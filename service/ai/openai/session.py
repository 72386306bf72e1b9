"""What a session is to be like: the agent's file as the Realtime API's own words. Pure."""

from collections.abc import Sequence
from typing import Any, cast

from openai.types.realtime import RealtimeSessionCreateRequestParam

from service.agents import Agent, McpServer
from service.ai.openai.orders import Order
from service.core.audio import PCMA_8K, PCMU_8K, Encoding, MediaFormat
from service.tools import Toolbox, ToolSpec

PCM_24K = MediaFormat(Encoding.PCM16, 24_000)

FORMATS: dict[MediaFormat, dict[str, Any]] = {
    PCMU_8K: {"type": "audio/pcmu"},
    PCMA_8K: {"type": "audio/pcma"},
    PCM_24K: {"type": "audio/pcm", "rate": 24_000},
}
_PADDING_MS = 300
"""Sound that the server keeps from before the first voice: words begin softly."""


def format_for(line: MediaFormat) -> MediaFormat:
    """What to talk to the server in: as the line does, where the server knows that."""
    return line if line in FORMATS else PCM_24K


def update(
    agent: Agent, toolbox: Toolbox, *, hears: MediaFormat, speaks: MediaFormat, instructions: str
) -> Order:
    """The whole session; formats are of `format_for`."""
    realtime = agent.realtime
    session: dict[str, Any] = {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": instructions,
        "audio": {
            "input": _input(agent, hears),
            "output": {
                "format": FORMATS[speaks],
                "voice": realtime.voice,
                "speed": realtime.speed,
            },
        },
        "tools": _tools(toolbox),
        "tool_choice": "auto",
        "max_output_tokens": realtime.max_output_tokens or "inf",
    }
    return _update(session)


def offer(toolbox: Toolbox) -> Order:
    """The tools there are by now; all else stays."""
    return _update({"type": "realtime", "tools": _tools(toolbox)})


def _update(session: dict[str, Any]) -> Order:
    typed = cast("RealtimeSessionCreateRequestParam", session)
    return {"type": "session.update", "event_id": "update", "session": typed}


def _tools(toolbox: Toolbox) -> list[dict[str, Any]]:
    return [*_functions(toolbox.specs), *_remote(toolbox.remote_mcp)]


def _input(agent: Agent, hears: MediaFormat) -> dict[str, Any]:
    realtime = agent.realtime
    transcription = {"model": realtime.transcription_model}
    if agent.language:
        transcription["language"] = agent.language
    found: dict[str, Any] = {
        "format": FORMATS[hears],
        "transcription": transcription,
        "turn_detection": _turn_detection(agent),
    }
    if realtime.noise_reduction != "off":
        found["noise_reduction"] = {"type": realtime.noise_reduction}
    return found


def _turn_detection(agent: Agent) -> dict[str, Any] | None:
    ours = {"create_response": False, "interrupt_response": False}
    match agent.realtime.turn_detection:
        case "ours":
            return None
        case "server":
            return {
                "type": "server_vad",
                "silence_duration_ms": agent.turn_taking.end_of_turn_ms,
                "prefix_padding_ms": _PADDING_MS,
                **ours,
            }
        case "semantic":
            return {"type": "semantic_vad", "eagerness": agent.realtime.eagerness, **ours}


def _functions(specs: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    return [
        {
            "type": "function",
            "name": spec.name,
            "description": spec.description,
            "parameters": spec.parameters,
        }
        for spec in specs
    ]


def _remote(servers: Sequence[McpServer]) -> list[dict[str, Any]]:
    """A caller cannot be asked to approve, so nothing is: `allow` says what may be used."""
    found: list[dict[str, Any]] = []
    for server in servers:
        tool: dict[str, Any] = {
            "type": "mcp",
            "server_label": server.name,
            "server_url": server.url,
            "require_approval": "never",
        }
        if server.allow:
            tool["allowed_tools"] = [*server.allow]
        if server.headers:
            tool["headers"] = {**server.headers}
        found.append(tool)
    return found
