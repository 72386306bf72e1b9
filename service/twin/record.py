"""What one call was, as the carrier saw it: every request, message and sound, with its time.

`lines` are the events of a cassette (webhook, stream and rest lanes), in the order they happened.
Signatures and credentials are left out of them; numbers, tokens and speech are not.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from msgspec import Struct, field

from service.core.audio import Encoding
from service.media.g711 import PCMU_SILENCE, decode_pcma, encode_pcmu
from service.twin.playback import Echo, Playback, Span

_BYTES_PER_MS = 8


class Warned(Struct, frozen=True):
    """Something the bridge did that the carrier does not take; `code` is the carrier's."""

    at_ms: int
    code: str
    detail: str


class Remarked(Struct, frozen=True):
    """What the person on the line did: says, presses, gives_up, hangs_up."""

    at_ms: int
    kind: str
    text: str


class Receipt(Struct, frozen=True):
    """What a webhook was answered; `what`: its path or event. `status` 0: nothing, in time."""

    at_ms: int
    what: str
    status: int
    took_ms: int


class StreamRecord(Struct):
    """One media socket of the call. Times are ms since the call began."""

    stream_id: str
    playback: Playback
    started_at_ms: int
    audible: bool = True  # False: what the bridge sends never reaches the person
    echoes: list[Echo] = field(default_factory=list)
    clears_at_ms: list[int] = field(default_factory=list)
    frames_sent: int = 0
    most_queued_ms: float = 0.0  # of the bridge's sound that waited to be played
    ended: str = ""  # hangup, stopped, dropped, redial, closed by the bridge
    close_code: int | None = None

    def heard_pcmu(self, from_byte: int = 0) -> bytes:
        """What the person heard since this stream began."""
        heard = self.playback.heard(from_byte)
        if not self.audible:
            return PCMU_SILENCE * len(heard)
        if self.playback.format.encoding is Encoding.PCMA:
            return encode_pcmu(decode_pcma(heard))
        return heard


class CallRecord:
    """One call, while it happens and afterwards."""

    def __init__(
        self,
        *,
        provider: str,
        call_id: str,
        direction: str,
        to: str,
        from_: str,
        watch: "Watch | None" = None,
        keep_media: bool = True,
    ) -> None:
        self.provider = provider
        self.call_id = call_id  # the carrier's: CallSid, call_control_id
        self.direction = direction  # inbound, outbound: as seen from the bridge
        self.to = to
        self.from_ = from_
        self.lines: list[dict[str, Any]] = []
        self.warnings: list[Warned] = []
        self.remarks: list[Remarked] = []
        self.receipts: list[Receipt] = []
        self.streams: list[StreamRecord] = []
        self.digits_sent: list[str] = []  # by a REST command
        self.status = ""  # how it ended, in the carrier's word
        self.answered_at_ms: int | None = None
        self.ended_at_ms: int | None = None
        self._watch = watch
        self._keep_media = keep_media  # half a megabyte a minute
        self._began_s = asyncio.get_running_loop().time()

    def at_ms(self) -> int:
        """Milliseconds since the call began."""
        return round(self.now_ms())

    def now_ms(self) -> float:
        """The same, not rounded."""
        return (asyncio.get_running_loop().time() - self._began_s) * 1000

    def log(self, lane: str, from_: str, **what: Any) -> None:
        """Write a line: webhook, stream or rest; from carrier or bridge."""
        line = {"at_ms": self.at_ms(), "lane": lane, "from": from_, **what}
        if self._keep_media or not _is_media(line):
            self.lines.append(line)
        self._show(line)

    def warn(self, code: str, detail: str) -> None:
        """Note something that the carrier does not take."""
        self.warnings.append(Warned(self.at_ms(), code, detail))
        self._show(self.warnings[-1])

    def remark(self, kind: str, text: str) -> None:
        """Note what the person on the line does."""
        self.remarks.append(Remarked(self.at_ms(), kind, text))
        self._show(self.remarks[-1])

    def _show(self, what: "dict[str, Any] | Warned | Remarked") -> None:
        if self._watch is not None:
            self._watch(self, what)

    # For those who ask afterwards

    def messages(self, event: str, from_: str = "bridge") -> list[dict[str, Any]]:
        """The media socket's messages of one kind, from `bridge` or `carrier`."""
        found = [
            line["message"]
            for line in self.lines
            if line["lane"] == "stream" and line["from"] == from_ and "message" in line
        ]
        return [m for m in found if isinstance(m, dict) and m.get("event") == event]

    def webhooks(self) -> list[dict[str, Any]]:
        """The requests that the carrier made, in the order it made them."""
        return [
            line["request"]
            for line in self.lines
            if line["lane"] == "webhook" and line["from"] == "carrier"
        ]

    def marks(self) -> list[Echo]:
        """The marks that went back to the bridge."""
        return [echo for stream in self.streams for echo in stream.echoes]

    def spans(self) -> list[Span]:
        """When sound of the bridge was played, in ms since the call began."""
        return [
            Span(stream.started_at_ms + span.start_ms, stream.started_at_ms + span.end_ms)
            for stream in self.streams
            for span in stream.playback.spans()
        ]

    def heard_pcmu(self) -> bytes:
        """What the person heard, from the start of the first stream on; silence between streams."""
        heard = bytearray()
        for stream in self.streams:
            offset = (stream.started_at_ms - self.streams[0].started_at_ms) * _BYTES_PER_MS
            del heard[offset:]  # a stream that was replaced plays no further
            heard += PCMU_SILENCE * (offset - len(heard))
            heard += stream.heard_pcmu()
        return bytes(heard)


def _is_media(line: dict[str, Any]) -> bool:
    message = line.get("message")
    return isinstance(message, dict) and message.get("event") == "media"


Watch = Callable[[CallRecord, dict[str, Any] | Warned | Remarked], None]
"""Is told every line, warning and remark of a call as it happens."""
