"""Fills in the URLs and headers of an agent file, so that no value changes where they lead.

Pure. A value is percent-encoded (RFC 3986), so it stays within its segment or its field; the host
has no placeholder. In a path a value may be neither empty nor made of dots, since either would
name another resource (RFC 3986, 5.2.4), and servers that decode twice are expected.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from service.tools.spec import ToolFailed

URL_LENGTH = 8000
"""What servers take as a rule (RFC 9110, 4.1)."""
DECODINGS_MOST = 3

_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
_PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F))
_SECRET = "secret."  # noqa: S105


def fill_url(template: str, values: Mapping[str, Any]) -> str:
    """The URL. ToolFailed for a value that cannot stand where its placeholder does."""
    head, path, tail = _split(template)
    filled = "/".join(_segment(segment, values) for segment in path.split("/"))
    return _not_too_long(head + filled + _fill(tail, values))


def add_query(url: str, fields: Iterable[tuple[str, str]]) -> str:
    """The URL with these fields behind those that its query has; without its fragment."""
    url = url.partition("#")[0]
    query = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in fields)
    joint = "" if not query or url.endswith(("?", "&")) else "&" if "?" in url else "?"
    return _not_too_long(url + joint + query)


def names_in(template: str) -> set[str]:
    """What stands in braces."""
    return set(_PLACEHOLDER.findall(template))


def fill_headers(
    headers: Mapping[str, str], values: Mapping[str, str], secrets: Mapping[str, str]
) -> dict[str, str]:
    """The headers. ToolFailed "tool.no_secret" when one that they name is not there.

    What of a variable is not printable ASCII is percent-encoded: a value ends no header.
    """

    def value_of(found: re.Match[str]) -> str:
        name = found[1]
        if name.startswith(_SECRET):
            return _secret(name.removeprefix(_SECRET), secrets)
        return quote(values.get(name, ""), safe=_PRINTABLE, errors="replace")

    return {name: _PLACEHOLDER.sub(value_of, text) for name, text in headers.items()}


def as_text(value: Any) -> str:
    """A JSON value as it stands in a URL: text as it is, null as nothing, the rest as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, separators=(",", ":"))


def _split(template: str) -> tuple[str, str, str]:
    """Scheme and host; path; query and fragment."""
    parts = urlsplit(template)
    head = f"{parts.scheme}://{parts.netloc}"
    rest = template[template.index("://") + 3 + len(parts.netloc) :]
    end = min((rest.index(mark) for mark in "?#" if mark in rest), default=len(rest))
    return head, rest[:end], rest[end:]


def _segment(segment: str, values: Mapping[str, Any]) -> str:
    names = _PLACEHOLDER.findall(segment)
    for name in names:
        value = values.get(name)
        if as_text(value) == "" or isinstance(value, list | dict):
            raise ToolFailed("tool.bad_arguments", f"{name} is needed, as text or a number.")
    filled = _fill(segment, values)
    if names and _climbs(filled):
        raise ToolFailed("tool.bad_arguments", f"{names[0]} must not be a path.")
    return filled


def _fill(text: str, values: Mapping[str, Any]) -> str:
    return _PLACEHOLDER.sub(lambda found: _quoted(as_text(values.get(found[1]))), text)


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace")


def _not_too_long(url: str) -> str:
    if len(url) > URL_LENGTH:
        raise ToolFailed("tool.bad_arguments", "The arguments are too long for a URL.")
    return url


def _climbs(segment: str) -> bool:
    """Whether it leads elsewhere, read by a server that decodes it more than once."""
    for _ in range(DECODINGS_MOST):
        segment = unquote(segment)
        if {".", ".."} & set(re.split(r"[/\\;]", segment)):
            return True
    return False


def _secret(name: str, secrets: Mapping[str, str]) -> str:
    secret = secrets.get(name, "")
    if not secret or not secret.isascii() or not secret.isprintable():
        raise ToolFailed("tool.no_secret", "This is not set up: it cannot be used.")
    return secret
