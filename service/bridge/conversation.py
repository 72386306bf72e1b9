"""A live call's side towards its engine: opens it, and keeps for it what it cannot take yet.

It decides nothing; what the engine says goes straight to whoever opened the conversation.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress

import structlog

from service.ai.base import Brief, Emit, Engine, Talk
from service.clock import Clock
from service.core.commands import EngineCommand, Hear
from service.core.errors import BridgeError, EngineError
from service.core.events import EngineFailed

HEARD_BEFORE_OPEN = 250
"""Frames kept while the engine is still being opened: five seconds of the caller's first words."""

OPEN_S = 10.0
"""How long an engine may take to open: nobody listens to silence for longer."""

LAST_WORDS_S = 1.0
"""How long an engine may take to tell what was said just before the end."""

Until = Callable[[], Awaitable[object]]

log = structlog.get_logger()


class Conversation:
    """One call's conversation with an engine."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._talk: Talk | None = None
        self._opening: asyncio.Timeout | None = None
        self._before_open: deque[EngineCommand] = deque()
        self._frames_kept = 0

    def do(self, command: EngineCommand, now_ms: int) -> None:
        """Tell the engine, now or as soon as it is there."""
        if self._talk is None:
            self._keep(command)
        else:
            self._talk.do(command, now_ms)

    async def hold(self, brief: Brief, emit: Emit, until: Until) -> None:
        """Talk until that comes. An engine that fails is told of as the last thing it said."""
        try:
            await self._converse(brief, emit, until)
        except BridgeError as fault:
            emit(EngineFailed(fault.code, fault.detail))
        except Exception as fault:
            log.exception("Engine crashed", call_id=brief.call_id)
            emit(EngineFailed("engine.crashed", type(fault).__name__))

    def give_up(self) -> None:
        """Nobody is there to talk to: an engine that is still being opened is not waited for."""
        if self._opening is not None:
            self._opening.reschedule(asyncio.get_running_loop().time())

    async def hear_out(self) -> None:
        """Let the engine tell what was heard to the last, if it does so in time."""
        if self._talk is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self._talk.hear_out()

    async def _converse(self, brief: Brief, emit: Emit, until: Until) -> None:
        async with AsyncExitStack() as stack:
            talk = await self._open(stack, brief, emit)
            self._talk = talk
            try:
                while self._before_open:
                    talk.do(self._before_open.popleft(), self._clock.now_ms())
                await until()
            finally:
                self._talk = None

    async def _open(self, stack: AsyncExitStack, brief: Brief, emit: Emit) -> Talk:
        try:
            async with asyncio.timeout(OPEN_S) as self._opening:
                return await stack.enter_async_context(self._engine.open(brief, emit))
        except TimeoutError:
            raise EngineError("engine.too_slow", "it did not open in time") from None
        finally:
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
