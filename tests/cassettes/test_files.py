"""Reading is strict: each fault with its line, all in one run, packed or not."""

from pathlib import Path

import pytest
import zstandard

from service.cassettes import files
from service.cassettes.cassette import CassetteError
from tests.replay.fixtures import CASSETTES

HEADER = '{"cassette":1,"provider":"twilio","title":"t","agent":"a","redacted":true}'
PRESS = '{"at_ms":5,"lane":"stream","from":"carrier","open":{"path":"/twilio/stream/x"}}'


def faults(folder: Path, *lines: str, end: str = "\n") -> list[str]:
    path = folder / "a.jsonl"
    path.write_text("\n".join(lines) + end, "utf-8")
    with pytest.raises(CassetteError) as caught:
        files.read(path)
    return caught.value.detail.splitlines()


@pytest.mark.parametrize("path", CASSETTES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_what_is_read_is_written_again_byte_for_byte(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.jsonl"
    files.write(copy, files.read(path))
    assert copy.read_bytes() == path.read_bytes()


def test_a_header_and_one_line_are_a_cassette(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f"{HEADER}\n{PRESS}\n", "utf-8")
    read = files.read(path)
    assert read.header.agent == "a"
    assert [line.kinds[0] for line in read.lines] == ["open"]
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
    long = PRESS.replace("x", "x" * files.LINE_MOST_BYTES)
    found = faults(tmp_path, HEADER, long, "{not json")
    assert found[0] == f"line 2: longer than {files.LINE_MOST_BYTES} bytes"
    assert found[1].startswith("line 3: ")


# Packed ------------------------------------------------------------------------------------------

STORY = f"{HEADER}\n{PRESS}\n".encode()


def packed_faults(folder: Path, packed: bytes) -> list[str]:
    path = folder / "a.jsonl.zst"
    path.write_bytes(packed)
    with pytest.raises(CassetteError) as caught:
        files.read(path)
    return caught.value.detail.splitlines()


def test_a_packed_cassette_is_the_same_cassette_and_smaller(tmp_path: Path) -> None:
    whole = files.read(CASSETTES[0])
    packed = tmp_path / "a.jsonl.zst"
    files.write(packed, whole)
    assert files.read(packed) == whole
    assert packed.stat().st_size < CASSETTES[0].stat().st_size * 0.75


def test_a_recording_may_be_packed_in_several_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.zst"
    pack = zstandard.ZstdCompressor().compress
    path.write_bytes(pack(STORY[:40]) + pack(STORY[40:]))
    assert len(files.read(path).lines) == 1


@pytest.mark.parametrize("cut", [1, 5, 200])
def test_a_packed_file_that_was_cut_off_is_refused(tmp_path: Path, cut: int) -> None:
    packed = zstandard.ZstdCompressor(write_checksum=True).compress(CASSETTES[0].read_bytes())
    found = packed_faults(tmp_path, packed[:-cut])
    assert "the file ends within its compressed frame" in {f.partition(": ")[2] for f in found}


def test_a_packed_file_that_was_damaged_or_is_none_is_refused(tmp_path: Path) -> None:
    packed = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(STORY * 50))
    packed[len(packed) // 2] ^= 0xFF
    assert any("cannot be unpacked" in fault for fault in packed_faults(tmp_path, bytes(packed)))
    [fault] = packed_faults(tmp_path, STORY)[:1]
    assert fault.startswith("line 1: cannot be unpacked")


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "FILE_MOST_BYTES", 20 * 1024 * 1024)
    bomb = zstandard.ZstdCompressor().compress(STORY + bytes(200 * 1024 * 1024))
    assert len(bomb) < 20_000
    found = packed_faults(tmp_path, bomb)
    assert f"line 3: the file unpacks to more than {20 * 1024 * 1024} bytes" in found


def test_a_window_that_asks_for_much_memory_is_refused(tmp_path: Path) -> None:
    asks = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=asks).compressobj()
    [fault] = packed_faults(tmp_path, packer.compress(STORY * 9) + packer.flush())[:1]
    assert "too much memory" in fault


def test_a_file_that_is_nothing_but_faults_is_not_read_to_its_end(tmp_path: Path) -> None:
    found = faults(tmp_path, HEADER, *["{"] * 5000)
    assert len(found) == files.FAULTS_MOST + 1
    assert "more faults" in found[-1]


def test_a_recording_that_is_incomplete_is_refused_with_its_reason(tmp_path: Path) -> None:
    header = HEADER.replace("}", ',"incomplete":"the disk was full"}')
    found = faults(tmp_path, header, PRESS)
    assert found == ["line 1: the recording is incomplete: the disk was full"]
