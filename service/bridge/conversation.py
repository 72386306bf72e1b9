"""A live call's side towards its engines: opens the first, and the next when one cannot go on.

It keeps for an engine what it cannot take yet. It decides nothing; what the engine in charge says
goes straight to whoever opened the conversation, and what an earlier one still says to nobody.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any

import structlog

from service.ai.base import Brief, Emit, Engine, Talk
from service.clock import Clock
from service.core.commands import EngineCommand, Hear
from service.core.errors import BridgeError, EngineError
from service.core.events import EngineEvent, EngineFailed

HEARD_BEFORE_OPEN = 250
"""Frames kept while the engine is still being opened: five seconds of the caller's first words."""

OPEN_S = 10.0
"""How long an engine may take to open: nobody listens to silence for longer."""

LAST_WORDS_S = 1.0
"""How long an engine may take to tell what was said just before the end."""

CLOSE_S = 5.0
"""How long an engine may take to close, once the call is over or it was replaced."""

Until = Callable[[], Awaitable[object]]

log = structlog.get_logger()


class Conversation:
    """One call's conversation with its engines, in the order in which they are tried."""

    def __init__(self, engines: Sequence[Engine], clock: Clock) -> None:
        self._engines = deque(engines)
        self._engine = self._engines.popleft()
        self._clock = clock
        self._talk: Talk | None = None
        self._opening: asyncio.Timeout | None = None
        self._before_open: deque[EngineCommand] = deque()
        self._frames_kept = 0
        self._replaced = asyncio.Event()
        self._over = False

    def do(self, command: EngineCommand, now_ms: int) -> None:
        """Tell the engine, now or as soon as it is there."""
        if self._talk is None:
            self._keep(command)
        else:
            self._talk.do(command, now_ms)

    def change(self) -> None:
        """Go on with the next engine. What this one was told and has not taken is void."""
        self._talk = None
        self._engine = self._engines.popleft()
        self._before_open.clear()
        self._frames_kept = 0
        self._replaced.set()
        self._stop_opening()

    async def hold(self, brief: Callable[[], Brief], emit: Emit, until: Until) -> None:
        """Talk until that comes. `brief` is asked for each engine anew.

        An engine that fails is told of as the last thing it said. The next one is not kept waiting
        until it has closed.
        """
        over = asyncio.ensure_future(until())
        talks: list[asyncio.Task[None]] = []
        try:
            while True:
                replaced = self._replaced = asyncio.Event()
                talk = self._talk_with(self._engine, brief(), emit, over=over, replaced=replaced)
                talks.append(asyncio.create_task(talk, name="talk"))
                await _first(talks[-1], replaced)
                if not replaced.is_set():
                    return
        finally:
            over.cancel()
            await _close([*talks, over])

    async def hear_out(self) -> None:
        """The line is gone: let the engine tell what was said to the last, for a moment."""
        if self._talk is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self._talk.hear_out()

    def give_up(self) -> None:
        """The call is over: an engine that is still being opened is not waited for."""
        self._over = True
        self._stop_opening()

    def _stop_opening(self) -> None:
        if self._opening is not None:
            self._opening.reschedule(asyncio.get_running_loop().time())

    async def _talk_with(
        self,
        engine: Engine,
        brief: Brief,
        emit: Emit,
        *,
        over: "asyncio.Future[object]",
        replaced: asyncio.Event,
    ) -> None:
        def emit_in_charge(event: EngineEvent) -> None:
            if self._engine is engine:
                emit(event)

        try:
            async with AsyncExitStack() as stack:
                talk = await self._open(stack, engine, brief, emit_in_charge)
                if not replaced.is_set():
                    await self._converse(talk, over, replaced)
        except BridgeError as fault:
            emit_in_charge(EngineFailed(fault.code, fault.detail))
        except Exception as fault:
            log.exception("Engine crashed", call_id=brief.call_id)
            emit_in_charge(EngineFailed("engine.crashed", type(fault).__name__))

    async def _converse(
        self, talk: Talk, over: "asyncio.Future[object]", replaced: asyncio.Event
    ) -> None:
        self._talk = talk
        try:
            while self._before_open and self._talk is talk:
                talk.do(self._before_open.popleft(), self._clock.now_ms())
            await _first(over, replaced)
            if over.done():
                over.result()
        finally:
            if self._talk is talk:
                self._talk = None

    async def _open(self, stack: AsyncExitStack, engine: Engine, brief: Brief, emit: Emit) -> Talk:
        opening = self._opening = asyncio.timeout(0 if self._over else OPEN_S)
        try:
            async with opening:
                return await stack.enter_async_context(engine.open(brief, emit))
        except TimeoutError:
            raise EngineError("engine.too_slow", "it did not open in time") from None
        finally:
            if self._opening is opening:
                self._opening = None

    def _keep(self, command: EngineCommand) -> None:
        """Of what waits only sound is ever dropped, the oldest first; commands are few."""
        self._before_open.append(command)
        if not isinstance(command, Hear):
            return
        if self._frames_kept < HEARD_BEFORE_OPEN:
            self._frames_kept += 1
            return
        oldest = next(at for at, kept in enumerate(self._before_open) if isinstance(kept, Hear))
        del self._before_open[oldest]


async def _first(future: "asyncio.Future[Any]", event: asyncio.Event) -> None:
    """Until one of the two has come."""
    coming = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait({future, coming}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        coming.cancel()


async def _close(tasks: list["asyncio.Future[Any]"]) -> None:
    """Engines that were replaced have time to close; who is cancelled with us has not."""
    _, late = await asyncio.wait(tasks, timeout=CLOSE_S)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
