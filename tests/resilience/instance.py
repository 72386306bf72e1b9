"""The service as an operator runs it: processes of its own, on ports of this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

AGENTS = Path(__file__).parent / "agents"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0


class Instance:
    """One `callbridge serve`."""

    def __init__(self, environment: dict[str, str], *flags: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = environment
        self._flags = flags
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  closed by `remove`
        self._process = self._spawn()

    def _spawn(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "service", "serve", "--port", str(self.port)]
        return subprocess.Popen(
            [*command, *self._flags],
            env={**os.environ, **self._environment},
            stdout=self._output,
            stderr=subprocess.STDOUT,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def await_ready(self) -> None:
        """Until it takes calls."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.readiness() != 200:
            assert self._process.poll() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.05)

    def readiness(self, timeout_s: float = 10.0) -> int:
        """What /readyz answers; 0: nothing at all."""
        try:
            return httpx.get(f"{self.url}/readyz", timeout=timeout_s).status_code
        except httpx.TransportError:
            return 0

    def tell(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """As a crash or the kernel would."""
        self._process.kill()
        self._process.wait(STOP_TIMEOUT_S)

    def restart(self) -> None:
        """Start again on the same port."""
        self._process = self._spawn()
        self.await_ready()

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Its exit code."""
        return self._process.wait(timeout_s)

    def children(self, *, recursive: bool = False) -> list[psutil.Process]:
        return psutil.Process(self.pid).children(recursive=recursive)

    def output(self) -> str:
        self._output.seek(0)
        return self._output.read().decode(errors="replace")

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Its log lines of this event."""
        lines = [json.loads(line) for line in self.output().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def remove(self) -> None:
        """Leave nothing behind."""
        if self._process.poll() is None:
            family = self.children(recursive=True)
            self.kill()
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(family, STOP_TIMEOUT_S)
        self._output.close()


@contextmanager
def instances(
    *environments: dict[str, str], flags: tuple[str, ...] = ()
) -> Iterator[list[Instance]]:
    """Instances that are ready, one for each environment."""
    started = [Instance(environment, *flags) for environment in environments]
    try:
        for instance in started:
            instance.await_ready()
        yield started
    finally:
        for instance in started:
            instance.remove()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
