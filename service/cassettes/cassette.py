"""Cassettes: one recorded call as JSON Lines, a header and then all that happened, in time order.

Reading is strict: every fault is named with its line, and half a file is never played. Follows
section 8 of the interface; `began_at` and `order` in the header are told in fixtures/README.md.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from service.core.errors import ConfigError

VERSION = 1
LINE_MOST_BYTES = 1024 * 1024
_NEWLINE = b"\n"

Lane = Literal["webhook", "stream", "rest", "engine", "store"]
Side = Literal["carrier", "bridge", "engine"]
JsonObject = dict[str, Any]
Status = Annotated[int, Meta(ge=0, le=999)]  # 0: no answer


class CassetteError(ConfigError):
    """A cassette cannot be used; `detail` names every fault with its line."""


class Header(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What the call was, and who it was for."""

    cassette: int
    provider: Literal["twilio", "telnyx"]
    title: str
    agent: str
    redacted: bool
    began_at: datetime | None = None  # the time of day at 0 ms
    order: JsonObject | None = None  # the body of POST /v1/calls that began an outbound call


class Request(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An HTTP request, without its signature or credentials."""

    method: Literal["GET", "POST"]
    path: str  # with its query
    headers: dict[str, str] = {}
    form: dict[str, str | list[str]] | None = None
    json: JsonObject | None = None


class Response(Struct, frozen=True, forbid_unknown_fields=True):
    """Its answer; `body` is text, or JSON as it is."""

    status: Status
    body: Any


class Open(Struct, frozen=True, forbid_unknown_fields=True):
    """The carrier dials a media socket."""

    path: str


class Refused(Struct, frozen=True, forbid_unknown_fields=True):
    """And is not let in."""

    status: Status


class Close(Struct, frozen=True, forbid_unknown_fields=True):
    """A media socket closes; 1006: it was cut."""

    code: int | None


class Happening(Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of the call's record, or what an engine says."""

    type: str
    data: JsonObject = {}


class Line(
    Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    rename={"from_": "from"},
):
    """One thing that happened: exactly one of the fields after `from` is there."""

    at_ms: Annotated[int, Meta(ge=0)]
    lane: Lane
    from_: Side
    request: Request | None = None
    response: Response | None = None
    open: Open | None = None
    refused: Refused | None = None
    message: JsonObject | None = None
    text: str | None = None  # a message that is not JSON
    binary: str | None = None  # base64
    close: Close | None = None
    event: Happening | None = None

    @property
    def kind(self) -> str:
        """Which of the fields is there."""
        return next(iter(_kinds(self)), "")


class Cassette(Struct, frozen=True):
    """A recorded call."""

    header: Header
    lines: tuple[Line, ...]

    @property
    def length_ms(self) -> int:
        """Until the last thing happened."""
        return self.lines[-1].at_ms if self.lines else 0


_MESSAGES = {"message", "text", "binary", "close"}
_KINDS: dict[tuple[str, str], set[str]] = {
    ("webhook", "carrier"): {"request"},
    ("webhook", "bridge"): {"response"},
    ("stream", "carrier"): _MESSAGES | {"open"},
    ("stream", "bridge"): _MESSAGES | {"refused"},
    ("rest", "bridge"): {"request"},
    ("rest", "carrier"): {"response"},
    ("engine", "engine"): {"event"},
    ("store", "bridge"): {"event"},
}
_WHAT = tuple(Line.__struct_fields__[3:])

_headers = msgspec.json.Decoder(Header)
_lines = msgspec.json.Decoder(Line)
_encoder = msgspec.json.Encoder()


def read(path: Path) -> Cassette:
    """The cassette in a file. CassetteError with all faults; OSError when there is no such file."""
    faults: list[str] = []
    header: Header | None = None
    lines: list[Line] = []
    for number, raw in _raw_lines(path, faults):
        if number == 1:
            header = _header(raw, faults)
            if header is None:
                break  # what follows may be anything
        elif (line := _line(raw, number, faults)) is not None:
            if lines and line.at_ms < lines[-1].at_ms:
                before_ms = lines[-1].at_ms
                faults.append(f"line {number}: at_ms {line.at_ms} is before {before_ms}")
            lines.append(line)
    if header is None and not faults:
        faults.append("line 1: the header is missing, the file is empty")
    elif header is not None and not lines and not faults:
        faults.append("line 2: nothing happens on this call")
    if faults or header is None:
        raise CassetteError("cassette.invalid", "\n".join(faults))
    return Cassette(header, tuple(lines))


def write(path: Path, cassette: Cassette) -> None:
    """Write a cassette."""
    rows: Iterable[Struct] = (cassette.header, *cassette.lines)
    path.write_bytes(b"".join(_encoder.encode(row) + _NEWLINE for row in rows))


def _raw_lines(path: Path, faults: list[str]) -> Iterator[tuple[int, bytes]]:
    number = 0
    with path.open("rb") as file:
        while raw := file.readline(LINE_MOST_BYTES + 1):
            number += 1
            if len(raw) > LINE_MOST_BYTES:
                faults.append(f"line {number}: longer than {LINE_MOST_BYTES} bytes")
                while raw and not raw.endswith(_NEWLINE):
                    raw = file.readline(LINE_MOST_BYTES)
                continue
            if not raw.endswith(_NEWLINE):
                faults.append(f"line {number}: the file ends within it")
            yield number, raw


def _header(raw: bytes, faults: list[str]) -> Header | None:
    try:
        found = msgspec.json.decode(raw)
        version = found.get("cassette") if isinstance(found, dict) else None
        if version != VERSION:
            said = "no version" if version is None else f"version {version}"
            faults.append(f"line 1: {said}; this reads cassettes of version {VERSION}")
            return None
        return _headers.decode(raw)
    except msgspec.DecodeError as error:
        faults.append(f"line 1: {error}")
        return None


def _line(raw: bytes, number: int, faults: list[str]) -> Line | None:
    try:
        line = _lines.decode(raw)
    except msgspec.DecodeError as error:
        faults.append(f"line {number}: {error}")
        return None
    there = _kinds(line)
    allowed = _KINDS.get((line.lane, line.from_))
    if allowed is None:
        faults.append(f"line {number}: nothing in lane {line.lane} is from {line.from_}")
    elif len(there) != 1 or not allowed.issuperset(there):
        one_of = ", ".join(sorted(allowed))
        said = ", ".join(there) or "nothing"
        faults.append(
            f"line {number}: {line.lane} from {line.from_} needs one of {one_of}; there is {said}"
        )
    return line


def _kinds(line: Line) -> list[str]:
    return [name for name in _WHAT if getattr(line, name) is not None]
