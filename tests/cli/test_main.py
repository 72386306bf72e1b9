"""`callbridge` itself: which commands there are, and what it answers when called wrongly."""

import subprocess
import sys

import pytest

from service.__main__ import COMMANDS, main


@pytest.mark.parametrize("arguments", [[], ["sing"], ["--to", "serve"], ["SERVE"], [""]])
def test_no_or_an_unknown_command_is_called_wrongly(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "usage: callbridge" in shown.err


@pytest.mark.parametrize("word", ["-h", "--help", "help"])
def test_help_names_every_command(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert f"usage: callbridge {command}" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_option_is_called_wrongly(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main([command, "--no-such-option"])
    assert left.value.code == 2
    assert f"usage: callbridge {command}" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "code"), [(["help"], 0), (["sing"], 2)])
def test_the_exit_code_reaches_the_shell(arguments: list[str], code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service", *arguments], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == code
