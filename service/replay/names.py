"""What the bridge called things when a call was recorded, and what it calls them now.

A call's id, its stream's token and the `client_state` made of the id are new on each run, and the
carrier repeats them: whatever a cassette's carrier says has to be put into today's names.
"""

import html
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

import msgspec

from service.cassettes.cassette import Cassette, Line

_NAMES = {
    "call": re.compile(r"\bcall_[0-9A-HJKMNP-TV-Z]{26}\b"),
    "token": re.compile(r"(?<=/stream/)[0-9A-Za-z_.-]{16,}"),
    "state": re.compile(r'(?<="client_state":")[^"]+'),
    "transfer": re.compile(r'(?<="target_leg_client_state":")[^"]+'),
}
_CARRIERS_NAME = re.compile(r"\bCA[0-9a-f]{32}\b|\bv3:[0-9A-Za-z_-]{16,}")
_PREFIX = 3  # of "v3:", and of a SID as good as any
_STREAM_URL = re.compile(r"""wss?://[^\s"'<>]+/stream(?:/[0-9A-Za-z_.-]+)?""")


def names_in(text: str) -> dict[str, str]:
    """The first of each kind of name in a text."""
    found = ((kind, pattern.search(text)) for kind, pattern in _NAMES.items())
    return {kind: match[0] for kind, match in found if match is not None}


def as_text(value: Any) -> str:
    """A value as JSON, or a text as it is."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def with_new_ids(cassette: Cassette, random_hex: Callable[[int], str]) -> Cassette:
    """The same call under another name of the carrier's: a running service knows it not yet."""
    text = msgspec.json.encode(cassette.lines).decode()
    for call_id in sorted(set(_CARRIERS_NAME.findall(text))):
        digits = len(call_id) - _PREFIX
        text = text.replace(call_id, call_id[:_PREFIX] + random_hex(digits)[:digits])
    return Cassette(cassette.header, msgspec.json.decode(text, type=tuple[Line, ...]))


def _stream_urls(text: str) -> list[str]:
    return _STREAM_URL.findall(html.unescape(text))


class Names:
    """One call's names, recorded and current."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self.current: dict[str, str] = {}
        self.stream_url = ""  # the last that the bridge gave to the carrier
        self._recorded: dict[str, str] = {}
        self._given: set[str] = set()  # paths of stream URLs that the bridge gave out then
        for line in lines:
            if line.from_ == "bridge" and line.message is None:
                text = as_text(line)
                self._recorded = names_in(text) | self._recorded
                self._given.update(urlsplit(found).path for found in _stream_urls(text))

    def learn(self, said: Any) -> None:
        """The bridge has said this."""
        text = as_text(said)
        self.current = names_in(text) | self.current
        for url in _stream_urls(text):
            self.stream_url = url

    def is_given(self, path: str) -> bool:
        """Whether the bridge of then gave this path of a stream to the carrier."""
        return path in self._given

    def translate(self, text: str) -> str:
        """What was recorded, as JSON, in today's names as far as they are known."""
        pairs = [
            (name, self.current[kind])
            for kind, name in self._recorded.items()
            if self.current.get(kind, name) != name
        ]
        for before, now in sorted(pairs, key=lambda pair: -len(pair[0])):  # one is in the other
            text = text.replace(before, now)
        return text
