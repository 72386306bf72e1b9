"""`callbridge conform`, against a small bridge on a real port."""

import asyncio
import json
import wave
from pathlib import Path
from xml.etree import ElementTree

import pytest

from service.cli import carrier, conform
from service.media.g711 import decode_pcmu
from tests.conformance.small_bridge import TWILIO_SID, TWILIO_TOKEN, SmallBridge, speech
from tests.twin.serving import listen, serving

_CHECKS = ["an_unsigned_webhook_is_refused", "an_oversize_webhook_is_refused"]


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in carrier.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", TWILIO_SID)


def _said(folder: Path) -> str:
    path = folder / "speech.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(decode_pcmu(speech()))
    return str(path)


async def _conform(sin: str, folder: Path, *more: str) -> int:
    listener, base = listen()
    async with serving(SmallBridge(sin).app, listener):
        arguments = ["twilio", "--url", base, "--port", "0", "--webhook-path", "/voice"]
        arguments += ["--auth-token", TWILIO_TOKEN, "--say", _said(folder), "--only", *_CHECKS]
        return await asyncio.to_thread(conform.main, [*arguments, *more])


async def test_a_good_bridge_is_exit_code_0_and_its_results_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await _conform("", tmp_path) == 0
    printed = capsys.readouterr()
    assert "ok      MUST   an unsigned webhook is refused" in printed.out
    assert "2 checks: 2 passed" in printed.err
    assert "TWILIO_API_BASE=http://127.0.0.1:" in printed.err
    assert TWILIO_TOKEN not in printed.out + printed.err


async def test_a_broken_must_is_exit_code_1_with_what_was_expected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    junit = tmp_path / "results.xml"
    assert await _conform("takes_unsigned", tmp_path, "--json", "--junit", str(junit)) == 1
    results = {r["name"]: r for r in map(json.loads, capsys.readouterr().out.splitlines())}
    broken = results["an_unsigned_webhook_is_refused"]
    assert (broken["verdict"], broken["level"]) == ("failed", "must")
    assert broken["expected"] == "4xx for a webhook without a signature"
    assert broken["came"] == "HTTP 200"
    assert "Webhooks security" in broken["source"]
    [suite] = ElementTree.fromstring(junit.read_bytes())
    assert (suite.get("name"), suite.get("failures")) == ("callbridge conform twilio", "1")


async def test_a_broken_should_is_told_and_exit_code_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await _conform("takes_megabytes", tmp_path) == 0
    assert "FAILED  SHOULD an oversize webhook is refused" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["twilio", "telnyx"])
def test_all_checks_can_be_listed_with_their_sources(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert conform.main([name, "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 35
    assert all(line.startswith(("MUST", "SHOULD")) and line.endswith(")") for line in lines)


@pytest.mark.parametrize(
    "arguments",
    [["vonage"], ["twilio", "--only", "nothing"], ["twilio", "--order-header", "x"]],
)
def test_called_wrongly_is_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        conform.main(arguments)
    assert exit_.value.code == 2
