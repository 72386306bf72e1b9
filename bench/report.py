"""The runs as a table, in plain text or Markdown, and the machine they were made on."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from msgspec import Struct

from bench.load import Seen

HEAD = (
    "server",
    "calls",
    "CPU ms/call-s",
    "to bare",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "missing",
    "kB/call",
    "set-up ms/call",
)


class Row(Struct, frozen=True):
    """One server at one number of calls, over all rounds."""

    server: str
    runs: list[Seen]
    bare: list[Seen]


def cells(row: Row) -> list[str]:
    """What the table says of it: medians over the rounds, and the sum of what went missing."""

    def middle(name: str) -> float:
        return float(median(getattr(run, name) for run in row.runs))

    ratio = "-"
    if row.bare:
        pairs = zip(row.runs, row.bare, strict=True)
        ratio = f"{median(run.cpu_ms / bare.cpu_ms for run, bare in pairs):.2f}"
    return [
        row.server,
        str(row.runs[0].calls),
        f"{middle('cpu_ms'):.2f}",
        ratio,
        f"{middle('p50_ms'):.2f}",
        f"{middle('p99_ms'):.1f}",
        f"{middle('p999_ms'):.1f}",
        str(sum(run.missing for run in row.runs)),
        f"{middle('memory_kb'):.0f}",
        f"{middle('setup_ms'):.1f}",
    ]


def progress(server: str, seen: Seen) -> str:
    """One run in one line, while the others still go on."""
    return (
        f"{server:<22} {seen.calls:>4} calls  {seen.cpu_ms:.2f} ms per call-second  "
        f"p99 {seen.p99_ms:.1f} ms  {seen.missing} missing"
    )


def plain(rows: Sequence[Row]) -> str:
    """The table for a terminal."""
    lines = [list(HEAD), *map(cells, rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(HEAD))]
    return "\n".join(_aligned(line, widths) for line in lines)


def markdown(rows: Sequence[Row]) -> str:
    """The table for README.md."""
    rule = ["---", *["--:"] * (len(HEAD) - 1)]
    lines = [list(HEAD), rule, *map(cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def notes(rows: Sequence[Row]) -> list[str]:
    """What makes a run doubtful: lost calls, changed frames, a generator at its limit."""
    found = []
    for row in rows:
        for run in row.runs:
            where = f"{row.server} at {run.calls} calls"
            if run.lost_calls:
                found.append(f"{where}: {run.lost_calls} calls were cut off")
            if run.wrong:
                found.append(f"{where}: {run.wrong} frames came back changed")
            if run.own_busy > 0.9 or run.own_lag_ms > 5:
                found.append(
                    f"{where}: the generator itself was late (p99 {run.own_lag_ms:.1f} ms, "
                    f"{run.own_busy:.0%} of its core), so lateness is partly its own"
                )
            if run.busy > 0.95:
                found.append(f"{where}: the server used {run.busy:.0%} of its core")
    return found


def machine() -> str:
    """The machine in one line."""
    system = f"{platform.system()} {platform.release()}"
    return f"{os.cpu_count()} cores, {_cpu_model()}, {system}, Python {platform.python_version()}"


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _aligned(line: list[str], widths: list[int]) -> str:
    first, *rest = (
        f"{cell:<{width}}" if n == 0 else f"{cell:>{width}}"
        for n, (cell, width) in enumerate(zip(line, widths, strict=True))
    )
    return "  ".join([first, *rest]).rstrip()
