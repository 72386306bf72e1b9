"""Several service processes behind one port: starts them, replaces one that dies, stops them all.

Each is an ordinary `callbridge serve` that takes its connections from the one socket we opened:
what waits in that socket is lost with none of them, and who is idle takes it. Each drains for
itself when it is told to stop, or when we are gone: its standard input ends with us.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from types import FrameType

RESTART_AFTER_S = 1.0
LOOK_EVERY_S = 0.2


def run_workers(count: int, listening: socket.socket, *, host: str, port: int) -> int:
    """Run until told to stop. 1 when the first workers cannot start, else 0."""
    crew = Crew(count, listening, ["--host", host, "--port", str(port)])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, crew.stop)
    return crew.run()


class Crew:
    """The processes."""

    def __init__(self, count: int, listening: socket.socket, arguments: list[str]) -> None:
        self._listening = listening
        self._arguments = arguments
        self._our_life, _ = os.pipe()  # nothing is ever written: it ends when we do, however we do
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
        socket_number = self._listening.fileno()
        return subprocess.Popen(  # noqa: S603
            [
                *(sys.executable, "-m", "service", "serve", *self._arguments),
                *("--socket", str(socket_number)),
            ],
            pass_fds=[socket_number],
            stdin=self._our_life,
            # A group of its own, so that an interrupt from the keyboard comes through us, once.
            start_new_session=True,
        )
