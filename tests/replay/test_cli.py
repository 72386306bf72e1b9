"""`callbridge replay` as a person or a build calls it."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from service.cassettes.files import read, write
from service.replay.cli import main
from tests.replay.fixtures import AGENTS, BUSY, INTERRUPTS

AGENT = ["--agents", str(AGENTS)]


def copy_with(path: Path, before: str, after: str, folder: Path) -> Path:
    text = path.read_text("utf-8")
    assert before in text
    changed = folder / path.name
    changed.write_text(text.replace(before, after), "utf-8")
    return changed


def test_the_same_is_one_line_and_exit_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(BUSY), *AGENT]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{BUSY}: same (0.8 s played in ")


def test_a_difference_is_exit_code_1_shown_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = copy_with(BUSY, '"outcome":"busy"', '"outcome":"completed"', tmp_path)
    out = tmp_path / "out"
    assert main([str(changed), str(BUSY), "--out", str(out), *AGENT]) == 1
    shown = capsys.readouterr().out
    assert "differs in 1 place" in shown
    assert "wrong: call.ended.outcome" in shown
    assert f"{BUSY}: same" in shown
    [text, page] = sorted(out.iterdir())
    assert text.name == f"telnyx-{BUSY.stem}.diff.txt"
    assert text.read_text("utf-8").strip() in shown
    assert page.name == f"telnyx-{BUSY.stem}.html"
    assert "wrong: call.ended.outcome" in page.read_text("utf-8")


def test_a_machine_reads_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = '"turn_id":"caller-1","text":"where are you"'
    changed = copy_with(INTERRUPTS, before, before.replace("where", "who"), tmp_path)
    assert main([str(changed), "--json", *AGENT]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["same"] is False
    assert {d["what"] for d in told["differences"]} == {"turn.user.text"}
    assert {d["expected"] for d in told["differences"]} == {"who are you"}
    assert "service/core/dialog.py" in told["differences"][0]["rule"]


def test_nothing_is_played_when_one_cassette_has_faults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = copy_with(BUSY, '"lane":"store"', '"lane":"shop"', tmp_path)
    assert main([str(BUSY), str(broken), str(tmp_path / "none.jsonl"), "a.txt", *AGENT]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    faults = err.splitlines()
    assert all("shop" in fault for fault in faults[:-2])
    assert "No such file" in faults[-2]
    assert "expected a .jsonl or .jsonl.zst file" in faults[-1]


def test_a_build_gets_a_report_of_every_call_and_a_case_for_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = copy_with(BUSY, '"outcome":"busy"', '"outcome":"completed"', tmp_path)
    packed = tmp_path / "packed.jsonl.zst"
    write(packed, read(BUSY))
    html, junit = tmp_path / "html", tmp_path / "build" / "junit.xml"
    arguments = [str(changed), str(packed), "--html", str(html), "--junit", str(junit), *AGENT]
    assert main(arguments) == 1
    assert "packed.jsonl.zst: same" in capsys.readouterr().out
    names = [file.name for file in sorted(html.iterdir())]
    assert names == [f"telnyx-{BUSY.stem}.html", "telnyx-packed.html"]
    [failed, fine] = ElementTree.parse(junit).iter("testcase")
    assert failed.get("name") == BUSY.stem
    assert "wrong: call.ended.outcome" in (failed[0].text or "")
    assert (fine.get("name"), len(fine)) == ("packed", 0)


def test_a_build_is_told_of_a_cassette_that_cannot_be_read(tmp_path: Path) -> None:
    broken = copy_with(BUSY, '"lane":"store"', '"lane":"shop"', tmp_path)
    junit = tmp_path / "junit.xml"
    assert main([str(broken), "--junit", str(junit), *AGENT]) == 2
    [case] = ElementTree.parse(junit).iter("testcase")
    assert case[0].tag == "error"
    assert "shop" in (case[0].text or "")


def test_a_tolerance_can_be_narrowed_from_outside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = '"lane":"webhook","from":"bridge"'
    changed = copy_with(BUSY, '{"at_ms":800,' + last, '{"at_ms":890,' + last, tmp_path)
    assert main([str(changed), *AGENT]) == 0
    assert main([str(changed), "--tolerance", "webhook=20", *AGENT]) == 1
    assert "early: answer to POST /telnyx/webhook, by 90 ms" in capsys.readouterr().out
    assert main([str(changed), "--exact", *AGENT]) == 1


def test_an_agent_folder_that_is_not_there_is_said_plainly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(BUSY), "--agents", str(tmp_path / "none")]) == 1
    assert "none" in capsys.readouterr().err


def test_a_service_that_is_not_there_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([str(BUSY), "--url", "http://127.0.0.1:9"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("callbridge: no service at http://127.0.0.1:9")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        [str(BUSY), "--speed", "2"],
        [str(BUSY), "--url", "nowhere"],
        [str(BUSY), "--url", "http://127.0.0.1:9", "--speed", "max"],
        [str(BUSY), "--tolerance", "video=5"],
        [str(BUSY), "--tolerance", "stream=-5"],
        [str(BUSY), "--exact", "--tolerance", "stream=5"],
    ],
)
def test_called_wrongly_is_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
