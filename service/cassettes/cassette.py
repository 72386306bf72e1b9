"""Cassettes: one recorded call, a header and then all that happened, in time order.

The types alone; `files.py` reads and writes them. Follows section 8 of the interface; the fields of
the header are told in fixtures/README.md.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from service.core.errors import ConfigError

VERSION = 1

Lane = Literal["webhook", "stream", "rest", "api", "engine", "store"]
Side = Literal["carrier", "bridge", "engine", "user"]
"""user: whoever uses the REST API."""
JsonObject = dict[str, Any]
Status = Annotated[int, Meta(ge=0, le=999)]  # 0: no answer
Signature = Literal["good", "missing", "wrong_key", "changed", "other_url", "old"]
"""How a request is signed on replay. No recorder writes others than good ones: they are put in by
hand. changed: after it was signed; other_url: signed for another URL (Twilio); old: signed ten
minutes ago (Telnyx). A way of forging that a carrier's signatures do not have is `wrong_key`."""


MarksReturn = Annotated[str, Meta(pattern=r"^(lost|after-clear|late:\d{1,5}m?s)$")]
"""Never; those that a clear returns while the next sound is playing; or each so much too late."""


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
    marks: MarksReturn | None = None  # how the carrier returned them, if not as they were played
    audio: Literal["kept", "generated", "silenced"] | None = None  # what became of the voices
    incomplete: str | None = None  # why lines are missing; such a recording is never played


class Request(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An HTTP request, without its signature or credentials."""

    method: Literal["GET", "POST"]
    path: str  # with its query
    headers: dict[str, str] = {}
    form: dict[str, str | list[str]] | None = None
    json: JsonObject | None = None
    signature: Signature = "good"


class Response(Struct, frozen=True, forbid_unknown_fields=True):
    """Its answer; `body` is text, or JSON as it is."""

    status: Status
    body: Any


class Open(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The carrier dials a media socket: the one it was given last, or a path of its own."""

    path: str
    signature: Signature = "good"


class Refused(Struct, frozen=True, forbid_unknown_fields=True):
    """And is not let in."""

    status: Status


class Close(Struct, frozen=True, forbid_unknown_fields=True):
    """A media socket closes; 1006: it was cut."""

    code: int | None


class Happening(Struct, frozen=True, forbid_unknown_fields=True):
    """An entry of the call's record, what an engine says, or what it is told."""

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
    def kinds(self) -> list[str]:
        """Which of the fields are there; one in a line that is well."""
        return [name for name in _WHAT if getattr(self, name) is not None]


class Cassette(Struct, frozen=True):
    """A recorded call."""

    header: Header
    lines: tuple[Line, ...]

    @property
    def length_ms(self) -> int:
        """Until the last thing happened."""
        return self.lines[-1].at_ms if self.lines else 0


_WHAT = tuple(Line.__struct_fields__[3:])

_encoder = msgspec.json.Encoder()


def encode(row: Header | Line) -> bytes:
    """A header or a line as a cassette's file has it, its newline included."""
    return _encoder.encode(row) + b"\n"
