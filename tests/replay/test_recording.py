"""Copies of agent files that record every call."""

from pathlib import Path

from service.agents import AgentBook
from service.replay.recording import recording_agents
from tests.replay.fixtures import AGENTS

SAYS_NO = "name: b\nengine: echo\ngreeting: |\n  Hello.\nrecord_cassette: false\nnumbers: []\n"


def test_every_agent_records_and_is_the_same_otherwise(tmp_path: Path) -> None:
    originals, copies = AgentBook(AGENTS), AgentBook(recording_agents(AGENTS, tmp_path / "made"))
    originals.load()
    copies.load()
    assert [agent.model_copy(update={"record_cassette": True}) for agent in originals] == [*copies]


def test_one_that_says_otherwise_records_too(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "b.yml").write_text(SAYS_NO, "utf-8")
    book = AgentBook(recording_agents(tmp_path / "own", tmp_path / "made"))
    book.load()
    assert [(agent.name, agent.record_cassette) for agent in book] == [("b", True)]
