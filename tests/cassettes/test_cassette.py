"""Reading is strict: each fault with its line, all in one run."""

from pathlib import Path

import pytest

from service.cassettes import cassette
from service.cassettes.cassette import CassetteError
from tests.replay.fixtures import CASSETTES

HEADER = '{"cassette":1,"provider":"twilio","title":"t","agent":"a","redacted":true}'
PRESS = '{"at_ms":5,"lane":"stream","from":"carrier","message":{"event":"dtmf"}}'


def faults(folder: Path, *lines: str, end: str = "\n") -> list[str]:
    path = folder / "a.jsonl"
    path.write_text("\n".join(lines) + end, "utf-8")
    with pytest.raises(CassetteError) as caught:
        cassette.read(path)
    return caught.value.detail.splitlines()


@pytest.mark.parametrize("path", CASSETTES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_is_read_is_written_again_byte_for_byte(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.jsonl"
    cassette.write(copy, cassette.read(path))
    assert copy.read_bytes() == path.read_bytes()


def test_a_header_and_one_line_are_a_cassette(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f"{HEADER}\n{PRESS}\n", "utf-8")
    read = cassette.read(path)
    assert read.header.agent == "a"
    assert [line.kind for line in read.lines] == ["message"]
    assert read.length_ms == 5


def test_every_fault_is_named_with_its_line_in_one_run(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        HEADER,
        PRESS,
        "{not json",
        '{"at_ms":"7","lane":"stream","from":"carrier","message":{}}',
        '{"at_ms":4,"lane":"stream","from":"carrier","message":{}}',
        '{"at_ms":8,"lane":"stream","from":"carrier","mesage":{}}',
        '{"at_ms":8,"lane":"video","from":"carrier","message":{}}',
        '{"at_ms":8,"lane":"store","from":"carrier","event":{"type":"x"}}',
        '{"at_ms":8,"lane":"webhook","from":"carrier"}',
        '{"at_ms":8,"lane":"stream","from":"bridge","message":{},"close":{"code":1}}',
        '{"at_ms":-1,"lane":"stream","from":"carrier","message":{}}',
    )
    assert [fault.partition(":")[0] for fault in found] == [f"line {n}" for n in range(3, 12)]
    assert "at_ms" in found[1]
    assert "4 is before 5" in found[2]
    assert "mesage" in found[3]
    assert "nothing in lane store is from carrier" in found[5]
    assert "needs one of request; there is nothing" in found[6]
    assert "there is message, close" in found[7]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (HEADER.replace('"cassette":1', '"cassette":2'), "version 2; this reads"),
        (HEADER.replace('"cassette":1,', ""), "no version"),
        (HEADER.replace('"agent"', '"agnet"'), "agnet"),
        (HEADER.replace("twilio", "acme"), "acme"),
        ("[]", "no version"),
        ("", "JSON"),
    ],
)
def test_a_header_that_cannot_be_used_is_refused_alone(
    header: str, said: str, tmp_path: Path
) -> None:
    [fault] = faults(tmp_path, header, "{not json")
    assert fault.startswith("line 1: ")
    assert said in fault or said == "JSON"


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    assert faults(tmp_path, HEADER, PRESS[:30], end="")[0] == "line 2: the file ends within it"
    assert faults(tmp_path, HEADER) == ["line 2: nothing happens on this call"]
    assert faults(tmp_path, end="") == ["line 1: the header is missing, the file is empty"]


def test_a_line_that_is_too_long_is_not_read_into_memory_and_the_rest_is_checked(
    tmp_path: Path,
) -> None:
    long = PRESS.replace("dtmf", "x" * cassette.LINE_MOST_BYTES)
    found = faults(tmp_path, HEADER, long, "{not json")
    assert found[0] == f"line 2: longer than {cassette.LINE_MOST_BYTES} bytes"
    assert found[1].startswith("line 3: ")
