"""What stands in braces: who can fill it in, and where it may not stand."""

from typing import Any

import pytest

from service.agents import Agent
from service.agents.placeholders import misplaced

DATES = {"type": "object", "properties": {"date": {"type": "string"}}}
HTTP = {"kind": "http", "name": "look", "description": "Look.", "parameters": DATES}
LOOKUP = {"url": "https://crm.example/{caller}", "variables": {"first": "/name"}}


def found(given: tuple[str, ...] = (), **parts: Any) -> list[str]:
    agent = Agent.model_validate(
        {"name": "a", "engine": "echo", "variables": {"name": "x"}} | parts
    )
    return [".".join(map(str, place)) for place, _ in misplaced(agent, given)]


@pytest.mark.parametrize("name", ["name", "first", "caller", "called", "call_id", "given"])
def test_variables_built_in_ones_and_those_looked_up_or_given_are_known(name: str) -> None:
    text = f"Hi {{{name}}}."
    assert (
        found(
            ("given",),
            lookups=[LOOKUP],
            greeting=text,
            instructions=text,
            filler={"says": [text]},
            idle={"says": [text], "goodbye": text},
            last_resort={"says": text},
            voicemail={"message": text},
            tools=[{"kind": "end_call", "says": text}],
            mcp=[{"name": "m", "url": "https://m.example", "says": text, "headers": {"X": text}}],
        )
        == []
    )


def test_a_name_that_nobody_knows_is_told_wherever_it_stands() -> None:
    text = "Hi {nmae}."
    assert found(
        greeting=text,
        instructions=text,
        filler={"says": ["Hm.", text]},
        idle={"says": [text], "goodbye": text},
        last_resort={"says": text},
        voicemail={"message": text},
        tools=[{"kind": "end_call", "says": text}],
        mcp=[{"name": "m", "url": "https://m.example", "says": text, "headers": {"X": text}}],
    ) == [
        *("greeting", "filler.says.1", "idle.says.0", "idle.goodbye", "last_resort.says"),
        *("voicemail.message", "tools.0.says", "mcp.0.says", "instructions", "mcp.0.headers.X"),
    ]


@pytest.mark.parametrize(
    ("url", "is_known"),
    [
        ("https://crm.example/{date}?of={name}&by={caller}", True),
        ("https://crm.example/{day}", False),
        ("https://crm.example/{first}", False),
        ("https://crm.example/{secret.CRM}", False),
        ("https://crm.example/{date", False),
        ("https://crm.example/date}", False),
        ("https://crm.example/{}", False),
    ],
)
def test_a_url_names_arguments_and_variables(url: str, is_known: bool) -> None:
    assert found(tools=[HTTP | {"url": url}]) == ([] if is_known else ["tools.0.url"])


def test_a_lookup_may_use_what_those_before_it_found() -> None:
    second = {"url": "https://crm.example/{first}", "variables": {"second": "/x"}}
    assert found(lookups=[LOOKUP, second]) == []
    assert found(lookups=[second, LOOKUP]) == ["lookups.0.url"]


def test_the_address_of_a_server_of_tools_is_the_same_for_every_call() -> None:
    assert found(mcp=[{"name": "m", "url": "https://m.example/{name}"}]) == ["mcp.0.url"]


@pytest.mark.parametrize(
    ("value", "is_known"),
    [
        ("Bearer {secret.CRM_2}", True),
        ("{name}", True),
        ("{secret.crm}", False),
        ("{secret.}", False),
        ("{secret.CRM.x}", False),
        ("{date}", False),
    ],
)
def test_secrets_stand_in_headers_and_arguments_do_not(value: str, is_known: bool) -> None:
    tool = HTTP | {"url": "https://crm.example", "headers": {"X": value}}
    assert found(tools=[tool]) == ([] if is_known else ["tools.0.headers.X"])


def test_no_secret_stands_in_what_is_said_or_told_to_a_model() -> None:
    text = "The key is {secret.CRM}."
    assert found(greeting=text, instructions=text) == ["greeting", "instructions"]


def test_instructions_may_show_json() -> None:
    assert found(instructions='Answer {"say": {"text": "x"}} or {} or {Name}') == []
