"""`python -m bench.answers`: what an answer of the OpenAI engines costs the bridge.

Calls that ask a question every few seconds, all at once, on one core; the stand-in for OpenAI has
the other, with its delays at zero, and so have the callers. What is measured is the bridge's own
part: from the decision that the caller's turn is over to the first frame of the answer going out,
by the transcripts' latency. Its processor time is that of the whole conversation.
"""

import asyncio
import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any
from urllib.request import urlopen

import numpy as np
import uvloop
from msgspec import Struct

from bench import media_path, servers, speech
from bench.caller import Caller, Script
from bench.load import Metronome, connect_all
from bench.process import cpu_s, hurry

ENGINES = ("openai-realtime", "openai-pipeline")
CALLS = (1, 10, 50)
QUESTION_MS, SILENCE_MS, FRAME_MS = 1400, 5600, 20
GREETING_S = 4.0

AGENT = """\
name: default
engine: {engine}
greeting: "Hello, Acme Dental."
instructions: You answer the phone.
"""
STANDIN = """\
heard: ["are you open on monday"]
repeats: true
replies: [{hears: "*", says: "Yes, we are open from nine to five."}]
sound: {speed: 0}
"""


class Answers(Struct, frozen=True):
    """What was measured with so many calls."""

    engine: str
    calls: int
    own_ms: list[int]  # of each answer but a call's first, which waits for the greeting's end
    parts_ms: dict[str, list[int]]
    cpu_ms: float  # per call-second


def main() -> None:
    """Measure, and print a table."""
    parser = ArgumentParser(prog="python -m bench.answers", description=__doc__)
    parser.add_argument("--calls", type=int, nargs="+", default=CALLS, metavar="N")
    parser.add_argument("--engines", nargs="+", default=ENGINES, metavar="ENGINE")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--nice", type=int, default=0, help="e.g. -20 (needs root)")
    given = parser.parse_args()
    if given.nice:
        hurry(given.nice)
    print("| engine | calls | answers | own ms p50 | p99 | most | CPU ms/call-s | where, p99 ms |")
    print("| --- | --: | --: | --: | --: | --: | --: | --- |")
    for engine in given.engines:
        for calls in given.calls:
            print(_row(measure(engine, calls, given.seconds)), flush=True)
    print()
    for engine in given.engines:
        print(barge_in(engine), flush=True)


def measure(engine: str, calls: int, seconds: float) -> Answers:
    """Let so many calls talk for so long."""
    with standin() as url:
        env = {"OPENAI_API_KEY": "sk-standin", "OPENAI_BASE_URL": url}
        agents = {"default": AGENT.format(engine=engine)}
        with servers.service(agents=agents, env=env) as server:
            cpu_ms = uvloop.run(_talk(server, calls, seconds)) * 1000
            latencies = [*_latencies(server)]
    parts: dict[str, list[int]] = {}
    for latency in latencies:
        for step, length_ms in latency.items():
            parts.setdefault(step, []).append(length_ms)
    own = [one["response_ms"] - one["end_of_turn_ms"] for one in latencies]
    return Answers(engine, calls, own, parts, cpu_ms)


def barge_in(engine: str) -> str:
    """From the first loud frame over the greeting to the `clear`."""
    agent = media_path.GREETER.replace("engine: offline", f"engine: {engine}")
    with standin() as url:
        env = {"OPENAI_API_KEY": "sk-standin", "OPENAI_BASE_URL": url}
        with servers.service(agents={"default": servers.LOOPBACK, "greeter": agent}, env=env) as on:
            delays = uvloop.run(media_path.measure(on))
    took_ms = delays.barge_in_ms
    return f"{engine}: first loud frame to clear {median(took_ms):.0f} ms, most {max(took_ms):.0f}"


@contextmanager
def standin() -> Iterator[str]:
    """The stand-in for OpenAI on the second core; gives its base URL."""
    with TemporaryDirectory(prefix="bench-") as folder:
        script = Path(folder, "script.yaml")
        script.write_text(STANDIN)
        port = servers.free_port()
        command = [sys.executable, "-m", "service", "standin", "--script", str(script)]
        command += ["--port", str(port)]
        with servers.process(command, port, core=servers.OTHER_CORE):
            yield f"http://127.0.0.1:{port}/v1"


async def _talk(server: servers.Server, calls: int, seconds: float) -> float:
    """Processor seconds of the service per call-second."""
    script = _question()
    gap = len(script.frames) // calls or 1
    callers = [Caller(script, offset=-gap * n) for n in range(calls)]
    await connect_all(callers, server.url, server.headers)
    talking = asyncio.create_task(Metronome(callers).run())
    await asyncio.sleep(GREETING_S)
    began, before = perf_counter(), cpu_s(server.pid)
    await asyncio.sleep(seconds)
    spent = (cpu_s(server.pid) - before) / (perf_counter() - began) / calls
    talking.cancel()
    for caller in callers:
        caller.stop()
    await asyncio.sleep(1)
    return spent


def _question() -> Script:
    """A question, and silence while it is answered, again and again."""
    words = speech.utterances()[0][: QUESTION_MS // FRAME_MS]
    return Script.of([*words, *[speech.SILENCE] * (SILENCE_MS // FRAME_MS)])


def _latencies(server: servers.Server) -> Iterator[dict[str, int]]:
    base = server.url.replace("ws:", "http:").replace("/twilio/stream", "/v1/calls")
    for call in _get(f"{base}?limit=100")["calls"]:
        turns = _get(f"{base}/{call['call_id']}/transcript")["turns"]
        yield from [turn["latency"] for turn in turns if turn["latency"]][1:]


def _get(url: str) -> dict[str, Any]:
    with urlopen(url) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def _row(seen: Answers) -> str:
    p50, p99, most = np.percentile(seen.own_ms, [50, 99, 100])
    where = ", ".join(
        f"{step.removesuffix('_ms')} {np.percentile(lengths, 99):.0f}"
        for step, lengths in seen.parts_ms.items()
        if step not in ("end_of_turn_ms", "response_ms")
    )
    return (
        f"| {seen.engine} | {seen.calls} | {len(seen.own_ms)} | {p50:.0f} | {p99:.0f} "
        f"| {most:.0f} | {seen.cpu_ms:.1f} | {where} |"
    )


if __name__ == "__main__":
    main()
