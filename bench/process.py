"""What a process costs, processor time and memory, and where and how soon it may run."""

import os
from pathlib import Path

import psutil


def pin(pid: int, core: int) -> None:
    """Keep a process on one core, where the system can and has so many."""
    if hasattr(os, "sched_setaffinity") and core < (os.cpu_count() or 1):
        os.sched_setaffinity(pid, {core})


def hurry(nice: int) -> None:
    """Give this process and all that it starts a priority, of its session's group too."""
    os.nice(nice)
    group = Path("/proc/self/autogroup")
    if group.exists():  # where it does, a process's own priority holds inside its session only
        group.write_text(str(nice))


def cpu_s(pid: int) -> float:
    """Processor time used so far, user and system, all threads.

    The kernel's scheduler counts in nanoseconds where it tells; elsewhere in ticks of 10 ms.
    """
    try:
        tasks = [*Path(f"/proc/{pid}/task").iterdir()]
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except OSError:
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)


def rss_bytes(pid: int) -> int:
    """Memory that is really there for the process now."""
    return int(psutil.Process(pid).memory_info().rss)
