"""What the lines of a cassette have to do with each other: sense, beyond the form of each.

Pure: lines are shown one by one in their order, each answers with what is wrong about it. A fault
is named once, then taken as mended, so that one wrong line does not drag in all that follow. What
a carrier may really do (frames lost, doubled, out of order, a second socket) is no fault.
"""

from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterator

from service.cassettes.cassette import CassetteError, Header, JsonObject, Line
from service.cassettes.engine_lane import decode_engine_command, decode_engine_event

_MESSAGES = {"message", "text", "binary", "close"}
_KINDS: dict[tuple[str, str], set[str]] = {
    ("webhook", "carrier"): {"request"},
    ("webhook", "bridge"): {"response"},
    ("stream", "carrier"): _MESSAGES | {"open"},
    ("stream", "bridge"): _MESSAGES | {"refused"},
    ("rest", "bridge"): {"request"},
    ("rest", "carrier"): {"response"},
    ("api", "user"): {"request"},
    ("api", "bridge"): {"response"},
    ("engine", "engine"): {"event"},
    ("engine", "bridge"): {"event"},
    ("store", "bridge"): {"event"},
}
_STREAM_FIELD = {"twilio": "streamSid", "telnyx": "stream_id"}
_FOREIGN_FIELD = {"twilio": "stream_id", "telnyx": "streamSid"}
_AFTER_START = {"media", "dtmf", "mark", "clear", "stop"}


class Checks:
    """One cassette, as far as it was seen."""

    def __init__(self, header: Header) -> None:
        self._provider = header.provider
        self._at_ms = 0
        self._sure = True  # of what came before: every line so far could be read
        self._asked = {"webhook": 0, "rest": 0, "api": 0}  # and not answered yet
        self._opened = 0  # sockets
        self._closed = {"carrier": 0, "bridge": 0}  # a socket that both close is closed by both
        self._started = self._stopped = False
        self._marks: set[str] = set()
        self._talks = False

    def miss(self) -> None:
        """There was a line that cannot be read: what follows may rest on it."""
        self._sure = False

    def see(self, line: Line) -> Iterator[str]:
        """What is wrong about the next line."""
        if line.at_ms < self._at_ms:
            yield f"at_ms {line.at_ms} is before {self._at_ms}"
        self._at_ms = max(self._at_ms, line.at_ms)
        kinds = line.kinds
        allowed = _KINDS.get((line.lane, line.from_))
        if allowed is None:
            self._sure = False
            yield f"nothing in lane {line.lane} is from {line.from_}"
        elif len(kinds) != 1 or kinds[0] not in allowed:
            self._sure = False
            one_of, there = ", ".join(sorted(allowed)), ", ".join(kinds) or "nothing"
            yield f"{line.lane} from {line.from_} needs one of {one_of}; there is {there}"
        elif line.lane == "stream":
            yield from self._stream(line)
        elif line.lane == "engine":
            yield from self._engine(line)
        elif line.lane != "store":
            yield from self._exchange(line)

    def _exchange(self, line: Line) -> Iterator[str]:
        request = line.request
        if request is None:
            if not self._asked[line.lane] and self._sure:
                yield f"{line.lane} response without a request before it"
            self._asked[line.lane] = max(0, self._asked[line.lane] - 1)
            return
        self._asked[line.lane] += 1
        if request.form is not None and request.json is not None:
            yield "a request has a form or json, not both"
        if line.lane == "api" and not request.path.startswith("/v1/calls/"):
            yield f"what is done to a call does not go to {request.path.partition('?')[0]}"
        if line.lane == "webhook" and not request.path.startswith(f"/{self._provider}/"):
            yield f"a webhook of {self._provider} does not go to {request.path.partition('?')[0]}"

    def _stream(self, line: Line) -> Iterator[str]:
        if line.open is not None:
            self._opened += 1
            self._started = self._stopped = False
            if not line.open.path.startswith(f"/{self._provider}/"):
                yield f"a socket of {self._provider} does not go to {line.open.path}"
            return
        if not self._opened and self._sure:
            yield f"{line.kinds[0]} before any socket is open"
            self._opened, self._started = 1, True
        if line.refused is not None:
            self._closed = dict.fromkeys(self._closed, self._opened)
        elif line.close is not None:
            self._closed[line.from_] += 1
        else:
            if self._is_closed_to(line.from_) and self._sure:
                yield f"{line.kinds[0]} after the socket was closed"
                self._closed = dict.fromkeys(self._closed, self._opened - 1)
            if line.message is not None:
                yield from self._message(line, line.message)
            elif line.binary is not None and not _is_base64(line.binary):
                yield "binary is not base64"

    def _is_closed_to(self, side: str) -> bool:
        """What a carrier sends may cross the bridge's close; the bridge knows of either."""
        closed = self._closed["carrier"]
        return self._opened <= (closed if side == "carrier" else max(self._closed.values()))

    def _message(self, line: Line, message: JsonObject) -> Iterator[str]:
        event = message.get("event")
        if _FOREIGN_FIELD[self._provider] in message:
            wrong, right = _FOREIGN_FIELD[self._provider], _STREAM_FIELD[self._provider]
            yield f"a message of {self._provider} has no {wrong} but {right}"
        if event == "start":
            # Telnyx may say it anew.
            if self._started and self._sure and self._provider == "twilio":
                yield "a second start on one socket"
            self._started = True
        elif event in _AFTER_START:
            if not self._started and self._sure:
                yield f"{event} before the stream's start"
                self._started = True
            if event == "media":
                yield from self._media(line, message)
            elif event == "mark":
                yield from self._mark(line, message)
            elif event == "stop" and line.from_ == "carrier":
                self._stopped = True

    def _media(self, line: Line, message: JsonObject) -> Iterator[str]:
        if self._stopped and line.from_ == "carrier":
            yield "media after the stream's stop"
        media = message.get("media")
        payload = media.get("payload") if isinstance(media, dict) else None
        if not isinstance(payload, str):
            yield "media without a payload"
        elif not _is_base64(payload):
            yield "media.payload is not base64"

    def _mark(self, line: Line, message: JsonObject) -> Iterator[str]:
        mark = message.get("mark")
        name = mark.get("name") if isinstance(mark, dict) else None
        if not isinstance(name, str):
            yield "mark without a name"
        elif line.from_ == "bridge":
            self._marks.add(name)
        elif name not in self._marks and self._sure:
            yield f"mark {name!r} returned but never sent"

    def _engine(self, line: Line) -> Iterator[str]:
        event = line.event
        if event is None:
            return
        if line.from_ == "bridge" and event.type in ("open", "close"):
            if event.type == "close" and not self._talks and self._sure:
                yield "close of a talk that was never opened"
            self._talks = event.type == "open"
            return
        if not self._talks and self._sure:
            yield f"engine {event.type} outside of a talk"
            self._talks = True
        decode = decode_engine_command if line.from_ == "bridge" else decode_engine_event
        try:
            decode(event)
        except CassetteError as error:
            yield error.detail


def _is_base64(text: str) -> bool:
    try:
        a2b_base64(text, strict_mode=True)
    except (Base64Error, ValueError):
        return False
    return True
