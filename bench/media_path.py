"""Delays that a caller notices, over real sockets: first sound of the greeting, and barge-in.

The offline engine answers, with the detector it always has. Barge-in is timed from the sending of
the first loud frame to the arrival of `clear`, while the greeting plays; once with nothing else to
do and once beside loopback calls.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from statistics import median
from time import perf_counter

import uvloop
from msgspec import Struct

from bench import servers, speech
from bench.caller import Caller, Script
from bench.load import Metronome

TRIES = 10
INTO_GREETING_S = 1.2
PATIENCE_S = 3.0
BESIDE_CALLS = 200

GREETER = """\
name: greeter
engine: offline
greeting: >-
  Hello, and thank you for calling Acme Dental. We are open from nine to five, Monday to Friday,
  and we are glad to find a day that suits you. How can we help you today?
replies:
  - hears: ["what are your opening hours", "when are you open"]
    says: "We are open from nine to five, Monday to Friday."
"""


class Delays(Struct, frozen=True):
    """What was measured, in milliseconds."""

    greeting_ms: list[float]
    barge_in_ms: list[float]


def main() -> None:
    """Measure, and print."""
    agents = {"default": servers.LOOPBACK, "greeter": GREETER}
    with servers.service(agents=agents) as server:
        alone = uvloop.run(measure(server))
        _print("nothing beside", alone)
        seconds = TRIES * (INTO_GREETING_S + 1.5)
        with servers.load_beside(server, calls=BESIDE_CALLS, seconds=seconds):
            before = loop_lags(server)
            beside = uvloop.run(measure(server))
            lags = loop_lags(server) - before
        _print(f"{BESIDE_CALLS} calls beside", beside)
        print(f"event loop woke late, {BESIDE_CALLS} calls beside: {_p99(lags)}")


async def measure(server: servers.Server) -> Delays:
    """Let several callers in one after the other, and each interrupt the greeting."""
    pieces = [Script.of(frames) for frames in speech.utterances()]
    delays = Delays([], [])
    for n in range(TRIES):
        caller = Caller(agent="greeter")
        await caller.connect(server.url, server.headers)
        talking = asyncio.create_task(Metronome([caller]).run())
        await _until(lambda: caller.came_at, "the greeting")  # noqa: B023
        delays.greeting_ms.append((caller.came_at[0] - caller.started_at) * 1000)
        await asyncio.sleep(INTO_GREETING_S)
        first_loud = len(caller.sent_at)
        caller.change(pieces[n % len(pieces)])
        await _until(lambda: caller.cleared_at, "clear")  # noqa: B023
        delays.barge_in_ms.append((caller.cleared_at[0] - caller.sent_at[first_loud]) * 1000)
        talking.cancel()
        caller.stop()
    return delays


async def _until(there: Callable[[], object], what: str) -> None:
    until = perf_counter() + PATIENCE_S
    while not there():
        if perf_counter() > until:
            raise SystemExit(f"{what} did not come in {PATIENCE_S:.0f} s")
        await asyncio.sleep(0.005)


def loop_lags(server: servers.Server) -> "Counter[float]":
    """How often the service's event loop woke at most so many seconds late, by its own metrics."""
    text = servers.metrics(server)
    found = re.findall(r'^callbridge_loop_lags_seconds_bucket{le="(.+)"} (.+)$', text, re.MULTILINE)
    return Counter({float(bound): int(float(count)) for bound, count in found})


def _p99(lags: "Counter[float]") -> str:
    total = lags[float("inf")]
    bound = min(bound for bound, count in lags.items() if count >= 0.99 * total)
    return f"p99 of {total} at most {bound * 1000:.0f} ms"


def _print(where: str, delays: Delays) -> None:
    for what, each_ms in (
        ("first sound of the greeting after start", delays.greeting_ms),
        ("clear after the first loud frame", delays.barge_in_ms),
    ):
        print(f"{what}, {where}: median {median(each_ms):.0f} ms, most {max(each_ms):.0f} ms")


if __name__ == "__main__":
    main()
