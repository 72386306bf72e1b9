"""Some worker processes and the threads that wait for them, so that the event loop never does.

A worker that crashes or hangs is replaced and the request is tried once more; a second failure is
an EngineError. Work goes through `run_in_executor`, which a loop on virtual time waits for.
"""

import asyncio
import os
import queue
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import msgspec

from service.ai.offline.messages import Answer, Failed, Request, Say, read_answer, write
from service.core.errors import EngineError, TextRefused

DEADLINE_S = 10.0
START_DEADLINE_S = 60.0
"""Python and its libraries have to be read from the disk first, on a machine that may be busy."""

_WARM_UP = Say("Hello.", "en-us", 165, 45)
_LIBRARIES_SINGLE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_INHERITED = ("PATH", "HOME", "LANG", "LANGUAGE", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
_INHERITED_PREFIXES = ("LC_", "DYLD_")
"""What Python and the libraries may need: a worker has no use for the service's secrets."""


class Workers:
    """`count` processes, started and warmed by `start`."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="offline")
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._closed = False

    async def start(self) -> None:
        """All workers run and have spoken once; EngineError, and none runs, when one does not."""
        loop = asyncio.get_running_loop()
        fresh = [loop.run_in_executor(self._threads, self._hire) for _ in range(self._count)]
        failed: BaseException | None = None
        for hired in await asyncio.gather(*fresh, return_exceptions=True):
            if isinstance(hired, BaseException):
                failed = hired
            else:
                self._idle.put(hired)
        if failed is not None:
            await self.aclose()
            raise failed

    async def ask(self, request: Request) -> Answer:
        """The answer to a request; EngineError when it cannot be had."""
        if self._closed:
            raise EngineError("offline.closed", "the engine has been closed")
        loop = asyncio.get_running_loop()
        answer = await loop.run_in_executor(self._threads, self._ask, request)
        if isinstance(answer, Failed):
            raise EngineError(answer.code, answer.detail)
        return answer

    async def aclose(self) -> None:
        """End all workers, once they have done what they are at."""
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    def _close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        while not self._idle.empty():
            self._idle.get().end()

    def _hire(self) -> "_Worker":
        worker = None
        try:
            worker = _Worker()
            worker.ask(_WARM_UP, within_s=START_DEADLINE_S)
        except (OSError, EOFError):
            if worker is not None:
                worker.end()
            raise EngineError("offline.worker_failed", "a worker does not start") from None
        return worker

    def _ask(self, request: Request) -> Answer:
        worker = self._idle.get()
        try:
            try:
                return worker.ask(request)
            except (OSError, EOFError):
                worker = self._replace(worker)
                return worker.ask(request)
        except (OSError, EOFError):
            with suppress(OSError):  # the next who asks tries again
                worker = self._replace(worker)
            raise EngineError("offline.worker_lost", "a worker failed twice") from None
        except (msgspec.MsgspecError, UnicodeError):
            raise TextRefused("offline.not_text", "the text cannot be spoken") from None
        finally:
            self._idle.put(worker)

    def _replace(self, worker: "_Worker") -> "_Worker":
        worker.end()
        return _Worker()


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in _INHERITED or name.startswith(_INHERITED_PREFIXES)
    }


class _Worker:
    """One process, used by one thread at a time."""

    def __init__(self) -> None:
        python_path = os.pathsep.join(path or os.getcwd() for path in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "service.ai.offline.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment() | _LIBRARIES_SINGLE | {"PYTHONPATH": python_path},
        )

    def ask(self, request: Request, *, within_s: float = DEADLINE_S) -> Answer:
        """The answer; OSError or EOFError when the process is gone, or too slow and then killed."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise EOFError
        deadline = threading.Timer(within_s, self._process.kill)
        deadline.daemon = True
        deadline.start()
        try:
            write(stdin, request)
            return read_answer(stdout)
        finally:
            deadline.cancel()

    def end(self) -> None:
        """Kill the process, which keeps nothing, and wait until it is gone."""
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:  # what was still to be written has no reader
                    continue
        self._process.wait()
