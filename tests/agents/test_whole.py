"""What is wrong with an agent whose parts are all sound."""

from typing import Any

import pytest

from service.agents import Agent, faults_of

HTTP = {"kind": "http", "name": "look", "description": "Look.", "url": "https://crm.example"}
MCP = {"name": "crm", "url": "https://mcp.example"}


def found(**parts: Any) -> list[tuple[tuple[str | int, ...], str]]:
    return [*faults_of(Agent.model_validate({"name": "a", "engine": "echo"} | parts))]


@pytest.mark.parametrize(
    ("parts", "place"),
    [
        ({"engine": "openai-realtime"}, ("greeting",)),
        ({"engine": "offline", "greeting": "Hi.", "fallback": ["offline"]}, ("fallback", 0)),
        ({"fallback": ["offline", "openai-pipeline", "offline"]}, ("fallback", 2)),
        ({"turn_taking": {"quick_ms": 701}}, ("turn_taking", "quick_ms")),
        ({"turn_taking": {"patient_ms": 500}}, ("turn_taking", "patient_ms")),
        ({"voicemail": {"policy": "leave_message"}}, ("voicemail", "message")),
        ({"variables": {"caller": "x"}}, ("variables", "caller")),
        (
            {"lookups": [{"url": "http://a", "variables": {"call_id": "/x"}}]},
            ("lookups", 0, "variables", "call_id"),
        ),
        ({"tools": ["end_call", {"kind": "end_call"}]}, ("tools", 1)),
        ({"tools": [HTTP, HTTP]}, ("tools", 1)),
        ({"tools": [HTTP | {"name": "end_call"}, "end_call"]}, ("tools", 1)),
        ({"mcp": [MCP, MCP]}, ("mcp", 1)),
        ({"tools": [HTTP | {"parameters": {"type": "array"}}]}, ("tools", 0, "parameters", "type")),
        ({"greeting": "Hi {nobody}."}, ("greeting",)),
    ],
)
def test_what_does_not_go_together_is_told_with_its_place(
    parts: dict[str, Any], place: tuple[str | int, ...]
) -> None:
    [(where, message)] = found(**parts)
    assert where == place
    assert message


@pytest.mark.parametrize("engine", ["echo", "loopback"])
def test_engines_that_only_repeat_need_no_greeting(engine: str) -> None:
    assert found(engine=engine) == []


def test_a_default_gives_way_to_what_is_written() -> None:
    assert found(turn_taking={"end_of_turn_ms": 300}) == []
    assert found(turn_taking={"end_of_turn_ms": 3000}) == []


def test_the_message_that_a_call_leaves_makes_its_policy_whole() -> None:
    assert found(voicemail={"policy": "leave_message", "message": "Hi."}) == []
