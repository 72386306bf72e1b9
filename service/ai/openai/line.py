"""One conversation's socket: opened, read, written, and opened again when it is lost.

What is to be sent waits in one list for one writer, since sound comes from the bridge's own loop
and must not wait. Nothing said here reaches a log; of an event that nobody understands only its
kind does, once.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from typing import Any, Protocol

import msgspec
import openai
import structlog
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from websockets.exceptions import WebSocketException

from service.ai.openai.errors import OPENING_S, OpenAIFault, engine_error, named_error, stage
from service.ai.openai.events import Complained, ServerEvent, SessionReady, read
from service.ai.openai.orders import Order
from service.core.errors import ProtocolError

SESSION_MOST_S = 55 * 60.0
"""OpenAI ends a session after 60 minutes."""
OUTBOX_MOST = 1000
"""A minute of sound: a server that reads nothing for so long is gone."""
AFTER_LOST = ("openai.session_lost", "openai.unreachable", "openai.server_error")
"""What a new socket may help against."""

_SOCKET_FAULTS = (WebSocketException, openai.OpenAIError, OSError)

Dial = Callable[[], AbstractAsyncContextManager[AsyncRealtimeConnection]]

log = structlog.get_logger()


class Far(Protocol):
    """Who talks over the line."""

    def session(self) -> Order:
        """What the session is to be like."""

    def seeds(self) -> Iterable[Order | str]:
        """What a new session must know."""

    def take(self, event: ServerEvent) -> None:
        """The server says this."""

    def lost(self) -> None:
        """The session is gone; another one is being opened."""

    def found(self) -> None:
        """There is a session again, and it knows the seeds."""


class Line:
    """`dial` opens a socket; `call_id` is for the log."""

    def __init__(
        self,
        dial: Dial,
        far: Far,
        *,
        call_id: str,
    ) -> None:
        self.confused = 0  # events that nobody understood
        self.is_old = False  # the session will soon end of its age
        self._dial = dial
        self._far = far
        self._call_id = call_id
        self._stack = AsyncExitStack()
        self._connection: AsyncRealtimeConnection | None = None
        self._outbox: deque[Order | str] = deque()
        self._wake = asyncio.Event()
        self._age: asyncio.TimerHandle | None = None
        self._renewing = asyncio.Event()

    def send(self, order: Order | str) -> None:
        """Send it soon; without a session it is forgotten, since the seeds of the next have it."""
        if self._connection is None:
            return
        self._outbox.append(order)
        self._wake.set()
        if len(self._outbox) > OUTBOX_MOST:
            self.renew()

    def renew(self) -> None:
        """Go over to a new session now."""
        self._renewing.set()

    async def carry(self) -> None:
        """Have sessions for ever; OpenAIFault when there is none to be had."""
        try:
            while True:
                connection = await self._open()
                self._far.found()
                fault = await self._until_lost(connection)
                if fault is not None and fault.code not in AFTER_LOST:
                    raise fault
                self._far.lost()
        finally:
            await self._close()

    async def _open(self) -> AsyncRealtimeConnection:
        """A session that knows the seeds; OpenAIFault when there is none in time."""
        loop = asyncio.get_running_loop()
        ends_s = loop.time() + OPENING_S
        while True:
            try:
                async with stage("opening", ends_s - loop.time()):
                    return await self._open_once()
            except OpenAIFault as fault:
                again_s = fault.retry_after_ms / 1000
                if not fault.retryable or loop.time() + again_s >= ends_s:
                    raise
                await asyncio.sleep(again_s)

    async def _close(self) -> None:
        self._connection = None
        if self._age is not None:
            self._age.cancel()
        with suppress(Exception):  # it is gone one way or the other
            await self._stack.aclose()

    async def _open_once(self) -> AsyncRealtimeConnection:
        async with AsyncExitStack() as stack:
            connection = await stack.enter_async_context(self._dial())
            await _write(connection, self._far.session())
            while not isinstance(await self._opening_event(connection), SessionReady):
                pass
            self._stack = stack.pop_all()
        self._outbox = deque(self._far.seeds())  # whatever is sent from now on comes after them
        self._wake.set()
        self._renewing.clear()
        self.is_old = False
        self._age = asyncio.get_running_loop().call_later(SESSION_MOST_S, self._grow_old)
        self._connection = connection
        return connection

    async def _opening_event(self, connection: AsyncRealtimeConnection) -> ServerEvent | None:
        event = self._read(connection, await connection.recv_bytes())
        if isinstance(event, Complained):
            raise named_error(event.code, event.kind, "opening")
        return event

    async def _until_lost(self, connection: AsyncRealtimeConnection) -> OpenAIFault | None:
        """Returns why it is lost; None when that was wanted."""
        jobs: list[asyncio.Task[Any]] = [
            asyncio.ensure_future(self._read_all(connection)),
            asyncio.ensure_future(self._write_all(connection)),
            asyncio.ensure_future(self._renewing.wait()),
        ]
        try:
            await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            return next((f for job in jobs if job.done() and (f := _fault_of(job))), None)
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            await self._close()

    async def _read_all(self, connection: AsyncRealtimeConnection) -> None:
        while True:
            event = self._read(connection, await connection.recv_bytes())
            if event is not None:
                self._far.take(event)

    async def _write_all(self, connection: AsyncRealtimeConnection) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._outbox:
                await _write(connection, self._outbox.popleft())

    def _read(self, connection: AsyncRealtimeConnection, data: bytes) -> ServerEvent | None:
        try:
            return read(data, connection.parse_event)
        except ProtocolError as fault:
            self.confused += 1
            if self.confused == 1:
                log.warning("Realtime event unknown", call_id=self._call_id, kind=fault.detail)
            return None

    def _grow_old(self) -> None:
        self.is_old = True


async def _write(connection: AsyncRealtimeConnection, order: Order | str) -> None:
    """As JSON: the package's own `send` takes half a millisecond, and the caller waits."""
    text = order if isinstance(order, str) else msgspec.json.encode(order).decode()
    await connection.send_raw(text)


def _fault_of(job: "asyncio.Task[Any]") -> OpenAIFault | None:
    """Why a job ended; a fault that is ours goes on as it is."""
    fault = job.exception()
    if fault is None:
        return None
    if isinstance(fault, _SOCKET_FAULTS):
        return engine_error(fault, "session")
    raise fault
