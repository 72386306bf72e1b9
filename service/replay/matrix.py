"""`callbridge matrix`: every fault over every cassette, each run held against the invariants.

Runs go to as many processes as there are cores; faults that meet nothing in a call are left out.
Prints a row for each cassette, then every breach by name. 0: none, 1: some, 2: called wrongly or a
cassette cannot be read.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path

from msgspec import Struct

from service.cassettes.cassette import Cassette
from service.cassettes.files import read
from service.core.errors import ConfigError
from service.replay.faults import Faults, FaultsError, parse
from service.replay.invariants import Breach, breaches
from service.replay.meets import meets
from service.replay.trial import try_out
from service.settings import Settings, environment

FINE, FAILED, CALLED_WRONGLY = 0, 1, 2

EVERY_FAULT = (
    "drop=5%",
    "double=5%",
    "reorder=3",
    "jitter=60ms",
    "marks=late:400ms",
    "marks=lost",
    "marks=after-clear",
    "webhooks=shuffled",
    "webhooks=repeated",
    "webhooks=late:5s",
    "cut@60",
    "cut@60:stop",
    "second-start@50",
    "second-socket@50",
    "engine=stall@1,linger=15s",
    "engine=die@1",
    "engine=twice@1",
    "engine=stall@2,linger=15s",
    "engine=die@2",
    "redis=slow:300ms",
    "redis=away:0s..2s",
    "redis=away:1s..3s",
    "redis=failover@1s",
    "sigterm@2s",
)
"""What `--faults all` stands for: one run of each."""


class Run(Struct, frozen=True):
    """One cassette with some faults, and what was broken; left out: they meet nothing in it."""

    cassette: str
    faults: str
    breaches: tuple[Breach, ...]
    took_s: float
    left_out: bool = False


def play(path: Path, faults: Faults, agents: Path) -> Run:
    """One run."""
    began_s = time.perf_counter()
    try:
        cassette = _read(path)
        if not meets(cassette, faults):
            return Run(_name(path), str(faults), (), 0.0, left_out=True)
        found = breaches(try_out(cassette, faults, agents=agents))
    except Exception as crash:  # the other runs are to be made all the same
        found = [Breach(0, "it runs", f"{type(crash).__name__}: {crash}")]
    return Run(_name(path), str(faults), tuple(found), time.perf_counter() - began_s)


@lru_cache(maxsize=1)
def _read(path: Path) -> Cassette:
    """Every fault in turn has the same file."""
    return read(path)


def play_all(
    paths: Sequence[Path], faults: Sequence[Faults], *, agents: Path, jobs: int
) -> Iterator[Run]:
    """Every cassette with each of the faults, cassette by cassette."""
    pairs = [*itertools.product(paths, faults)]
    each = ([path for path, _ in pairs], [some for _, some in pairs], itertools.repeat(agents))
    if jobs == 1:
        yield from map(play, *each)
        return
    # A process that has threads must not be forked.
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=fresh) as pool:
        yield from pool.map(play, *each)


def main(argv: Sequence[str]) -> int:
    """Run what is asked for and print it."""
    arguments = _parse(argv)
    try:
        agents = arguments.agents or Settings.load(environment()).callbridge_agents
    except ConfigError as error:
        print(f"callbridge: {error}", file=sys.stderr)
        return CALLED_WRONGLY
    if not _can_read(arguments.cassettes):
        return CALLED_WRONGLY
    return report(
        arguments.cassettes,
        arguments.faults,
        agents=agents,
        jobs=arguments.jobs,
        as_json=arguments.json,
    )


def report(
    paths: Sequence[Path], faults: Sequence[Faults], *, agents: Path, jobs: int, as_json: bool
) -> int:
    """Run every cassette with each of the faults and print what came of it, as it comes."""
    began_s = time.perf_counter()
    if not as_json:
        _print_legend(faults)
    broken: list[Run] = []
    left_out = 0
    runs = play_all(paths, faults, agents=agents, jobs=jobs)
    for _ in paths:
        row = [*itertools.islice(runs, len(faults))]
        broken += [run for run in row if run.breaches]
        left_out += sum(run.left_out for run in row)
        print(*(map(_as_json, row) if as_json else [_row(row)]), sep="\n", flush=True)
    if not as_json:
        count = len(paths) * len(faults) - left_out
        took_s = time.perf_counter() - began_s
        print(*map(_in_full, broken), sep="\n", end="\n" if broken else "")
        runs_made = f"{count} run{'' if count == 1 else 's'}"
        rest = f"; {left_out} left out, whose faults meet nothing in the call" if left_out else ""
        print(f"{runs_made}, {len(broken)} with a breach, in {took_s:.0f} s{rest}")
    return FAILED if broken else FINE


def faults_named(text: str) -> list[Faults]:
    """One run's faults, or with `all` those of every run."""
    return [parse(each) for each in (EVERY_FAULT if text == "all" else (text,))]


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="callbridge matrix", description="Play recorded calls with faults in them."
    )
    add = parser.add_argument
    add("cassettes", nargs="+", type=Path, metavar="CASSETTE", help="a recorded call")
    add(
        "--faults",
        action="extend",
        type=_faults,
        metavar="FAULT[,FAULT...]",
        help="of one run, may be given again; else all",
    )
    add("--agents", type=Path, help="folder of agent files, else CALLBRIDGE_AGENTS")
    add("--jobs", type=_jobs, default=os.cpu_count() or 1, help="runs at once, else one a core")
    add("--json", action="store_true", help="one JSON object a line for each run")
    arguments = parser.parse_args(argv)
    arguments.faults = arguments.faults or faults_named("all")
    return arguments


def _faults(text: str) -> list[Faults]:
    try:
        return faults_named(text)
    except FaultsError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _jobs(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("expected a number from 1 on")
    return int(text)


def _can_read(paths: Iterable[Path]) -> bool:
    """Whether all can be played; every fault of every one is printed."""
    faults: list[str] = []
    for path in paths:
        faults += _faults_of(path)
    for fault in faults:
        print(f"callbridge: {fault}", file=sys.stderr)
    return not faults


def _faults_of(path: Path) -> list[str]:
    try:
        _cassette: Cassette = read(path)
    except OSError as error:
        return [f"{path}: {error.strerror}"]
    except ConfigError as error:
        return [f"{path}: {fault}" for fault in error.detail.splitlines()]
    return []


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name.partition('.')[0]}"


def _print_legend(faults: Sequence[Faults]) -> None:
    for number, some in enumerate(faults):
        print(f"  {_column(number)}  {some or 'no fault'}")
    print()


def _column(number: int) -> str:
    return chr(ord("a") + number % 26)


def _row(row: Sequence[Run]) -> str:
    """A dot for each run that was fine, a dash for one that was left out, else its letter."""
    marks = "".join(_mark(at, run) for at, run in enumerate(row))
    return f"{marks}  {row[0].cassette}"


def _mark(number: int, run: Run) -> str:
    if run.breaches:
        return _column(number)
    return "-" if run.left_out else "."


def _in_full(run: Run) -> str:
    head = f"\n{run.cassette} with {run.faults or 'no fault'}"
    return "\n".join([head, *(f"  {breach}" for breach in run.breaches)])


def _as_json(run: Run) -> str:
    found = [{"at_ms": b.at_ms, "rule": b.rule, "what": b.what} for b in run.breaches]
    return json.dumps(
        {
            "cassette": run.cassette,
            "faults": run.faults,
            "breaches": found,
            "took_s": round(run.took_s, 3),
            "left_out": run.left_out,
        }
    )
