"""Every order is what OpenAI's own types allow, and no more than that."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from openai.types.realtime import RealtimeClientEventParam
from pydantic import TypeAdapter

from service.agents import Agent, McpServer
from service.ai.openai_realtime import orders, session
from service.core.audio import PCM16_8K, PCMA_8K, PCMU_8K
from tests.ai.openai_realtime.scene import Box, agent

EVENTS: TypeAdapter[Any] = TypeAdapter(RealtimeClientEventParam)
ORDERS = [
    orders.commit(1),
    orders.clear(),
    orders.answer("turn_1"),
    orders.answer("turn_1", with_tools=False),
    orders.say("turn_1", "Hello."),
    orders.cancel(None),
    orders.cancel("resp_1"),
    orders.truncate("item_1", 700),
    orders.delete("item_1"),
    orders.caller_said("hi", "s_1"),
    orders.agent_said("Hello."),
    orders.mind("Be brief."),
    orders.tool_called("call_1", "look", "{}"),
    orders.tool_told("call_1", "free"),
]
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


def plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [plain(inner) for inner in value]
    return value


def is_allowed(order: Any) -> bool:
    """Whether nothing is lost on the way through OpenAI's own types."""
    return bool(plain(EVENTS.validate_python(order)) == plain(order))


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


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order["type"])
def test_each_order_is_what_the_types_allow(order: Any) -> None:
    assert is_allowed(order)


def test_what_the_types_do_not_allow_is_seen() -> None:
    assert not is_allowed({**orders.clear(), "colour": "red"})


def test_sound_is_sent_as_it_is() -> None:
    assert orders.hear(bytes([0, 255, 7])) == '{"type":"input_audio_buffer.append","audio":"AP8H"}'


def test_a_complaint_about_an_order_can_be_told_by_its_id() -> None:
    assert orders.wish_of(orders.commit(3)["event_id"]) == "commit"
    assert orders.wish_of(None) == ""
    assert orders.is_forgiven("cancel")
    assert not orders.is_forgiven("create_turn_1")


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
