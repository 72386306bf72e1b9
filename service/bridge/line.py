"""One socket of a live call: what comes in as events, what is due goes out as messages.

A line does not decide anything. It converts sound only where the engine's format is not the
line's, and it knows when its peer has died without saying so.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from providers.base import Wire
from service.bridge.link import NORMAL, Link
from service.bridge.pacer import Pacer
from service.clock import Clock
from service.core.audio import AudioFrame, MediaFormat
from service.core.commands import CarrierCommand, PlayAudio
from service.core.errors import ProtocolError
from service.core.events import MediaEvent, MediaReceived, StreamStarted, StreamStopped
from service.media.convert import Converter

MEDIA_SILENCE_MS = 30_000
"""Carriers send frames also in silence; none for so long means that the network has died."""

WRITE_TIMEOUT_MS = 5000
"""A peer that does not read for so long is gone."""

CLOSE_TIMEOUT_S = 1.0

Transform = Callable[[AudioFrame], AudioFrame]
Take = Callable[[MediaEvent], None]
Complain = Callable[[ProtocolError], None]


class Line:
    """A socket whose stream has started. `hears` and `speaks` are the engine's formats.

    `from_ms`: media time so far; each socket counts from 0, the call does not.
    """

    def __init__(
        self,
        link: Link,
        wire: Wire,
        started: StreamStarted,
        *,
        pacer: Pacer,
        clock: Clock,
        hears: MediaFormat,
        speaks: MediaFormat,
        from_ms: int = 0,
    ) -> None:
        self._link = link
        self._wire = wire
        self._pacer = pacer
        self._clock = clock
        self._hear = _transform(started.format, hears, from_ms)
        self._say = _transform(speaks, started.send_format or started.format)
        self._outbox: deque[str | bytes] = deque()
        self._outbox_waits = asyncio.Event()
        self._flush_began_ms: int | None = None
        self._last_media_ms = clock.now_ms()
        self._listening: asyncio.Task[None] | None = None
        self._closed = False

    async def carry(self, take: Take, complain: Complain) -> None:
        """Take events in and send what is due until the stream stops, or the socket goes.

        `complain` gets what breaks the carrier's rules; the line goes on.
        """
        speaking = asyncio.create_task(self._speak(), name="speak")
        listening = self._listening = asyncio.create_task(
            self._listen(take, complain), name="listen"
        )
        self.hurry()
        try:
            await asyncio.wait({listening, speaking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            speaking.cancel()
            listening.cancel()
        for task in (listening, speaking):
            if task.done() and not task.cancelled():
                task.result()

    def post(self, command: CarrierCommand, now_ms: int) -> None:
        """Put a command's messages behind those that wait."""
        if self._say is not None and isinstance(command, PlayAudio):
            command = PlayAudio(self._say(command.frame), command.turn_id)
        self._outbox.extend(self._wire.render(command, now_ms))

    def hurry(self) -> None:
        """Something may be due though the carrier has said nothing."""
        self._outbox_waits.set()

    def has_due(self, now_ms: int) -> bool:
        """Whether anything may go out now."""
        return bool(self._outbox) or self._pacer.is_due(now_ms)

    def is_dead(self, now_ms: int) -> bool:
        """Whether the peer has not read, or not sent anything, for too long."""
        since_ms = self._flush_began_ms
        stuck = since_ms is not None and now_ms - since_ms > WRITE_TIMEOUT_MS
        return stuck or now_ms - self._last_media_ms > MEDIA_SILENCE_MS

    def abandon(self) -> None:
        """Carry no more; who waits in `carry` goes on."""
        if self._listening is not None:
            self._listening.cancel()

    async def close(self) -> None:
        """Close the socket; a peer that does not answer the close is not waited for."""
        self._closed = True
        closing = asyncio.create_task(self._link.close(NORMAL), name="close")
        await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT_S)
        closing.cancel()
        self.abandon()

    async def _listen(self, take: Take, complain: Complain) -> None:
        receive, parse, clock, hear = (
            self._link.receive,
            self._wire.parse,
            self._clock,
            self._hear,
        )
        while (message := await receive()) is not None:
            now_ms = clock.now_ms()
            try:
                events = parse(message, now_ms)
            except ProtocolError as error:
                complain(error)
                continue
            if self._closed:
                return
            self._last_media_ms = now_ms
            for event in events:
                if hear is not None and isinstance(event, MediaReceived):
                    event = MediaReceived(hear(event.frame), event.sequence)
                take(event)
                if isinstance(event, StreamStopped):
                    return
            if self.has_due(now_ms):
                await self._flush()

    async def _speak(self) -> None:
        """Send what became due without the carrier having said anything."""
        while True:
            await self._outbox_waits.wait()
            self._outbox_waits.clear()
            await self._flush()

    async def _flush(self) -> None:
        """Send all that is due; only one task at a time does, so that the order holds."""
        if self._flush_began_ms is not None:
            return
        self._flush_began_ms = now_ms = self._clock.now_ms()
        try:
            while not self._closed:
                if not self._outbox:
                    for command in self._pacer.next(now_ms):
                        self.post(command, now_ms)
                    if not self._outbox:
                        return
                await self._link.send(self._outbox.popleft())
                if not self._outbox and not self._pacer.waits():
                    return
        finally:
            self._flush_began_ms = None


def _transform(source: MediaFormat, target: MediaFormat, shift_ms: int = 0) -> Transform | None:
    """Makes frames of one format those of another, `shift_ms` later; None: nothing to do."""
    if source == target and not shift_ms:
        return None
    converter = Converter(source, target)

    def transform(frame: AudioFrame) -> AudioFrame:
        data = converter.convert(frame.data)
        start_ms = frame.start_ms + shift_ms
        return AudioFrame(data, target, start_ms, target.duration_ms(len(data)), frame.party)

    return transform
