"""`callbridge agents check`: what a writer of agent files reads, and what a script can act on."""

import json
from pathlib import Path

import pytest

from service.__main__ import main

GOOD = "name: one\nengine: echo\ngreeting: Hello.\n"


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of agents, still empty."""
    folder = tmp_path / "agents"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CALLBRIDGE_AGENTS", str(folder))
    return folder


def test_good_files_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "one.yaml").write_text(GOOD)
    assert main(["agents", "check"]) == 0
    assert capsys.readouterr().out == "1 agent file checked, no faults\n"


def test_every_fault_is_told_with_file_and_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "one.yaml").write_text(GOOD + "wings: 2\n")
    (folder / "two.yml").write_text("name: two\nengine: echo\ninterruptible: perhaps\n")
    assert main(["agents", "check"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "one.yaml:4" in shown.err
    assert "two.yml:3" in shown.err
    assert "wings" in shown.err


def test_an_engine_without_its_key_is_a_warning_with_file_and_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "one.yaml").write_text(GOOD)
    (folder / "two.yml").write_text("name: two\ngreeting: Hello.\nengine: openai-realtime\n")
    (folder / "notes.yaxml").write_text("- none of ours\n")
    assert main(["agents", "check"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "2 agent files checked, no faults\n"
    [warning] = shown.err.splitlines()
    assert warning.startswith(f"{folder / 'two.yml'}:3: warning: ")
    assert "openai-realtime" in warning
    assert main(["agents", "check", str(folder / "two.yml")]) == 0
    assert "two.yml:3: warning" in capsys.readouterr().err


def test_a_script_is_told_in_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "one.yaml").write_text(GOOD + "idle: {times: 99}\n")
    (folder / "two.yml").write_text("name: two\ngreeting: Hello.\nengine: openai-realtime\n")
    assert main(["agents", "check", "--json"]) == 1
    shown = capsys.readouterr()
    assert shown.err == ""
    told = json.loads(shown.out)
    assert told["files"] == 2
    assert told["faults"] == [
        {
            "file": str(folder / "one.yaml"),
            "line": 4,
            "place": "idle.times",
            "message": "more than 10",
        }
    ]
    assert [(one["line"], one["place"]) for one in told["warnings"]] == [(3, "engine")]
    (folder / "one.yaml").write_text(GOOD)
    assert main(["agents", "check", "--json"]) == 0


def test_named_files_are_checked_instead_of_the_folder(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.yaml").write_text("- no\n")
    (tmp_path / "mine.yaml").write_text(GOOD)
    assert main(["agents", "check", "mine.yaml"]) == 0


def test_a_file_that_is_not_there_is_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agents", "check", "nowhere.yaml"]) == 1
    assert "nowhere.yaml" in capsys.readouterr().err


def test_a_folder_without_agents_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agents", "check"]) == 1
    assert "CALLBRIDGE_AGENTS" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["mend"], ["check", "--all"]])
def test_called_wrongly(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["agents", *arguments])
    assert left.value.code == 2
