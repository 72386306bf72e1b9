"""The JSON Schema of agent files says what the validation says."""

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from service.agents import Agent, agent_schema
from service.agents.book import agent_files
from service.agents.lines import Faults, content_of, read_yaml
from tests.agents.files import HERE

ROOT = Path(__file__).parents[2]
FILES = [file for folder in (ROOT / "agents", HERE) for file in agent_files(folder)]
LOOK = {"kind": "http", "name": "look", "description": "Look.", "url": "https://a.example"}
CRM = {"name": "crm", "url": "https://a.example"}


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    return Draft202012Validator(agent_schema())


def test_it_is_a_schema_of_draft_2020_12_with_an_id() -> None:
    written = agent_schema()
    Draft202012Validator.check_schema(written)
    assert written["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert written["$id"] == "urn:callbridge:agent"


def test_every_key_is_described() -> None:
    written = agent_schema()
    shapes = [written, *written["$defs"].values()]
    keys = [(name, key) for shape in shapes for name, key in shape.get("properties", {}).items()]
    assert len(keys) > 80
    assert [name for name, key in keys if not {"description", "$ref"} & set(key)] == []
    assert [shape for shape in shapes if shape and not shape.get("description")] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_agent_file_of_ours_is_valid(path: Path, schema: Draft202012Validator) -> None:
    faults = Faults(path)
    assert [
        error.message for error in schema.iter_errors(read_yaml(content_of(path), faults))
    ] == []
    assert not faults


@pytest.mark.parametrize(
    "parts",
    [
        {"nmae": "x"},
        {"name": ""},
        {"name": "a b"},
        {"engine": "ofline"},
        {"fallback": ["echo"]},
        {"fallback": "offline"},
        {"numbers": ["911"]},
        {"language": "EN"},
        {"interruptible": "yes"},
        {"instructions": "x" * 20_001},
        {"max_duration_s": 0},
        {"variables": {"Name": "x"}},
        {"variables": {"name": 5}},
        {"slots": {"Day": ["x"]}},
        {"replies": [{"hears": ["x"]}]},
        {"replies": [{"says": " ", "key": "1"}]},
        {"replies": [{"says": "x", "key": "55"}]},
        {"replies": [{"says": "x", "key": 55}]},
        {"voice": {"pitch": 100}},
        {"voice": None},
        {"realtime": {"speed": 9}},
        {"realtime": {"url": "ftp://a.example"}},
        {"realtime": {"url": "https://a.example/v1?x"}},
        {"realtime": {"secret": "crm"}},
        {"realtime": {"model": "a b"}},
        {"pipeline": {"model": {"temperature": 3}}},
        {"pipeline": {"recognition": {"how": "guess"}}},
        {"turn_taking": {"quick_ms": 5}},
        {"turn_taking": {"backchannels": [""]}},
        {"tools": ["hang_up"]},
        {"tools": ["transfer_call"]},
        {"tools": ["http"]},
        {"tools": [{}]},
        {"tools": [{"kind": "transfer_call", "to": {}}]},
        {"tools": [{"kind": "transfer_call", "to": {"?": "+14155550100"}}]},
        {"tools": [LOOK | {"url": "https://{host}/"}]},
        {"tools": [LOOK | {"url": "https://me@a.example"}]},
        {"tools": [LOOK | {"method": "get"}]},
        {"tools": [LOOK | {"headers": {"X Y": "x"}}]},
        {"tools": [LOOK | {"headers": {"X": "a\r\nb"}}]},
        {"tools": [LOOK | {"parameters": []}]},
        {"tools": [LOOK | {"timeout_s": 0}]},
        {"tools": ["end_call"] * 33},
        {"mcp": [CRM | {"by": "us"}]},
        {"mcp": [{"name": "crm"}]},
        {"lookups": [{"url": "https://a.example", "variables": {}}]},
        {"lookups": [{"url": "https://a.example", "variables": {"x": "y"}}]},
        {"filler": {"says": "x"}},
        {"idle": {"times": -1}},
        {"last_resort": {"transfer_to": "911"}},
        {"voicemail": {"policy": "beep"}},
    ],
)
def test_what_the_validation_refuses_is_refused(
    parts: dict[str, Any], schema: Draft202012Validator
) -> None:
    whole = {"name": "a", "engine": "echo"} | parts
    with pytest.raises(ValidationError):
        Agent.model_validate(whole)
    assert [*schema.iter_errors(whole)] != []


def test_what_must_be_there_is_missed(schema: Draft202012Validator) -> None:
    assert len([*schema.iter_errors({})]) == 2
