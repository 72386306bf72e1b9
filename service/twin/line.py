"""One media socket from the carrier's side: the person's frames out at the speed of speech, the
bridge's messages into the playback, marks back.

Carrier-neutral: a Dialect writes and checks the messages. Paced by the loop's clock against the
stream's start, so that nothing drifts.
"""

import asyncio
import base64
import contextlib
import itertools
import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from service.core.audio import FRAME_MS
from service.twin.caller import (
    Caller,
    Disturb,
    DropSocket,
    Frame,
    Freeze,
    HangUp,
    Key,
    Raw,
    Redial,
    Remark,
)
from service.twin.playback import Echo
from service.twin.record import CallRecord, StreamRecord
from service.twin.socket import Socket, SocketGone

JsonObject = dict[str, Any]


# What a bridge's message asks for ---------------------------------------------------------------


class Play(Struct, frozen=True):
    """Queue this sound."""

    data: bytes


class PlaceMark(Struct, frozen=True):
    """Return this name once all before it has been played."""

    name: str


class Clear(Struct, frozen=True):
    """Fall silent."""


class Bad(Struct, frozen=True):
    """A message that the carrier does not take; `reply` is what it says to the bridge, if so."""

    code: str
    detail: str
    reply: JsonObject | None = None


Order = Play | PlaceMark | Clear | Bad


class Dialect(Protocol):
    """A carrier's messages on one socket; it counts what has to be counted."""

    def media(self, pcmu: bytes) -> JsonObject:
        """The next 20 ms of the person's sound."""

    def skip_media(self) -> None:
        """The next 20 ms were lost on the way: counted, never sent."""

    def digit(self, digit: str) -> JsonObject:
        """A key press."""

    def mark(self, name: str) -> JsonObject:
        """A returned mark."""

    def stop(self) -> JsonObject:
        """The stream is over."""

    def accept(self, message: str | bytes) -> list[Order]:
        """What a message of the bridge asks for, checked by the carrier's rules."""


class LineEnd(Struct, frozen=True):
    """How it ended: hangup, stopped (by `Line.stop`), dropped, redial or closed (by the bridge)."""

    kind: str
    close_code: int | None = None


class Line:
    """A media socket after its `start`."""

    def __init__(
        self,
        socket: Socket,
        dialect: Dialect,
        caller: Caller,
        *,
        record: CallRecord,
        stream: StreamRecord,
        on_key: Callable[[str], None] | None = None,
        before_stop: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._socket = socket
        self._dialect = dialect
        self._caller = caller
        self._record = record
        self._stream = stream
        self._on_key = on_key  # for carriers that tell a key press by webhook, too
        self._before_stop = before_stop  # for carriers whose webhook may outrun the `stop`
        self._faults = Disturb()
        self._frames = 0
        self._late: list[tuple[int, JsonObject]] = []  # (with which frame to send, message)
        self._bunch: list[JsonObject] = []  # frames that wait for others
        self._joined = bytearray()  # sound that waits for more
        self._late_marks: list[tuple[float, Echo]] = []  # (when to send, mark)
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._ear_at = 0  # position in the playback up to which the person has listened
        self._stopped = asyncio.get_running_loop().create_future()
        self._sending = asyncio.Lock()  # messages leave in the order of their numbers

    def stop(self) -> None:
        """End the stream from the carrier's side: `stop`, then close."""
        if not self._stopped.done():
            self._stopped.set_result(None)

    async def run(self, *opening: JsonObject) -> LineEnd:
        """Send the opening messages, then go on until somebody ends it."""
        for message in opening:
            await self._reply(message)
        tasks = (
            asyncio.create_task(self._read(), name="twin line reader"),
            asyncio.create_task(self._talk(), name="twin line caller"),
        )
        try:
            await asyncio.wait((*tasks, self._stopped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        read, talked = await asyncio.gather(*tasks, return_exceptions=True)
        for failure in (read, talked):
            if isinstance(failure, Exception):
                raise failure
        self._stream.playback.advance(self._record.now_ms())
        leave = None if isinstance(talked, BaseException) else talked
        self._stream.ended = await self._leave(leave)
        return LineEnd(self._stream.ended, self._stream.close_code)

    async def _leave(self, act: HangUp | DropSocket | Redial | None) -> str:
        if self._stopped.done():
            return await self._say_goodbye("stopped")
        match act:
            case HangUp():
                return await self._say_goodbye("hangup")
            case DropSocket(close_code):
                self._record.log("stream", "carrier", close={"code": close_code or 1006})
                if close_code is None:
                    await self._socket.abort()
                else:
                    await self._socket.close(close_code)
                return "dropped"
            case Redial():
                return "redial"
            case None:
                return "closed"

    async def _say_goodbye(self, kind: str) -> str:
        if self._before_stop is not None:
            await self._before_stop()
        try:
            await self._send(self._dialect.stop())
        except SocketGone:
            return kind
        self._record.log("stream", "carrier", close={"code": 1000})
        await self._socket.close()
        return kind

    # The person

    async def _talk(self) -> HangUp | DropSocket | Redial | None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for frame in itertools.count(1):
            due_s = began_s + frame * FRAME_MS / 1000
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            try:
                await self._return(self._stream.playback.advance(self._record.now_ms()))
                await self._return_late_marks()
                for act in self._caller.tick(self._listen()):
                    if isinstance(act, HangUp | DropSocket | Redial):
                        self._record.remark(_REMARKS[type(act)], "")
                        return act
                    await self._perform(act)
            except SocketGone:
                return None
        return None

    def _listen(self) -> bytes:
        heard = self._stream.heard_pcmu(self._ear_at)
        self._ear_at = self._stream.playback.position
        return heard

    async def _perform(self, act: Frame | Key | Remark | Disturb | Freeze | Raw) -> None:
        match act:
            case Frame(pcmu):
                await self._send_frame(pcmu)
            case Key(digit):
                async with self._sending:
                    await self._send(self._dialect.digit(digit))
                if self._on_key is not None:
                    self._on_key(digit)
            case Remark(kind, text):
                self._record.remark(kind, text)
            case Disturb():
                self._faults = act
            case Freeze(ms):
                self._thawed.clear()
                await asyncio.sleep(ms / 1000)
                self._thawed.set()
            case Raw(text):
                async with self._sending:
                    self._record.log("stream", "carrier", **_as_line(text))
                    await self._socket.send(text)

    async def _send_frame(self, pcmu: bytes) -> None:
        self._joined += pcmu
        if len(self._joined) < self._faults.join * len(pcmu):
            return
        pcmu = bytes(self._joined)
        self._joined.clear()
        self._frames += 1
        number, faults = self._frames, self._faults
        async with self._sending:
            if _every(faults.drop_every, number):
                self._dialect.skip_media()
            else:
                message = self._dialect.media(pcmu)
                if _every(faults.late_every, number):
                    self._late.append((number + faults.late_by, message))
                else:
                    copies = 2 if _every(faults.repeat_every, number) else 1
                    self._bunch += [message] * copies
                    self._stream.frames_sent += 1
            if len(self._bunch) >= faults.bunch:
                for message in self._bunch:
                    await self._send(message)
                self._bunch.clear()
            due = [message for at, message in self._late if at <= number]
            self._late = [(at, message) for at, message in self._late if at > number]
            for message in due:
                await self._send(message)

    # The bridge

    async def _read(self) -> None:
        async for message in self._socket:
            await self._thawed.wait()
            self._record.log("stream", "bridge", **_as_line(message))
            for order in self._dialect.accept(message):
                await self._obey(order)
        self._stream.close_code = self._socket.close_code
        self._record.log("stream", "bridge", close={"code": self._socket.close_code})

    async def _obey(self, order: Order) -> None:
        now_ms, playback = self._record.now_ms(), self._stream.playback
        match order:
            case Play(data):
                await self._return(playback.queue(data, now_ms))
                self._stream.most_queued_ms = max(self._stream.most_queued_ms, playback.queued_ms)
            case PlaceMark(name):
                await self._return(playback.mark(name, now_ms))
            case Clear():
                self._stream.clears_at_ms.append(int(now_ms))
                await self._return(playback.clear(now_ms))
            case Bad(code, detail, reply):
                self._record.warn(code, detail)
                if reply is not None:
                    await self._reply(reply)

    async def _reply(self, message: JsonObject) -> None:
        # The reader goes on after a failed send: it still has to see the close.
        with contextlib.suppress(SocketGone):
            async with self._sending:
                await self._send(message)

    async def _return(self, echoes: list[Echo]) -> None:
        if self._faults.lose_marks:
            return
        if self._faults.marks_late_ms:
            due_ms = self._record.now_ms() + self._faults.marks_late_ms
            self._late_marks += [(due_ms, echo) for echo in echoes]
            return
        await self._send_marks(echoes)

    async def _return_late_marks(self) -> None:
        if not self._late_marks:
            return
        now_ms = self._record.now_ms()
        due = [echo for at_ms, echo in self._late_marks if at_ms <= now_ms]
        self._late_marks = self._late_marks[len(due) :]
        await self._send_marks(due)

    async def _send_marks(self, echoes: list[Echo]) -> None:
        with contextlib.suppress(SocketGone):
            async with self._sending:
                for echo in echoes:
                    self._stream.echoes.append(echo)
                    await self._send(self._dialect.mark(echo.name))

    async def _send(self, message: JsonObject) -> None:
        self._record.log("stream", "carrier", message=message)
        await self._socket.send(msgspec.json.encode(message).decode())


async def send(socket: Socket, record: CallRecord, message: JsonObject) -> None:
    """Send and write down one message outside a Line; lost when the socket is gone."""
    record.log("stream", "carrier", message=message)
    with contextlib.suppress(SocketGone):
        await socket.send(msgspec.json.encode(message).decode())


async def await_close(socket: Socket, record: CallRecord, *, patience_s: float) -> LineEnd:
    """Watch a socket that never got its `start`; after `patience_s` it is the carrier's to close.

    What a bridge says on it goes nowhere, and stands in the record.
    """
    try:
        async with asyncio.timeout(patience_s):
            async for message in socket:
                record.log("stream", "bridge", **_as_line(message))
    except TimeoutError:
        record.log("stream", "carrier", close={"code": 1000})
        await socket.close()
        return LineEnd("hangup")
    record.log("stream", "bridge", close={"code": socket.close_code})
    return LineEnd("closed", socket.close_code)


async def drain(socket: Socket, record: CallRecord, stream: StreamRecord) -> None:
    """Watch a socket that was replaced by another until the bridge closes it."""
    async for message in socket:
        record.log("stream", "bridge", **_as_line(message))
    stream.close_code = socket.close_code
    record.log("stream", "bridge", close={"code": socket.close_code})


_REMARKS = {HangUp: "hangs_up", DropSocket: "is_cut_off", Redial: "is_dialled_again"}


def _every(nth: int, number: int) -> bool:
    return nth > 0 and number % nth == 0


def _as_line(message: str | bytes) -> JsonObject:
    if isinstance(message, bytes):
        return {"binary": base64.b64encode(message).decode()}
    try:
        return {"message": json.loads(message)}
    except ValueError:
        return {"text": message}
