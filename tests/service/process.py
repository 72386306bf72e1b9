"""The service as a process of its own, as an operator runs it: real port, real Redis, real logs."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx

START_TIMEOUT_S = 30.0
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # making one with certificates takes a while
STOP_TIMEOUT_S = 20.0
KEPT = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "TMPDIR", "VIRTUAL_ENV")
ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "service", "serve")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Nothing of the person's own settings, and these."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "CALLBRIDGE_AGENTS": str(ROOT / "agents"), **settings}


class Process:
    """A running service."""

    def __init__(self, settings: Mapping[str, str], *arguments: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}"
        self._folder = tempfile.TemporaryDirectory(prefix="callbridge-")
        self._log: IO[bytes] = (Path(self._folder.name) / "log").open("wb")
        self._popen = subprocess.Popen(
            [*COMMAND, "--port", str(self.port), *arguments],
            env=environment(settings),
            cwd=self._folder.name,  # where no .env lies
            stdout=self._log,
            stderr=self._log,
        )

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            assert self._popen.poll() is None, self.log()
            try:
                if httpx.get(f"{self.url}/readyz", verify=NO_TLS).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.02)
        raise AssertionError(f"the service does not get ready\n{self.log()}")

    def log(self) -> str:
        """Everything it has written so far."""
        return Path(self._log.name).read_text()

    def terminate(self) -> None:
        self._popen.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        return self._popen.wait(STOP_TIMEOUT_S)

    def running(self) -> bool:
        return self._popen.poll() is None

    def stop(self) -> None:
        if self.running():
            self.terminate()
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        self._log.close()
        self._folder.cleanup()


@contextmanager
def running(settings: Mapping[str, str], *arguments: str) -> Iterator[Process]:
    """A service that is ready, for as long as the context lasts."""
    process = Process(settings, *arguments)
    try:
        process.wait_ready()
        yield process
    finally:
        process.stop()


def refused(settings: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    """A start that is to fail."""
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(
            [*COMMAND, *arguments],
            env=environment(settings),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
        )
