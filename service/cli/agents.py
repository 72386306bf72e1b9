"""`callbridge agents check`: every fault of the agent files, with file and line."""

import argparse
import sys
from pathlib import Path

from service.agents import check
from service.settings import load_or_exit


def main(argv: list[str]) -> int:
    """0: all files are fine, 1: faults were printed."""
    parser = argparse.ArgumentParser(prog="callbridge agents")
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="validate agent files")
    checking.add_argument("files", nargs="*", type=Path, metavar="FILE")
    arguments = parser.parse_args(argv)
    files: list[Path] = arguments.files or _all_files()
    if not files:
        print("callbridge: no agent file is in the folder CALLBRIDGE_AGENTS", file=sys.stderr)
        return 1
    faults = check(files)
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print(f"{len(files)} agent file{'s' * (len(files) != 1)} checked, no faults")
    return 1 if faults else 0


def _all_files() -> list[Path]:
    return sorted(load_or_exit().callbridge_agents.glob("*.y*ml"))
