"""The lines of the bridge as what it did: answers, commands, stretches of sound, entries.

Pure. Whatever is new on every run, and means nothing by itself, is left out or evened out here.
"""

import base64
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import msgspec
from msgspec import Struct

from service.cassettes.cassette import Lane, Line
from service.core.audio import PCMU_8K, SILENCE_BYTE, Encoding, MediaFormat

GAP_MS = 100
"""Sound that comes later than this after the last has been played begins a new stretch."""
UNDERRUN_MS = 10
"""So late, and a carrier has nothing to play; less is lost in its buffer."""

_EVENED = (
    (re.compile(r"(?<=/stream/)[0-9A-Za-z_.-]{16,}"), "{token}"),
    (re.compile(r"\bcall_[0-9A-HJKMNP-TV-Z]{26}\b"), "{call_id}"),
    (re.compile(r"\b(?:http|ws)s?://[^/\s\"'<>]+"), ""),
)
_NEW_EACH_TIME = {
    "command_id",
    "client_state",
    "target_leg_client_state",
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
    name: str | None = None  # to call it by, if not by its label

    @property
    def called(self) -> str:
        """What to call it."""
        return self.name or self.label


def deeds(lines: Iterable[Line], lane: Lane) -> list[Deed]:
    """What the bridge did in one lane, in order; for the stream lane there is `stream_deeds`."""
    ours = (line for line in lines if line.lane == lane and line.from_ == "bridge")
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


class Stretch(Struct, frozen=True):
    """Sound without a pause, as it plays at the other end."""

    at_ms: int
    data: bytes
    length_ms: int

    @property
    def ends_ms(self) -> int:
        """When it has been played."""
        return self.at_ms + self.length_ms


def media_format(lines: Iterable[Line]) -> MediaFormat:
    """What the bridge sends: the format that the carrier declared."""
    for line in lines:
        start = (line.message or {}).get("start")
        if isinstance(start, dict):
            told = start.get("mediaFormat") or start.get("media_format") or {}
            encoding = _ENCODINGS.get(str(told.get("encoding", "")).lower(), Encoding.PCMU)
            rate_hz = told.get("sampleRate") or told.get("sample_rate") or 8000
            return MediaFormat(encoding, int(rate_hz))
    return PCMU_8K


_ENCODINGS = {
    "audio/x-alaw": Encoding.PCMA,
    "audio/x-l16": Encoding.L16,
    "pcma": Encoding.PCMA,
    "l16": Encoding.PCM16,
    "g722": Encoding.G722,
    "opus": Encoding.OPUS,
}


def stream_deeds(lines: Iterable[Line], sound: MediaFormat, *, every_mark: bool) -> list[Deed]:
    """Stretches of sound, clears and all else; of marks each one, or only that there are some."""
    found: list[Deed] = []
    open_: _Open | None = None
    marked: list[Deed] = []
    for line in lines:
        if line.lane != "stream" or line.from_ != "bridge":
            continue
        event = (line.message or {}).get("event")
        if event == "media":
            data = payload(line)
            if open_ is None or line.at_ms > open_.ends_ms + GAP_MS:
                open_ = _Open(line.at_ms, sound)
                found.append(Deed("stream", "sound", line.at_ms, open_))
            open_.add(line.at_ms, data)
        elif event == "mark" and not every_mark:
            marked = marked or [Deed("stream", "marks", line.at_ms, {})]
        else:
            open_ = open_ if event == "mark" else None
            found.append(Deed("stream", event or line.kinds[0], line.at_ms, _other(line)))
    return [*map(_closed, found), *marked]


def _closed(deed: Deed) -> Deed:
    if not isinstance(deed.content, _Open):
        return deed
    return Deed(deed.lane, deed.label, deed.at_ms, deed.content.stretch())


class _Open:
    """A stretch that may go on."""

    def __init__(self, at_ms: int, sound: MediaFormat) -> None:
        self._at_ms = at_ms
        self._format = sound
        self._parts: list[bytes] = []
        self._bytes = 0

    @property
    def ends_ms(self) -> int:
        return self._at_ms + self._format.duration_ms(self._bytes)

    def add(self, at_ms: int, data: bytes) -> None:
        """The next message; the far end is silent when it comes after the last was played."""
        late_ms = at_ms - self.ends_ms
        if late_ms >= UNDERRUN_MS:
            self._append(silence(self._format, late_ms))
        self._append(data)

    def stretch(self) -> Stretch:
        """As far as it went."""
        return Stretch(self._at_ms, b"".join(self._parts), self.ends_ms - self._at_ms)

    def _append(self, data: bytes) -> None:
        self._parts.append(data)
        self._bytes += len(data)


def silence(sound: MediaFormat, length_ms: int) -> bytes:
    """So much of nothing, in this format."""
    per_second = sound.duration_ms(1_000_000) or 1
    size_bytes = 1_000_000 * length_ms // per_second
    return SILENCE_BYTE.get(sound.encoding, b"\x00") * (size_bytes // 2 * 2)


def payload(line: Line) -> bytes:
    """The bytes of a media message; none when there are none to be had."""
    media = (line.message or {}).get("media")
    payload = media.get("payload") if isinstance(media, dict) else None
    try:
        return base64.b64decode(payload or "")
    except (ValueError, TypeError):  # the bridge under test may send anything
        return b""


def _other(line: Line) -> Any:
    if line.refused is not None:
        return {"status": line.refused.status}
    if line.close is not None:
        return {"code": line.close.code}
    if line.message is not None:
        return {key: _even(value) for key, value in line.message.items() if key != "streamSid"}
    return {"length": len(line.text or line.binary or "")}
