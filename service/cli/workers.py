"""Several service processes behind one port: starts them, replaces one that dies, stops them all.

Each is an ordinary `callbridge serve` that shares the port (SO_REUSEPORT), so the kernel deals
connections out, and each drains for itself when it is told to stop.
"""

import signal
import subprocess
import sys
import time
from types import FrameType

RESTART_AFTER_S = 1.0
LOOK_EVERY_S = 0.2


def run_workers(count: int, *, host: str, port: int) -> int:
    """Run until told to stop. 1 when the first workers cannot start, else 0."""
    command = [sys.executable, "-m", "service", "serve", "--share-port"]
    command += ["--host", host, "--port", str(port)]
    crew = Crew(command, count)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, crew.stop)
    return crew.run()


class Crew:
    """The processes."""

    def __init__(self, command: list[str], count: int) -> None:
        self._command = command
        self._workers = [self._start() for _ in range(count)]
        self._began_s = time.monotonic()
        self._stopping = False

    def stop(self, number: int, _frame: FrameType | None) -> None:
        """Pass the signal on."""
        self._stopping = True
        for worker in self._workers:
            if worker.poll() is None:
                worker.send_signal(number)

    def run(self) -> int:
        """Watch them until all have stopped."""
        while any(worker.poll() is None for worker in self._workers):
            time.sleep(LOOK_EVERY_S)
            if not self._stopping:
                self._replace_dead()
        return 0 if self._stopping else 1

    def _replace_dead(self) -> None:
        for at, worker in enumerate(self._workers):
            if worker.poll() is None:
                continue
            if time.monotonic() - self._began_s < RESTART_AFTER_S:
                continue  # none could start: that is for a person to mend
            print(f"callbridge: worker {worker.pid} died, starting another", file=sys.stderr)
            self._began_s = time.monotonic()
            self._workers[at] = self._start()
            if self._stopping:  # told to stop while it was being started, it was not told
                self._workers[at].terminate()

    def _start(self) -> "subprocess.Popen[bytes]":
        # A group of its own, so that an interrupt from the keyboard comes through us, once.
        return subprocess.Popen(self._command, start_new_session=True)  # noqa: S603
