"""The caller's end of a media socket, under suspicion: who was heard when, and marks gone astray.

Stands between the player and the bridge, passes on what either says, and takes down what the
carrier would have played. What a mark's fault holds back it holds back here.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from service.cassettes.cassette import Header
from service.core.audio import PCMA_8K, PCMU_8K, MediaFormat
from service.replay.faults import Fault, Marks, parse
from service.replay.watermark import stretches
from service.twin.playback import Playback
from service.twin.socket import Dial, Socket, SocketGone

AFTER_CLEAR_MS = 100
"""Marks after a clear come back when they mislead most: so long after the next sound is sent."""
_BYTES_PER_MS = 8
_ENCODINGS = {"audio/x-mulaw": PCMU_8K, "PCMU": PCMU_8K, "PCMA": PCMA_8K}


class Started(Struct, frozen=True):
    """A socket's stream has started: from here on sound may be heard."""

    at_ms: float
    socket: int
    audible: bool  # whether its format can be played here


class Sent(Struct, frozen=True):
    """The bridge sent sound of these turns; none: sound of its own."""

    at_ms: float
    socket: int
    turns: tuple[int, ...]


class Cleared(Struct, frozen=True):
    """The bridge had the carrier drop what was not played yet."""

    at_ms: float
    socket: int


class Gone(Struct, frozen=True):
    """The stream is over, or its socket closed."""

    at_ms: float
    socket: int


WireEvent = Started | Sent | Cleared | Gone


class Heard(Struct, frozen=True):
    """The caller heard this much of a turn without a break; None: sound of the bridge's own."""

    at_ms: float
    socket: int
    turn: int | None
    from_ms: int
    length_ms: int


def marks_of(header: Header) -> list[Fault]:
    """The carrier's own way with marks, as a fault."""
    return [*parse(f"marks={header.marks}").faults] if header.marks else []


def heeding(header: Header, dial: Dial) -> Dial:
    """A dial of the cassette's carrier, which returns marks in its own way."""
    own = marks_of(header)
    loop = asyncio.get_running_loop()
    return Ears(dial, own, lambda: loop.time() * 1000).dial if own else dial


class Ears:
    """All sockets of one call. `now_ms`: since it began."""

    def __init__(self, dial: Dial, faults: Sequence[Fault], now_ms: Callable[[], float]) -> None:
        self.events: list[WireEvent] = []
        self._dial = dial
        self._marks = [fault for fault in faults if isinstance(fault, Marks)]
        self._now_ms = now_ms
        self._ears: list[_Ear] = []

    async def dial(self, url: str, headers: Mapping[str, str]) -> Socket:
        """A socket that is listened to."""
        socket = await self._dial(url, headers)
        ear = _Ear(socket, len(self._ears) + 1, self._marks, self.events, self._now_ms)
        self._ears.append(ear)
        return ear

    def heard(self) -> list[Heard]:
        """All that the caller heard, in order of the sockets."""
        return [heard for ear in self._ears for heard in ear.heard()]


class _Ear:
    def __init__(
        self,
        socket: Socket,
        number: int,
        marks: Sequence[Marks],
        events: list[WireEvent],
        now_ms: Callable[[], float],
    ) -> None:
        self._socket = socket
        self._number = number
        self._marks = marks
        self._events = events
        self._now_ms = now_ms
        self._playback: Playback | None = None
        self._origin_ms = 0.0
        self._cleared: set[str] = set()
        self._withheld: list[
            str | bytes
        ] = []  # marks of before a clear, until there is sound again
        self._late: set[asyncio.Task[None]] = set()
        self._gone = False
        self.close_code: int | None = None

    def heard(self) -> list[Heard]:
        if self._playback is None:
            return []
        if not self._gone:
            self._playback.advance(self._now_ms())
        timeline = self._playback.heard()
        found: list[Heard] = []
        for span in self._playback.spans():
            found += self._within(timeline, int(span.start_ms * 8), int(span.end_ms * 8))
        return found

    def _within(self, timeline: bytes, start: int, end: int) -> list[Heard]:
        found: list[Heard] = []
        at = start
        for stretch in stretches(timeline[start:end]):
            begin = start + stretch.at
            found += self._of_nobody(at, begin)
            found.append(self._heard(begin, stretch.turn, stretch.from_ms, stretch.length_ms))
            at = begin + stretch.length_ms * _BYTES_PER_MS
        return found + self._of_nobody(at, end)

    def _of_nobody(self, start: int, end: int) -> list[Heard]:
        length_ms = (end - start) // _BYTES_PER_MS
        return [self._heard(start, None, 0, length_ms)] if length_ms > 1 else []

    def _heard(self, at: int, turn: int | None, from_ms: int, length_ms: int) -> Heard:
        at_ms = self._origin_ms + at / _BYTES_PER_MS
        return Heard(at_ms, self._number, turn, from_ms, length_ms)

    # The socket, as the player has it -----------------------------------------------------------

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        async for message in self._socket:
            self._listen(message)
            yield message
        self.close_code = self._socket.close_code
        self._go()

    async def send(self, message: str | bytes) -> None:
        said = _decoded(message)
        match said.get("event"):
            case "start" if self._playback is None:
                self._begin(said)
            case "stop":
                self._go()
            case "mark" if self._hold_back(said, message):
                return
            case _:
                pass
        await self._socket.send(message)

    async def close(self, code: int = 1000) -> None:
        self._go()
        await self._socket.close(code)

    async def abort(self) -> None:
        self._go()
        await self._socket.abort()

    # What is taken down -------------------------------------------------------------------------

    def _begin(self, start: dict[str, Any]) -> None:
        format_ = _format(start.get("start") or {})
        self._origin_ms = self._now_ms()
        if format_ is not None:
            self._playback = Playback(self._origin_ms, format_)
        self._events.append(Started(self._now_ms(), self._number, format_ is not None))

    def _listen(self, message: str | bytes) -> None:
        said = {} if self._gone else _decoded(message)
        now_ms = self._now_ms()
        match said:
            case {"event": "media", "media": {"payload": str(payload)}}:
                data = base64.b64decode(payload)
                if self._playback is not None:
                    self._playback.queue(data, now_ms)
                turns = tuple(dict.fromkeys(stretch.turn for stretch in stretches(data)))
                self._events.append(Sent(now_ms, self._number, turns))
                while self._withheld:
                    self._send_later(self._withheld.pop(0), AFTER_CLEAR_MS)
            case {"event": "mark", "mark": {"name": str(name)}} if self._playback is not None:
                self._playback.mark(name, now_ms)
            case {"event": "clear"}:
                if self._playback is not None:
                    echoes = self._playback.clear(now_ms)
                    self._cleared |= {echo.name for echo in echoes if echo.cleared}
                self._events.append(Cleared(now_ms, self._number))
            case _:
                pass

    def _go(self) -> None:
        if self._gone:
            return
        self._gone = True
        if self._playback is not None:
            self._playback.advance(self._now_ms())
        self._events.append(Gone(self._now_ms(), self._number))
        for task in self._late:
            task.cancel()

    # Marks that go astray -----------------------------------------------------------------------

    def _hold_back(self, mark: dict[str, Any], message: str | bytes) -> bool:
        """Whether this mark does not go out now."""
        name = (mark.get("mark") or {}).get("name")
        for fault in self._marks:
            if fault.how == "after-clear" and name not in self._cleared:
                continue
            if fault.how == "after-clear":
                self._withheld.append(message)
            elif fault.how == "late":
                self._send_later(message, fault.late_ms)
            return True
        return False

    def _send_later(self, message: str | bytes, late_ms: int) -> None:
        task = asyncio.create_task(self._send_late(message, late_ms), name="replay")
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _send_late(self, message: str | bytes, late_ms: int) -> None:
        await asyncio.sleep(late_ms / 1000)
        try:
            await self._socket.send(message)
        except SocketGone:
            return


def _format(start: dict[str, Any]) -> MediaFormat | None:
    """The format that both ways have; None: of no kind that is played here."""
    told = start.get("mediaFormat") or start.get("media_format") or {}
    rate = told.get("sampleRate", told.get("sample_rate", 8000))
    return _ENCODINGS.get(told.get("encoding", "")) if int(rate) == PCMU_8K.sample_rate_hz else None


def _decoded(message: str | bytes) -> dict[str, Any]:
    try:
        said = msgspec.json.decode(message)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
