"""`callbridge standin`, as a process of its own."""

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from service.cli import standin as cli

PATIENCE_S = 60


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("replies: 5", "replies"),
        ("herd: [a]", "herd"),
        ("[", "flow"),
        ("faults: [{at: moon}]", "at"),
    ],
)
def test_a_script_that_is_none_is_told_with_its_fault(
    text: str, named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "script.yaml"
    script.write_text(text)
    assert cli.main(["--script", str(script), "--port", "0"]) == 1
    assert named in capsys.readouterr().err


def test_a_script_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--script", "nowhere.yaml"]) == 1
    assert "nowhere.yaml" in capsys.readouterr().err


def test_it_serves_its_script_and_prints_what_was_asked_and_never_what_was_said(
    tmp_path: Path,
) -> None:
    script = tmp_path / "script.yaml"
    script.write_text('replies: [{hears: "when are you open", says: "From nine to five."}]')
    command = [sys.executable, "-m", "service", "standin", "--port", "0", "--script", str(script)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            _converse(*_settings(process))
        finally:
            process.send_signal(signal.SIGINT)
            shown, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert shown.splitlines() == ["> chat 1", "> chat 2", "! chat: invalid_type at model"]


def _converse(url: str, key: str) -> None:
    said: Any = [{"role": "user", "content": "When are you open?"}]
    with OpenAI(base_url=url, api_key=key, max_retries=0) as client:
        request = client.chat.completions.create
        whole = request(model="gpt-4.1", messages=said)
        assert whole.choices[0].message.content == "From nine to five."
        with pytest.raises(openai.BadRequestError):
            request(model="gpt-4.1", messages=said, extra_body={"model": 5})


def _settings(process: "subprocess.Popen[str]") -> tuple[str, str]:
    assert process.stderr is not None
    shown = "".join(process.stderr.readline() for _ in range(3))
    url, key = (re.search(rf"{name}=(\S+)", shown) for name in ("BASE_URL", "API_KEY"))
    assert url is not None
    assert key is not None
    return url[1], key[1]
