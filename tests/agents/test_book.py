"""The folder of agent files: chosen from, read again when they change."""

from pathlib import Path

import pytest

from service.agents import Agent, AgentBook, check
from service.core.errors import ConfigError
from tests.agents.files import SMALLEST


def write(folder: Path, **files: str) -> AgentBook:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return AgentBook(folder)


def test_the_smallest_file_is_an_agent(tmp_path: Path) -> None:
    book = write(tmp_path, one=SMALLEST.format(name="one"))
    book.load()
    [agent] = book
    assert (agent.name, agent.interruptible, agent.numbers) == ("one", True, ())


def test_names_and_numbers_belong_to_one_agent(tmp_path: Path) -> None:
    number = "numbers: ['+14155550123']\n"
    one, two = SMALLEST.format(name="a") + number, number + SMALLEST.format(name="a")
    with pytest.raises(ConfigError) as refused:
        write(tmp_path, one=one, two=two).load()
    assert refused.value.detail.splitlines() == [
        f"{tmp_path}/two.yaml:1: numbers[0]: given twice, first in {tmp_path}/one.yaml",
        f"{tmp_path}/two.yaml:2: name: given twice, first in {tmp_path}/one.yaml",
    ]


def test_an_agent_is_chosen_by_name_then_number_then_default_then_file(tmp_path: Path) -> None:
    texts = {name: SMALLEST.format(name=name) for name in ("first", "second")}
    texts["second"] += "numbers: ['+14155550123']\n"
    book = write(tmp_path, **texts)
    book.load()

    def chosen(asked: str | None, dialled: str | None) -> tuple[str, bool]:
        agent, known = book.choose(asked=asked, dialled=dialled)
        return agent.name, known

    assert chosen("second", None) == ("second", True)
    assert chosen(None, "+14155550123") == ("second", True)
    assert chosen(None, "+14155550999") == ("first", True)
    assert chosen("nobody", None) == ("first", False)
    write(tmp_path, zed=SMALLEST.format(name="default"))
    assert book.refresh() == []
    assert chosen(None, None) == ("default", True)


def test_an_unknown_name_gets_the_default_agent_whatever_was_dialled(tmp_path: Path) -> None:
    book = write(
        tmp_path,
        a=SMALLEST.format(name="a"),
        b=SMALLEST.format(name="b") + "numbers: ['+14155550123']\n",
    )
    book.load()
    agent, known = book.choose(asked="nobody", dialled="+14155550123")
    assert (agent.name, known) == ("a", False)


def test_changed_files_are_read_and_broken_ones_leave_the_old_agents(tmp_path: Path) -> None:
    book = write(tmp_path, one=SMALLEST.format(name="one"))
    book.load()
    write(tmp_path, one=SMALLEST.format(name="changed"))
    assert book.refresh() == []
    assert [agent.name for agent in book] == ["changed"]
    write(tmp_path, one="name: [")
    [fault] = book.refresh()
    assert f"{tmp_path}/one.yaml:" in fault
    assert [agent.name for agent in book] == ["changed"]
    assert book.refresh() == []  # told once


def test_a_folder_without_agents_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no agent files"):
        AgentBook(tmp_path / "nowhere").load()


def test_a_changed_file_touches_nobody_who_holds_the_agent_already(tmp_path: Path) -> None:
    book = write(tmp_path, one=SMALLEST.format(name="one"))
    book.load()
    held = book.get("one")
    assert held is not None
    as_it_was = held.model_dump()
    write(tmp_path, one=SMALLEST.format(name="one") + "instructions: Be brief.\n")
    assert book.refresh() == []
    changed = book.get("one")
    assert changed is not None
    assert changed.instructions == "Be brief."
    assert held.model_dump() == as_it_was


def test_engines_that_cannot_be_used_are_named_where_they_stand(tmp_path: Path) -> None:
    text = "name: a\nengine: echo\nfallback:\n  - offline\n  - openai-pipeline\n"
    book = write(tmp_path, a=text)
    book.load()

    def keyless(_agent: Agent, engine: str) -> str | None:
        return "no key" if engine == "openai-pipeline" else None

    assert book.lacking(keyless) == [
        f"{tmp_path}/a.yaml:5: warning: fallback[1]: openai-pipeline cannot be used: no key"
    ]

    def silent(_agent: Agent, engine: str) -> str | None:
        return "no voice" if engine == "echo" else None

    [warning] = check([tmp_path], lacks=silent).warnings
    assert (warning.line, warning.place) == (2, "engine")
