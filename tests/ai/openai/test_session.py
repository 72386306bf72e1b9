"""The agent's file as a session of the Realtime API."""

from typing import Any

from service.agents import Agent, McpServer
from service.ai.openai import session
from service.core.audio import PCM16_8K, PCMA_8K, PCMU_8K
from tests.ai.openai.test_orders import is_allowed
from tests.ai.openai_realtime.scene import Box, agent

ALL = {
    "language": "de",
    "realtime": {
        "turn_detection": "semantic",
        "eagerness": "low",
        "noise_reduction": "far_field",
        "max_output_tokens": 500,
        "speed": 1.2,
    },
}
PLAIN = {"language": "", "realtime": {"noise_reduction": "off", "turn_detection": "server"}}


def updated(known: Agent, box: Box | None = None) -> dict[str, Any]:
    order: Any = session.update(
        known,
        box or Box(),  # type: ignore[arg-type]
        hears=PCMU_8K,
        speaks=PCMU_8K,
        instructions="Be.",
    )
    assert is_allowed(order)
    found: dict[str, Any] = order["session"]
    return found


def test_the_session_is_as_the_agents_file_says() -> None:
    found = updated(agent(**ALL))
    assert found["audio"] == {
        "input": {
            "format": {"type": "audio/pcmu"},
            "transcription": {"model": "gpt-4o-mini-transcribe", "language": "de"},
            "turn_detection": {
                "type": "semantic_vad",
                "eagerness": "low",
                "create_response": False,
                "interrupt_response": False,
            },
            "noise_reduction": {"type": "far_field"},
        },
        "output": {"format": {"type": "audio/pcmu"}, "voice": "marin", "speed": 1.2},
    }
    assert (found["instructions"], found["max_output_tokens"]) == ("Be.", 500)


def test_what_the_file_leaves_open_is_left_open() -> None:
    found = updated(agent(**PLAIN))
    assert "noise_reduction" not in found["audio"]["input"]
    assert "language" not in found["audio"]["input"]["transcription"]
    assert found["max_output_tokens"] == "inf"
    assert updated(agent())["audio"]["input"]["turn_detection"] is None


def test_tools_and_remote_servers_are_offered_to_the_model() -> None:
    box = Box(look=None)  # type: ignore[arg-type]
    box.remote_mcp = (
        McpServer(name="crm", url="https://mcp.example/mcp", allow=("find",), by="openai"),
    )
    assert updated(agent(), box)["tools"] == [
        {
            "type": "function",
            "name": "look",
            "description": "does look",
            "parameters": {"type": "object"},
        },
        {
            "type": "mcp",
            "server_label": "crm",
            "server_url": "https://mcp.example/mcp",
            "require_approval": "never",
            "allowed_tools": ["find"],
        },
    ]


def test_g711_lines_are_talked_to_in_g711_and_all_others_in_pcm() -> None:
    assert session.format_for(PCMU_8K) == PCMU_8K
    assert session.format_for(PCMA_8K) == PCMA_8K
    assert session.format_for(PCM16_8K) == session.PCM_24K
