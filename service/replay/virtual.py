"""An event loop on virtual time: when nothing is ready, the clock jumps to the next thing due.

A whole service runs on it in a fraction of a second. Work in other threads or processes, handed
out by `run_in_executor`, holds the clock still while it lasts, and its results come one by one in
the order in which it was handed out, so that all happens at the same virtual moment and in the
same order however fast the machine is. Sockets to the outside do not fit: their time is not ours.
"""

import asyncio
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple

from msgspec import Struct

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_OWN_PIPE = 1  # the one file that every loop watches: threads wake it through that
_A_MOMENT_S = 1e-9


class Stalled(RuntimeError):
    """Everything waits for something that cannot happen any more."""


class _Job(Struct, frozen=True, eq=False):
    """Work elsewhere, and what those on the loop wait for in its place."""

    work: "asyncio.Future[Any]"
    result: "asyncio.Future[Any]"


class VirtualLoop(asyncio.SelectorEventLoop):
    """A selector loop whose time is its own, from 0 on, in seconds."""

    def __init__(self) -> None:
        self._now = 0.0
        self._jobs: deque[_Job] = deque()
        self._threads_end = False
        super().__init__(_JumpingSelector(self))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> "asyncio.Future[T]":
        """As any loop does it; the clock stands still until the job is done.

        A job must not wait for one that was handed out after it.
        """
        work = super().run_in_executor(executor, func, *args)
        result: asyncio.Future[T] = self.create_future()
        result.add_done_callback(lambda done: work.cancel() if done.cancelled() else None)
        self._jobs.append(_Job(work, result))
        return result

    async def shutdown_default_executor(self, *patience: float | None) -> None:
        """As any loop does it; the threads that end are work elsewhere, too."""
        self._threads_end = True
        try:
            await super().shutdown_default_executor(*patience)
        finally:
            self._threads_end = False

    @property
    def works_elsewhere(self) -> bool:
        """Whether work in another thread or process is under way."""
        return bool(self._jobs) or self._threads_end

    def hand_over(self) -> bool:
        """Give the result of the oldest job to who waits for it; False when it is not there."""
        while self._jobs and self._jobs[0].result.done():  # nobody waits any more
            self._jobs.popleft()
        if not self._jobs or not self._jobs[0].work.done():
            return False
        _pass_on(self._jobs.popleft())
        return True

    def jump(self, seconds: float) -> None:
        """Let this much time pass at once."""
        due = self._now + seconds
        # A float is often just short of its millisecond, which would be cut off to the one before.
        self._now = max(due, round(due, 6) + _A_MOMENT_S)


class _JumpingSelector(selectors.DefaultSelector):
    """Waits only for jobs elsewhere; any other wait becomes a jump of the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        loop = self._loop
        if timeout == 0 and not loop.works_elsewhere:
            return []  # others are ready: files are looked at when nobody is
        if loop.works_elsewhere or len(self.get_map()) > _OWN_PIPE:
            ready = super().select(0)
            if ready or (timeout is not None and timeout <= 0) or loop.hand_over():
                return ready
            if loop.works_elsewhere:
                return super().select(None)
        if timeout is None:
            raise Stalled("every task waits for something that cannot happen any more")
        if timeout > 0:
            loop.jump(timeout)
        return []


def _pass_on(job: _Job) -> None:
    fault = None if job.work.cancelled() else job.work.exception()
    if job.work.cancelled():
        job.result.cancel()
    elif fault is not None:
        job.result.set_exception(fault)
    else:
        job.result.set_result(job.work.result())


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end on virtual time, as asyncio.run does on real time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
