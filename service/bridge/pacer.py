"""Outgoing sound at the speed of speech, a little ahead, and empty at once.

`Pacer` is one call's queue, without a clock of its own. It remembers what it sent for as long as
that may not have been heard, so that a pause can end where it began. `Ticker` is the process's one
clock for all calls: it looks at every call each 20 ms by an absolute schedule and measures how
late the event loop lets it be.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Protocol

from service.core.audio import AudioFrame, Encoding
from service.core.commands import MarkEnd, PlaceMark, PlayAudio
from service.core.playout import Playout

MAX_MESSAGE_MS = 60
"""Longer sound is sent in parts, so that a clear wastes little."""

MARK_EVERY_MS = 500
SENT_KEPT_MS = 1500
"""Sound remembered beyond the lead: a carrier's marks may be late by so much."""

TICK_MS = 20
IDLE_TICKS = 5
"""While nobody listens one tick in so many does: it only tells how busy the process is."""

CUTTABLE = frozenset({Encoding.PCMU, Encoding.PCMA})
"""Formats of one byte per sample, which may be cut anywhere."""


class Pacer:
    """Sound waiting to go out; the ledger says how far ahead of the listener we are."""

    def __init__(self, playout: Playout, lead_ms: int) -> None:
        self._playout = playout
        self._lead_ms = lead_ms
        self._queue: deque[PlayAudio | MarkEnd] = deque()
        self._sent: deque[PlayAudio | MarkEnd] = deque()  # the newest, maybe not heard yet
        self._sent_ms = 0
        self._since_mark_ms = 0
        self._paused = False

    def play(self, command: PlayAudio) -> None:
        """Queue sound."""
        if command.frame.duration_ms <= MAX_MESSAGE_MS:
            self._queue.append(command)
        else:
            self._queue += [PlayAudio(part, command.turn_id) for part in _parts(command.frame)]

    def play_first(self, commands: list[PlayAudio]) -> None:
        """Queue sound before all that waits."""
        self._queue.extendleft(reversed(commands))

    def mark_end(self, command: MarkEnd) -> None:
        """Queue the mark behind a turn's last sound."""
        self._queue.append(command)

    def clear(self) -> None:
        """Drop all that waits."""
        self._queue.clear()
        self._forget_sent()
        self._since_mark_ms = 0
        self._paused = False

    def pause(self, now_ms: int) -> None:
        """Send nothing more. What was sent and not heard waits again, as the ledger cuts it."""
        if self._paused:
            return
        self._paused = True
        self._since_mark_ms = 0
        unheard_ms = self._playout.clear(now_ms)
        self._queue.extendleft(_newest(self._sent, unheard_ms))
        self._forget_sent()

    def resume(self) -> None:
        """Go on where the pause began."""
        self._paused = False

    def waits(self) -> bool:
        """Whether anything is queued that may go out as time passes."""
        return bool(self._queue) and not self._paused

    def is_due(self, now_ms: int) -> bool:
        """Whether something may go out now."""
        return self.waits() and self._playout.ahead_ms(now_ms) < self._lead_ms

    def next(self, now_ms: int) -> list[PlayAudio | PlaceMark]:
        """The next piece of sound that is due, booked as sent, with the mark it wants behind it."""
        if not self.is_due(now_ms):
            return []
        head = self._queue.popleft()
        self._remember(head)
        if isinstance(head, MarkEnd):
            return [self._mark()]
        self._playout.sent(head.turn_id, head.frame.duration_ms, now_ms)
        self._since_mark_ms += head.frame.duration_ms
        if self._since_mark_ms >= MARK_EVERY_MS:
            return [head, self._mark()]
        return [head]

    def _mark(self) -> PlaceMark:
        self._since_mark_ms = 0
        return PlaceMark(self._playout.set_mark())

    def _remember(self, sent: PlayAudio | MarkEnd) -> None:
        self._sent.append(sent)
        self._sent_ms += _length_ms(sent)
        while self._sent_ms > SENT_KEPT_MS + self._lead_ms:
            self._sent_ms -= _length_ms(self._sent.popleft())

    def _forget_sent(self) -> None:
        self._sent.clear()
        self._sent_ms = 0


def _length_ms(sent: PlayAudio | MarkEnd) -> int:
    return sent.frame.duration_ms if isinstance(sent, PlayAudio) else 0


def _newest(sent: deque[PlayAudio | MarkEnd], unheard_ms: int) -> Iterator[PlayAudio | MarkEnd]:
    """The last `unheard_ms` of what was sent, the newest first, the oldest cut where it must be.

    A mark behind the last sound that was heard has come back, or is taken as lost.
    """
    left_ms = unheard_ms
    while sent and left_ms > 0:
        piece = sent.pop()
        length_ms = _length_ms(piece)
        if length_ms > left_ms and isinstance(piece, PlayAudio):
            piece = PlayAudio(_tail(piece.frame, left_ms), piece.turn_id)
        left_ms -= length_ms
        yield piece


def _tail(frame: AudioFrame, length_ms: int) -> AudioFrame:
    """The end of a frame; all of it where its format cannot be cut."""
    if frame.format.encoding not in CUTTABLE:
        return frame
    size = length_ms * frame.format.sample_rate_hz // 1000
    start_ms = frame.start_ms + frame.duration_ms - length_ms
    return AudioFrame(frame.data[-size:], frame.format, start_ms, length_ms, frame.party)


def _parts(frame: AudioFrame) -> list[AudioFrame]:
    if frame.format.encoding not in CUTTABLE:
        return [frame]
    step = MAX_MESSAGE_MS * frame.format.sample_rate_hz // 1000
    return [
        AudioFrame(
            part := frame.data[at : at + step],
            frame.format,
            frame.start_ms + frame.format.duration_ms(at),
            frame.format.duration_ms(len(part)),
            frame.party,
        )
        for at in range(0, len(frame.data), step)
    ]


class Ticks(Protocol):
    """Whoever wants to know that time passes."""

    def tick(self, now_ms: int) -> None:
        """20 ms or more have gone by. Must not block or raise."""


class Ticker:
    """One 20 ms clock for all calls of a process."""

    def __init__(self, report_lag: Callable[[float], None]) -> None:
        self._listeners: dict[Ticks, None] = {}
        self._listened = asyncio.Event()
        self._report_lag = report_lag

    def add(self, listener: Ticks) -> None:
        """Tell this one from now on."""
        self._listeners[listener] = None
        self._listened.set()

    def remove(self, listener: Ticks) -> None:
        """Tell this one no more."""
        self._listeners.pop(listener, None)

    async def run(self) -> None:
        """Tick until cancelled. `report_lag` gets each tick's lateness in seconds."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            ticks = 1 if self._listeners else await self._idle(due)
            due += ticks * TICK_MS / 1000
            await asyncio.sleep(due - loop.time())
            now = loop.time()
            for _ in range(ticks):  # those that nobody needed would have been as late
                self._report_lag(max(0.0, now - due))
            if now - due > 1:  # the machine slept: do not run after the lost ticks
                due = now
            now_ms = int(now * 1000)
            for listener in [*self._listeners]:
                listener.tick(now_ms)

    async def _idle(self, since: float) -> int:
        """Let ticks go by while nobody listens; how many, with the one that is due next."""
        self._listened.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(since + (IDLE_TICKS - 1) * TICK_MS / 1000):
                await self._listened.wait()
        gone_s = asyncio.get_running_loop().time() - since
        return min(IDLE_TICKS, int(gone_s * 1000 / TICK_MS) + 1)
