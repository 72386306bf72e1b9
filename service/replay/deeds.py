"""The lines of the bridge as what it did: answers, commands, stretches of sound, entries.

Pure. Whatever is new on every run, and means nothing by itself, is left out or evened out here.
"""

import base64
import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import msgspec
from msgspec import Struct

from service.cassettes.cassette import Lane, Line

GAP_MS = 100
"""Sound that comes later than this after the last has been played begins a new stretch."""
BYTES_PER_MS = 8

_EVENED = (
    (re.compile(r"(?<=/stream/)[0-9A-Za-z_.-]{16,}"), "{token}"),
    (re.compile(r"\bcall_[0-9A-HJKMNP-TV-Z]{26}\b"), "{call_id}"),
    (re.compile(r"\b(?:http|ws)s?://[^/\s\"'<>]+"), ""),
)
_NEW_EACH_TIME = {
    "command_id",
    "client_state",
    "stream_auth_token",
    "turn_id",
    "stream_id",
    "recording_id",
}


class Deed(Struct, frozen=True):
    """One thing that the bridge did; deeds of one label are compared with each other."""

    lane: Lane
    label: str
    at_ms: int
    content: Any


def deeds(lines: Iterable[Line], lane: Lane) -> list[Deed]:
    """What the bridge did in one lane, in order."""
    ours = [line for line in lines if line.lane == lane and line.from_ == "bridge"]
    if lane == "stream":
        return _stream(ours)
    return [deed for line in ours for deed in _deed(line)]


def _deed(line: Line) -> list[Deed]:
    if line.response is not None:
        answer = {"status": line.response.status, "body": _body(line.response.body)}
        return [Deed(line.lane, "answer", line.at_ms, answer)]
    if line.request is not None:
        request = line.request
        # Ids in a path are the carrier's, and the same again.
        label = f"{request.method} {urlsplit(request.path).path}"
        return [Deed(line.lane, label, line.at_ms, _even(request.form or request.json))]
    if line.event is not None:
        return [Deed(line.lane, line.event.type, line.at_ms, _even(line.event.data))]
    return []


def _body(body: Any) -> Any:
    """A document by its structure, whatever it looks like."""
    if not isinstance(body, str):
        return _even(body)
    if body.lstrip().startswith("<"):
        try:
            # It comes from the bridge under test, or from a cassette that its user chose to play.
            return _even(_element(ElementTree.fromstring(body)))  # noqa: S314
        except ElementTree.ParseError:
            return _even(body)
    try:
        return _even(msgspec.json.decode(body))
    except msgspec.DecodeError:
        return _even(body)


def _element(element: ElementTree.Element) -> dict[str, Any]:
    within = [_element(child) for child in element]
    text = (element.text or "").strip()
    return {element.tag: {**element.attrib, **({"text": text} if text else {}), "within": within}}


def _even(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _even(inner) for key, inner in value.items() if not _volatile(key)}
    if isinstance(value, list):
        return [_even(inner) for inner in value]
    if isinstance(value, str):
        for pattern, same in _EVENED:
            value = pattern.sub(same, value)
    return value


def _volatile(key: str) -> bool:
    return key in _NEW_EACH_TIME or key.endswith("_at")


# Streams -----------------------------------------------------------------------------------------


def _stream(lines: Sequence[Line]) -> list[Deed]:
    """Stretches of sound, clears and all else; of marks only that there are some."""
    found: list[Deed] = []
    sound: _Stretch | None = None
    marked = False
    for line in lines:
        event = (line.message or {}).get("event")
        if event == "mark":
            if not marked:
                found.append(Deed("stream", "marks", line.at_ms, {}))
            marked = True
        elif event == "media":
            if sound is None or line.at_ms > sound.ends_ms + GAP_MS:
                sound = _Stretch(line.at_ms, found)
            sound.add(line)
        else:
            sound = None
            found.append(Deed("stream", event or line.kind, line.at_ms, _other(line)))
    return sorted(found, key=lambda deed: deed.label == "marks")


class _Stretch:
    """Sound without a gap: where it began, and how long it plays."""

    def __init__(self, at_ms: int, found: list[Deed]) -> None:
        self._at_ms = at_ms
        self._found = found
        self._slot = len(found)
        self._length_ms = 0
        found.append(self._deed())

    @property
    def ends_ms(self) -> int:
        return self._at_ms + self._length_ms

    def add(self, line: Line) -> None:
        payload = ((line.message or {}).get("media") or {}).get("payload", "")
        self._length_ms += len(base64.b64decode(payload)) // BYTES_PER_MS
        self._found[self._slot] = self._deed()

    def _deed(self) -> Deed:
        return Deed("stream", "sound", self._at_ms, {"sound_ms": self._length_ms})


def _other(line: Line) -> Any:
    if line.refused is not None:
        return {"status": line.refused.status}
    if line.close is not None:
        return {"code": line.close.code}
    if line.message is not None:
        return {key: _even(value) for key, value in line.message.items() if key != "streamSid"}
    return {"length": len(line.text or line.binary or "")}
