"""`callbridge cassette`: what a person reads of a recorded call, and what may be shown of it."""

from pathlib import Path

import pytest

from service.__main__ import main
from service.cassettes import files

ROOT = Path(__file__).parents[2]
DTMF = ROOT / "fixtures/twilio/inbound-dtmf.jsonl"


def test_a_call_is_shown_one_line_a_happening_and_its_sound_in_stretches(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["cassette", "show", str(DTMF)]) == 0
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    assert "twilio, agent keypad" in lines[0]
    assert len(lines) < len(files.read(DTMF).lines) / 4, "sound is folded"
    assert [line for line in lines if "sound until" in line]
    assert [line for line in lines if "webhook carrier request POST /twilio/voice" in line]
    assert [line for line in lines if "store   bridge  event dtmf.received" in line]
    assert max(map(len, lines)) < 220


def test_a_cassette_is_redacted_into_another_file(tmp_path: Path) -> None:
    out = tmp_path / "shown.jsonl.zst"
    assert main(["cassette", "redact", str(DTMF), str(out), "--audio", "silence"]) == 0
    before, after = files.read(DTMF), files.read(out)
    assert (after.header.redacted, after.header.audio) == (True, "silenced")
    assert len(after.lines) == len(before.lines)
    said = [line.message for line in after.lines if line.message is not None]
    payloads = {m["media"]["payload"].strip("/=w8") for m in said if m["event"] == "media"}
    assert payloads == {""}, "nothing but PCMU silence"


def test_what_is_no_cassette_is_said_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = tmp_path / "twilio-call.part"
    part.write_bytes(DTMF.read_bytes()[:5000])
    assert main(["cassette", "show", str(part)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "the file ends within it" in shown.err
    assert main(["cassette", "show", str(tmp_path / "none")]) == 1
    assert "No such file" in capsys.readouterr().err
