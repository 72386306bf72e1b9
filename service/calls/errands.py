"""Work that goes on after the answer to a request was sent."""

import asyncio
from collections.abc import Coroutine

import structlog

log = structlog.get_logger(__name__)


class Errands:
    """Tasks that somebody holds on to until they are done."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, errand: Coroutine[object, object, None]) -> None:
        """Start an errand; its trouble is logged."""
        task = asyncio.create_task(errand, name="errand")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def finish(self, timeout_s: float) -> None:
        """Wait for the errands under way; those that take longer are given up."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=timeout_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("errand failed", exc_info=error)
