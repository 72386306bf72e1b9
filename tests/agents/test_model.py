"""What an agent is made of, and what it says of itself."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.agents import Agent, AgentBook
from tests.agents.files import HERE

SHIPPED = Path(__file__).parents[2] / "agents"


def agent(**parts: Any) -> Agent:
    """An agent with these parts."""
    return Agent.model_validate({"name": "a", "engine": "echo"} | parts)


def full() -> Agent:
    return _filed(HERE, "full")


def test_the_smallest_agent_of_an_openai_engine_just_works() -> None:
    smallest = agent(engine="openai-realtime", greeting="Hello.", instructions="Be brief.")
    assert (smallest.realtime.model, smallest.realtime.voice) == ("gpt-realtime", "marin")
    assert (smallest.realtime.url, smallest.realtime.secret) == ("", "")
    assert smallest.pipeline.recognition.how == "stream"
    assert smallest.turn_taking.quick_ms < smallest.turn_taking.end_of_turn_ms
    assert "uh-huh" in smallest.turn_taking.backchannels
    assert (smallest.tools, smallest.mcp, smallest.engines) == ((), (), ("openai-realtime",))


@pytest.mark.parametrize("engine", ["offline", "openai-realtime", "openai-pipeline"])
def test_the_same_file_runs_on_another_engine_by_one_word(tmp_path: Path, engine: str) -> None:
    shipped = (SHIPPED / "receptionist.yaml").read_text("utf-8")
    assert shipped.count("engine: offline") == 1
    changed = shipped.replace("engine: offline", f"engine: {engine}")
    (tmp_path / "x.yaml").write_text(changed, encoding="utf-8")
    book = AgentBook(tmp_path)
    book.load()
    [one] = book
    assert one.engine == engine
    assert one.model_copy(update={"engine": "offline"}) == _filed(SHIPPED, "receptionist")
    assert one.replies
    assert "nine to five" in one.instructions


def _filed(folder: Path, name: str) -> Agent:
    book = AgentBook(folder)
    book.load()
    found = book.get(name)
    assert found is not None
    return found


def test_a_bare_word_is_a_tool_that_needs_nothing_else() -> None:
    tools = agent(tools=["end_call", "send_dtmf", {"kind": "collect_digits"}]).tools
    assert [tool.name for tool in tools] == ["end_call", "send_dtmf", "collect_digits"]
    assert all(tool.description for tool in tools)


def test_nothing_of_an_agent_can_be_changed() -> None:
    with pytest.raises(ValidationError):
        full().realtime.voice = "cedar"


def test_text_is_filled_from_the_call_and_else_from_the_file() -> None:
    greeting = agent(greeting="Hi {name}", variables={"name": "there"})
    assert greeting.fill(greeting.greeting, {}) == "Hi there"
    assert greeting.fill(greeting.greeting, {"name": "Ana"}) == "Hi Ana"


def test_braces_that_hold_no_name_stay_as_they_are() -> None:
    text = 'Answer like {"say": "{name}"}, {} or {Name}.'
    filled = 'Answer like {"say": "Ana"}, {} or {Name}.'
    assert agent().fill(text, {"name": "Ana", "Name": "x", "": "x"}) == filled


def test_what_was_filled_in_is_not_filled_in_again() -> None:
    assert agent().fill("{a}", {"a": "{b}", "b": "secret"}) == "{b}"


def test_every_sentence_that_may_be_needed_at_once_is_known_once() -> None:
    assert full().kept_sentences() == (
        "I am sorry. Goodbye.",
        "One moment, please.",
        "I am looking.",
        "One moment {name}, I put you through.",
        "Let me look that up.",
    )
    same = agent(filler={"says": ["Wait."]}, last_resort={"says": "Wait."})
    assert same.kept_sentences() == ("Wait.",)
