"""From what passes through the service to lines of a cassette.

Signatures, credentials and all other headers are left out here, so that they are nowhere later.
Pure, and called off the event loop.
"""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import parse_qs

import msgspec

from service.cassettes.cassette import (
    Close,
    Happening,
    JsonObject,
    Line,
    Open,
    Refused,
    Request,
    Response,
)

Peer = Literal["carrier", "bridge"]

_HEADERS = ("i-twilio-idempotency-token",)
"""What of a webhook's headers is not a signature and matters to what it means."""


def webhook_line(
    at_ms: int, method: Any, path: str, headers: Mapping[str, str], body: bytes
) -> Line:
    """A verified webhook; `path` with its query, header names in lower case."""
    kept = {name: headers[name] for name in _HEADERS if name in headers}
    form, parsed = _body(body)
    request = Request(method=method, path=path, headers=kept, form=form, json=parsed)
    return Line(at_ms=at_ms, lane="webhook", from_="carrier", request=request)


def reply_line(at_ms: int, status: int, body: bytes) -> Line:
    """What a webhook was answered."""
    response = Response(status, body.decode(errors="replace"))
    return Line(at_ms=at_ms, lane="webhook", from_="bridge", response=response)


def asked_line(at_ms: int, method: Any, path: str, body: bytes) -> Line:
    """Somebody did something to the call by the REST API."""
    _, parsed = _body(body)
    request = Request(method=method, path=path, json=parsed)
    return Line(at_ms=at_ms, lane="api", from_="user", request=request)


def granted_line(at_ms: int, status: int, body: bytes) -> Line:
    """What that was answered."""
    text = body.decode(errors="replace")
    response = Response(status, _json(text) or text)
    return Line(at_ms=at_ms, lane="api", from_="bridge", response=response)


def command_line(at_ms: int, method: Any, path: str, body: bytes) -> Line:
    """A REST command to the carrier."""
    form, parsed = _body(body)
    request = Request(method=method, path=path, form=form, json=parsed)
    return Line(at_ms=at_ms, lane="rest", from_="bridge", request=request)


def answer_line(at_ms: int, status: int, body: bytes) -> Line:
    """What the carrier answered; status 0: nothing, in time."""
    text = body.decode(errors="replace")
    response = Response(status, _json(text) or text)
    return Line(at_ms=at_ms, lane="rest", from_="carrier", response=response)


def open_line(at_ms: int, path: str) -> Line:
    """The carrier dials a media socket."""
    return Line(at_ms=at_ms, lane="stream", from_="carrier", open=Open(path))


def refused_line(at_ms: int, status: int) -> Line:
    """And is not let in."""
    return Line(at_ms=at_ms, lane="stream", from_="bridge", refused=Refused(status))


def message_line(at_ms: int, who: Peer, message: str | bytes) -> Line:
    """A message on the media socket."""
    if isinstance(message, bytes):
        binary = b64encode(message).decode()
        return Line(at_ms=at_ms, lane="stream", from_=who, binary=binary)
    parsed = _json(message)
    if parsed is None:
        return Line(at_ms=at_ms, lane="stream", from_=who, text=message)
    return Line(at_ms=at_ms, lane="stream", from_=who, message=parsed)


def close_line(at_ms: int, who: Peer, code: int | None) -> Line:
    """A media socket closes."""
    return Line(at_ms=at_ms, lane="stream", from_=who, close=Close(code))


def entry_line(at_ms: int, kind: str, data: JsonObject) -> Line:
    """An entry of the call's record."""
    return Line(at_ms=at_ms, lane="store", from_="bridge", event=Happening(kind, data))


def _body(body: bytes) -> tuple[dict[str, str | list[str]] | None, JsonObject | None]:
    """A form, or JSON; neither carrier sends anything else."""
    text = body.decode(errors="replace")
    parsed = _json(text)
    if parsed is not None or not text:
        return None, parsed
    form: dict[str, str | list[str]] = {
        name: values[0] if len(values) == 1 else values
        for name, values in parse_qs(text, keep_blank_values=True).items()
    }
    return form, None


def _json(text: str) -> JsonObject | None:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
