"""Makes what a server answered into a text that a model can use, and a code for the record.

Pure. Data is told as it is, up to a bound; a page made for eyes is named as one, not read out.
"""

import re
from http import HTTPStatus

import msgspec
from msgspec import Struct

from service.tools.spec import TEXT_BYTES_MOST, ToolResult

BODY_BYTES_MOST = 256 * 1024
TITLE_WITHIN = 16 * 1024
_NO_CONTENT = (204, 205)
_HTML = re.compile(r"\s*(?:<!doctype html|<html)\b", re.IGNORECASE)
_TITLE = re.compile(r"<title>\s*([^<]{1,200})", re.IGNORECASE)
_CHARSET = re.compile(r"charset=\"?([\w.:-]{1,40})", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class Answer(Struct, frozen=True, kw_only=True):
    """What came back. `whole`: the body ended within BODY_BYTES_MOST."""

    status: int
    content_type: str = ""
    body: bytes = b""
    whole: bool = True


def result_of(answer: Answer, *, empty_is_fine: bool) -> ToolResult:
    """The answer for the model. `empty_is_fine`: what was asked for is done without one."""
    text, code = _told(answer)
    if not 200 <= answer.status < 300:
        said = f"The server refused, with status {_status(answer.status)}."
        return ToolResult(bounded(f"{said} {text}".strip()), f"tool.http_{answer.status}")
    if not text and (empty_is_fine or answer.status in _NO_CONTENT):
        return ToolResult("Done. The server answered nothing more.")
    if not text:
        return ToolResult("The server answered nothing.", "tool.empty")
    return ToolResult(bounded(text), code)


def bounded(text: str) -> str:
    """The text up to TEXT_BYTES_MOST, with a note when it was cut."""
    data = text.encode("utf-8", "replace")
    if len(data) <= TEXT_BYTES_MOST:
        return data.decode()
    kept = data[:TEXT_BYTES_MOST].decode("utf-8", "ignore")
    return f"{kept}\n(This is the beginning only: the answer is longer.)"


def json_text(value: object) -> str:
    """JSON without blanks."""
    return msgspec.json.encode(value).decode()


def decoded(answer: Answer) -> str:
    """The body as text, in the charset that it declares if that is known, else UTF-8."""
    declared = _CHARSET.search(answer.content_type)
    try:
        return answer.body.decode(declared[1] if declared else "utf-8", "replace")
    except (LookupError, UnicodeError):
        return answer.body.decode("utf-8", "replace")


def _told(answer: Answer) -> tuple[str, str]:
    """The body in words, and the code if the status is fine."""
    if not answer.body.strip():
        return "", "ok"
    kind = answer.content_type.partition(";")[0].strip().lower()
    if b"\x00" in answer.body[:1024] or kind.partition("/")[0] in ("image", "audio", "video"):
        return f"The answer is no text ({kind or 'of unknown type'}).", "tool.bad_answer"
    text = decoded(answer)
    if kind in ("text/html", "application/xhtml+xml") or _HTML.match(text):
        return _page(text), "tool.html"
    code = "ok" if answer.whole else "tool.too_large"
    if kind == "application/json" or kind.endswith("+json"):
        return _compact(text), code
    return _CONTROL.sub("", text).strip(), code


def _page(text: str) -> str:
    title = _TITLE.search(text[:TITLE_WITHIN])
    called = f', called "{" ".join(title[1].split())}"' if title else ""
    return f"The answer is an HTML page{called}, not data."


def _compact(text: str) -> str:
    """Without blanks and escapes, which cost tokens; as it is when it is not JSON."""
    try:
        return json_text(msgspec.json.decode(text))
    except (ValueError, RecursionError):
        return _CONTROL.sub("", text).strip()


def _status(status: int) -> str:
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)
