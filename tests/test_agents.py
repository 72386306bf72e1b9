"""Agent files: what they may say, and every fault of them with its line."""

import os
from pathlib import Path

import pytest

from service.agents import Agent, AgentBook, check
from service.core.errors import ConfigError

SMALLEST = "name: {name}\nengine: echo\ngreeting: Hello.\n"
SCRIPT = "name: a\nengine: offline\ngreeting: Hello.\nreplies:\n"


def write(folder: Path, **files: str) -> AgentBook:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return AgentBook(folder)


def faults(folder: Path, text: str | bytes) -> list[str]:
    path = folder / "x.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return [str(fault).removeprefix(f"{path}:") for fault in check([path]).faults]


def test_the_agents_that_ship_have_no_faults() -> None:
    assert check([Path(__file__).parents[1] / "agents"]).faults == []


def test_the_smallest_file_is_an_agent(tmp_path: Path) -> None:
    book = write(tmp_path, one=SMALLEST.format(name="one"))
    book.load()
    [agent] = book
    assert (agent.name, agent.interruptible, agent.numbers) == ("one", True, ())


def test_every_fault_of_every_file_is_told_in_one_run_with_its_line(tmp_path: Path) -> None:
    one = "name: one\nengine: ofline\ngreeting: Hi.\ncolour: red\n"
    two = SCRIPT + "  - hears: [hello]\n    says: ''\n  - hears: [bye]\n    sayz: Bye.\n"
    book = write(tmp_path, one=one, two=two)
    with pytest.raises(ConfigError) as refused:
        book.load()
    places = [line.split(": ")[0:2] for line in refused.value.detail.splitlines()]
    assert places == [
        [f"{tmp_path}/one.yaml:2", "engine"],
        [f"{tmp_path}/one.yaml:4", "colour"],
        [f"{tmp_path}/two.yaml:6", "replies[0].says"],
        [f"{tmp_path}/two.yaml:7", "replies[1].says"],
        [f"{tmp_path}/two.yaml:8", "replies[1].sayz"],
    ]


def test_a_typing_error_hides_no_fault_of_the_script_and_no_name_given_twice(
    tmp_path: Path,
) -> None:
    text = """\
name: one
engine: offline
greetin: Hello.
numbers: ["0415"]
replies:
  - hears: [hello, "on {dya}"]
    says: 5
  - hears: [hello]
    says: "Hi {nmae}."
    when: never
  - hears: ["?!"]
    says: Hi.
"""
    (tmp_path / "two.yaml").write_text(text)
    (tmp_path / "one.yaml").write_text(SMALLEST.format(name="one"))
    found = [str(fault) for fault in check([tmp_path]).faults]
    assert [line.removeprefix(f"{tmp_path}/two.yaml:").split(": ")[:2] for line in found] == [
        ["1", "greeting"],
        ["1", "name"],
        ["3", "greetin"],
        ["4", "numbers[0]"],
        ["6", "replies[0].hears[1]"],
        ["7", "replies[0].says"],
        ["9", "replies[1].says"],
        ["10", "replies[1].when"],
        ["11", "replies[2].hears[0]"],
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name: a\nname: b\n", "2: name: given twice"),
        ("name: a\n  b: [\n", "2: not YAML"),
        ("", "1: the file is empty"),
        (b"name: a\ngreeting: \xff\n", "2: not UTF-8"),
        ("a: &x [1]\nb: *x\n", "1: anchors and aliases"),
        ("name: !!python/object:os.system a\n", "1: not YAML"),
        ("[" * 5000, "1: nested too deeply"),
        ("# " + "x" * 300_000, "1: larger than 256 KiB"),
        ("name: a\nengine: echo\ngreeting: x\nnumbers: [0415]\n", "4: numbers[0]"),
        (SCRIPT + "- says: Hi.\n", "5: replies[0]: needs hears or key"),
        (SCRIPT + "- {hears: [], says: Hi.}\n", "5: replies[0]: needs hears or key"),
        (SCRIPT + "- {key: 55, says: Hi.}\n", "5: replies[0].key: expected one key"),
        ("slots: {day: 5}\n" + SCRIPT + "- {hears: ['{day}'], says: Hi.}\n", "1: slots.day"),
        (SCRIPT + "- {hears: ['?!'], says: Hi.}\n", "5: replies[0].hears[0]: there is no word"),
        (SCRIPT + "- {hears: ['on {dya}'], says: Hi.}\n", "5: replies[0].hears[0]: {dya}"),
        (SCRIPT + "- {hears: [hi], says: 'Hi {nmae}'}\n", "5: replies[0].says: {nmae}"),
        (SCRIPT + "- {hears: [hi], says: Hi., when: never}\n", "5: replies[0].when: no reply"),
        (SCRIPT + "- {hears: [hi, Hi!], says: Hi.}\n- {hears: [HI], says: Ho.}\n", "6: replies[1]"),
        ("voice: {name: klingon-x}\n" + SCRIPT + "  []", "1: voice.name: espeak-ng has no such"),
        ("name: a\nengine: offline\n", "1: greeting: the offline engine needs one"),
    ],
)
def test_a_fault_says_where_it_is(tmp_path: Path, text: str | bytes, fault: str) -> None:
    [found] = faults(tmp_path, text)
    assert found.startswith(fault)


def test_a_word_of_no_dictionary_may_be_spelled_out(tmp_path: Path) -> None:
    script = SCRIPT + "- {hears: [veneerz], says: Hi.}\n"
    assert faults(tmp_path, script) == []
    assert faults(tmp_path, script + "pronounce: {veneerz: V AH N IH R Z}\n") == []
    [fault] = faults(tmp_path, script + "pronounce: {veneerz: vuh neers}\n")
    assert "expected phonemes like" in fault


def test_yes_and_no_are_words(tmp_path: Path) -> None:
    assert faults(tmp_path, SCRIPT + "- {hears: [yes, no, on, off], says: Hi., end: true}\n") == []


def test_phrases_without_bound_are_refused(tmp_path: Path) -> None:
    slots = "slots: {n: [one, two, three, four, five, six, seven, eight, nine, ten]}\n"
    [fault] = faults(tmp_path, slots + SCRIPT + "- {hears: ['{n} {n} {n} {n} {n}'], says: Hi.}\n")
    assert fault.startswith("5: replies: more than")


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


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    os.symlink(tmp_path / "gone", tmp_path / "x.yaml")
    [fault] = check([tmp_path / "x.yaml"]).faults
    assert "cannot be read" in str(fault)


def test_text_is_filled_from_the_call_and_else_from_the_file() -> None:
    agent = Agent.model_validate(
        {"name": "a", "engine": "echo", "greeting": "Hi {name}", "variables": {"name": "there"}}
    )
    assert agent.fill(agent.greeting, {}) == "Hi there"
    assert agent.fill(agent.greeting, {"name": "Ana"}) == "Hi Ana"
