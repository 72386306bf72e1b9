"""The load generator: many callers from one process, and what they saw, as JSON on stdout.

Each caller says 50 frames a second; the callers are spread over the 20 ms. It measures the server's
process from outside: set-up cost while the sockets open and no frame flows, then the cost of a
window in which all talk. It measures itself too, since a late generator makes late frames.
"""

import asyncio
import gc
from argparse import ArgumentParser
from time import perf_counter, process_time

import msgspec
import numpy as np
import uvloop
from msgspec import Struct

from bench import speech
from bench.caller import Caller, Script
from bench.process import cpu_s, rss_bytes

SLOTS = 20
"""Callers speak in slots of 1 ms, which is what the loop's timers can tell apart."""

FRAMES_A_SECOND = 50

AT_ONCE = 8
"""Sockets opened at the same time."""

SETTLE_S = 1.0
WARM_CALL_S = 2.5
"""A call's last traces, the hang-up among them, come a while after its end."""
WARM_S = 1.5
LAST_FRAMES_S = 1.0


class Seen(Struct, frozen=True, kw_only=True):
    """What one run has shown."""

    calls: int
    seconds: float
    sent: int
    missing: int
    wrong: int
    lost_calls: int
    marks: int
    cpu_ms: float  # per call-second: 50 frames that came and went in the window
    busy: float  # share of its core that the server used
    p50_ms: float
    p99_ms: float
    p999_ms: float
    most_ms: float
    setup_ms: float  # processor time per call
    memory_kb: float  # per call
    own_lag_ms: float  # the generator's, p99
    own_busy: float


class Metronome:
    """Lets every caller speak each 20 ms, by an absolute schedule."""

    def __init__(self, callers: list[Caller]) -> None:
        self.lags: list[float] = []
        self._slots: list[list[Caller]] = [[] for _ in range(SLOTS)]
        for n, caller in enumerate(callers):
            self._slots[n * SLOTS // len(callers)].append(caller)

    async def run(self) -> None:
        """Until cancelled."""
        due = perf_counter()
        while True:
            for slot in self._slots:
                due += 0.02 / SLOTS
                await asyncio.sleep(max(0.0, due - perf_counter()))
                self.lags.append(perf_counter() - due)
                for caller in slot:
                    caller.say()


async def connect_all(callers: list[Caller], url: str, headers: list[tuple[str, str]]) -> None:
    """Open every caller's socket, a few at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def connect(caller: Caller) -> None:
        async with gate:
            await caller.connect(url, headers)

    await asyncio.gather(*map(connect, callers))


async def warm_up(url: str, headers: list[tuple[str, str]]) -> None:
    """One short call, so that what a server does once is not booked on the first caller."""
    caller = Caller()
    await caller.connect(url, headers)
    for _ in range(25):
        caller.say()
        await asyncio.sleep(0.02)
    caller.stop()
    await asyncio.sleep(WARM_CALL_S)


async def run(
    url: str, headers: list[tuple[str, str]], *, calls: int, seconds: float, pid: int
) -> Seen:
    """Open `calls` calls, let them talk, and measure for `seconds`."""
    script = Script.of(speech.talk())
    callers = [Caller(script, offset=37 * n) for n in range(calls)]
    await warm_up(url, headers)
    memory_before, setup_before = rss_bytes(pid), cpu_s(pid)
    await connect_all(callers, url, headers)
    await asyncio.sleep(SETTLE_S)
    setup = cpu_s(pid) - setup_before
    gc.collect()
    gc.disable()  # its pauses are not the server's
    metronome = Metronome(callers)
    talking = asyncio.create_task(metronome.run())
    await asyncio.sleep(WARM_S)
    metronome.lags.clear()
    began, cpu_before, own_before = perf_counter(), cpu_s(pid), process_time()
    await asyncio.sleep(seconds)
    ended, cpu, own = perf_counter(), cpu_s(pid) - cpu_before, process_time() - own_before
    memory = rss_bytes(pid) - memory_before
    talking.cancel()
    await asyncio.sleep(LAST_FRAMES_S)
    lost = sum(caller.closed for caller in callers)
    for caller in callers:
        caller.stop()
    late_ms, sent = lateness_ms(callers, began, ended)
    returned = sum(began <= at < ended for caller in callers for at in caller.came_at)
    p50, p99, p999, most = np.percentile(late_ms, [50, 99, 99.9, 100])
    return Seen(
        calls=calls,
        seconds=ended - began,
        sent=sent,
        missing=sent - len(late_ms),
        wrong=sum(caller.wrong for caller in callers),
        lost_calls=lost,
        marks=sum(caller.marks for caller in callers),
        cpu_ms=cpu * 1000 * FRAMES_A_SECOND / returned,
        busy=cpu / (ended - began),
        p50_ms=float(p50),
        p99_ms=float(p99),
        p999_ms=float(p999),
        most_ms=float(most),
        setup_ms=setup * 1000 / calls,
        memory_kb=memory / 1000 / calls,
        own_lag_ms=float(np.percentile(metronome.lags, 99)) * 1000,
        own_busy=own / (ended - began),
    )


def lateness_ms(callers: list[Caller], began: float, ended: float) -> tuple[list[float], int]:
    """Arrival minus sending of each frame sent in the window that came back; how many were sent."""
    late: list[float] = []
    sent = 0
    for caller in callers:
        sent += sum(began <= at < ended for at in caller.sent_at)
        pairs = zip(caller.sent_at, caller.came_at, strict=False)
        late += [(came - at) * 1000 for at, came in pairs if began <= at < ended]
    if not late:
        raise SystemExit("not one frame came back")
    return late, sent


def main() -> None:
    """Take the command line of `bench.servers.load`."""
    parser = ArgumentParser(prog="python -m bench.load")
    parser.add_argument("--url", required=True)
    parser.add_argument("--signature", default="")
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--pid", type=int, required=True, help="the server's process")
    given = parser.parse_args()
    headers = [("X-Twilio-Signature", given.signature)] if given.signature else []
    seen = uvloop.run(
        run(given.url, headers, calls=given.calls, seconds=given.seconds, pid=given.pid)
    )
    print(msgspec.json.encode(seen).decode())


if __name__ == "__main__":
    main()
