"""An event loop on virtual time: when nothing is ready, the clock jumps to the next thing due.

A whole service runs on it in a fraction of a second. Work in other threads or processes, handed
out by `run_in_executor`, holds the clock still while it lasts, so that its result comes at the
same virtual moment however fast the machine is. Sockets to the outside do not fit: their time is
not ours.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Stalled(RuntimeError):
    """Everything waits for something that cannot happen any more."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """A selector loop whose time is its own, from 0 on, in seconds."""

    def __init__(self) -> None:
        self._now = 0.0
        self._jobs = 0
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> "asyncio.Future[T]":
        """As any loop does it; the clock stands still until the job is done."""
        self._jobs += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._job_done)
        return future

    async def shutdown_default_executor(self, *patience: float | None) -> None:
        """As any loop does it; the threads that end are a job elsewhere, too."""
        self._jobs += 1
        try:
            await super().shutdown_default_executor(*patience)
        finally:
            self._jobs -= 1

    def _job_done(self, _future: "asyncio.Future[Any]") -> None:
        self._jobs -= 1

    @property
    def works_elsewhere(self) -> bool:
        """Whether a job in another thread or process is under way."""
        return self._jobs > 0

    def jump(self, seconds: float) -> None:
        """Let this much time pass at once."""
        self._now += seconds


class _JumpingSelector(selectors.DefaultSelector):
    """Waits only for jobs elsewhere; any other wait becomes a jump of the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if self._loop.works_elsewhere:
            return super().select(None)
        if timeout is None:
            raise Stalled("every task waits for something that cannot happen any more")
        self._loop.jump(timeout)
        return []


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end on virtual time, as asyncio.run does on real time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
