"""The tools that an answer calls: run side by side, their results told when all are there.

What takes long is bridged by a sentence kept ready. A tool that has been called is not taken back,
whatever the caller says meanwhile.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

from service.core.events import EngineEvent, EngineFailed, FillerRequested
from service.tools import Toolbox, ToolResult

WAITING_S = 0.5
"""A pause that is not noticed."""


class Asked(Protocol):
    """A tool that a model wants used."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def arguments(self) -> str:
        """As the model wrote them."""


A = TypeVar("A", bound=Asked)
Done = Callable[[Sequence[tuple[A, ToolResult]]], None]


class Errands:
    """One call's."""

    def __init__(self, toolbox: Toolbox, emit: Callable[[EngineEvent], None]) -> None:
        self._toolbox = toolbox
        self._emit = emit
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, asked: Sequence[A], done: Done[A]) -> None:
        """Call them all; `done` gets the results, in the order asked."""
        task = asyncio.get_running_loop().create_task(self._run(asked, done))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def aclose(self) -> None:
        """Nobody waits for results any more."""
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._emit(EngineFailed("engine.crashed", type(fault).__name__))

    async def _run(self, asked: Sequence[A], done: Done[A]) -> None:
        timer = asyncio.get_running_loop().call_later(WAITING_S, self._bridge, asked)
        try:
            results = await asyncio.gather(*(self._call(tool) for tool in asked))
        finally:
            timer.cancel()
        done([*zip(asked, results, strict=True)])

    async def _call(self, tool: Asked) -> ToolResult:
        return await self._toolbox.call(tool.name, tool.arguments, called=self._emit)

    def _bridge(self, asked: Sequence[Asked]) -> None:
        text = next((t for tool in asked if (t := self._toolbox.waiting(tool.name))), "")
        if text:
            self._emit(FillerRequested(text))
