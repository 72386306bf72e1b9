"""Scripts as data."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.standin.script import Script, load, normal
from tests.standin.client import script

WHOLE = """
heard: ["when are you open"]
phrases: ["Where are you?"]
replies:
  - hears: ["When are you open?", "*"]
    says: "From nine to five."
    calls: {name: book, arguments: {day: monday}}
    then: "Done: {result}."
delays: {first_token_ms: 200}
sound: {speed: 0}
mcp: {crm: {tools: [{name: find, result: Ana}]}}
faults: [{at: chat, number: 2, does: status, status: 429, retry_after_s: 2}]
"""


def test_a_script_is_read_from_yaml(tmp_path: Path) -> None:
    path = tmp_path / "script.yaml"
    path.write_text(WHOLE)
    found = load(path)
    [reply] = found.replies
    assert reply.calls[0].arguments == {"day": "monday"}
    assert reply.then is not None
    assert reply.then.says == "Done: {result}."
    assert found.faults[0].retry_after_s == 2
    assert found.known_phrases() == ("where are you", "when are you open")


def test_an_empty_file_is_a_script_that_says_everything_back(tmp_path: Path) -> None:
    path = tmp_path / "script.yaml"
    path.write_text("")
    assert load(path) == Script()


@pytest.mark.parametrize(
    "parts",
    [
        {"herd": []},
        {"replies": [{"says": "x"}]},
        {"replies": [{"hears": "x", "sayss": "x"}]},
        {"faults": [{"at": "moon", "does": "stall"}]},
        {"faults": [{"at": "chat", "does": "sing"}]},
        {"delays": {"first_token_ms": -1}},
        {"sound": {"speed": -1}},
        {"session_s": 0},
    ],
)
def test_what_is_no_script_is_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        script(**parts)


def test_texts_are_compared_without_capitals_and_stops() -> None:
    assert normal("  Hello, it's  ME\u2019s \u2014 5! ") == "hello it's me's 5"
