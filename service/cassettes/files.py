"""Cassettes in files: JSON Lines, `.jsonl` as it is or `.jsonl.zst` compressed.

Reading is strict: every fault of a file is named with its line, in one go, and half a file is
never played. A file is read in pieces and within stated bounds, however small it was packed.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
import zstandard

from service.cassettes.cassette import VERSION, Cassette, CassetteError, Header, Line, encode
from service.cassettes.checks import Checks

SUFFIXES = (".jsonl", ".jsonl.zst")
LINE_MOST_BYTES = 1024 * 1024
FILE_MOST_BYTES = 256 * 1024 * 1024
"""Unpacked: more than an hour of a call, both ways."""
FAULTS_MOST = 1000

_NEWLINE = b"\n"
_PIECE_BYTES = 64 * 1024
_PACKED_PIECE_BYTES = 512  # a block of 128 KiB may be packed in four bytes: at most 16 MiB at once
_WINDOW_MOST_BYTES = 8 * 1024 * 1024  # all that zstd asks for below --ultra and --long

_headers = msgspec.json.Decoder(Header)
_lines = msgspec.json.Decoder(Line)


def read(path: Path) -> Cassette:
    """The cassette in a file. CassetteError with all faults; OSError when there is no such file."""
    faults: list[str] = []
    header: Header | None = None
    lines: list[Line] = []
    checks: Checks | None = None
    for number, raw in _raw_lines(_pieces(path, faults), faults):
        if len(faults) >= FAULTS_MOST:
            faults.append(f"line {number}: more faults than {FAULTS_MOST}, reading ends here")
            break
        if checks is None:
            header = _header(raw, faults)
            if header is None:
                break  # what follows may be anything
            checks = Checks(header)
        elif (line := _line(raw, number, faults)) is None:
            checks.miss()
        else:
            faults += (f"line {number}: {fault}" for fault in checks.see(line))
            lines.append(line)
    if header is None and not faults:
        faults.append("line 1: the header is missing, the file is empty")
    elif header is not None and not lines and not faults:
        faults.append("line 2: nothing happens on this call")
    if faults or header is None:
        raise CassetteError("cassette.invalid", "\n".join(faults))
    return Cassette(header, tuple(lines))


def write(path: Path, cassette: Cassette) -> None:
    """Write a cassette, compressed when the name ends in .zst."""
    text = encode(cassette.header) + b"".join(map(encode, cassette.lines))
    if path.suffix == ".zst":
        text = zstandard.ZstdCompressor(write_checksum=True).compress(text)
    path.write_bytes(text)


def _header(raw: bytes, faults: list[str]) -> Header | None:
    try:
        found = msgspec.json.decode(raw)
        version = found.get("cassette") if isinstance(found, dict) else None
        if version != VERSION:
            said = "no version" if version is None else f"version {version}"
            faults.append(f"line 1: {said}; this reads cassettes of version {VERSION}")
            return None
        header = _headers.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        faults.append(f"line 1: {error}")
        return None
    if header.incomplete is not None:
        faults.append(f"line 1: the recording is incomplete: {header.incomplete}")
    return header


def _line(raw: bytes, number: int, faults: list[str]) -> Line | None:
    try:
        return _lines.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        faults.append(f"line {number}: {error}")
        return None


# Bytes -------------------------------------------------------------------------------------------


def _raw_lines(pieces: Iterable[bytes], faults: list[str]) -> Iterator[tuple[int, bytes]]:
    """Each line with its number, save those that are too long to be one."""
    number = 1
    rest = b""
    too_long = False
    read_bytes = 0
    for piece in pieces:
        read_bytes += len(piece)
        if read_bytes > FILE_MOST_BYTES:
            faults.append(f"line {number}: the file unpacks to more than {FILE_MOST_BYTES} bytes")
            return
        *whole, rest = (rest + piece).split(_NEWLINE)
        for line in whole:
            if too_long or len(line) > LINE_MOST_BYTES:
                faults.append(f"line {number}: longer than {LINE_MOST_BYTES} bytes")
            else:
                yield number, line
            number, too_long = number + 1, False
        if len(rest) > LINE_MOST_BYTES:
            rest, too_long = b"", True
    if rest or too_long:
        faults.append(f"line {number}: the file ends within it")


def _pieces(path: Path, faults: list[str]) -> Iterator[bytes]:
    if path.suffix == ".zst":
        yield from _unpacked(path, faults)
        return
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def _unpacked(path: Path, faults: list[str]) -> Iterator[bytes]:
    unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW_MOST_BYTES)
    frame = unpacker.decompressobj()
    lines = 1
    with path.open("rb") as file:
        packed = file.read(_PACKED_PIECE_BYTES)
        while packed:
            if frame.eof:  # a recording may be packed in several frames, one after the other
                frame = unpacker.decompressobj()
            try:
                piece = frame.decompress(packed)
            except zstandard.ZstdError as error:
                faults.append(f"line {lines}: cannot be unpacked: {error}")
                return
            lines += piece.count(_NEWLINE)
            yield piece
            packed = frame.unused_data if frame.eof else b""
            packed = packed or file.read(_PACKED_PIECE_BYTES)
    if not frame.eof:
        faults.append(f"line {lines}: the file ends within its compressed frame")
