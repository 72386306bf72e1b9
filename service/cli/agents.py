"""`callbridge agents check`: every fault of the agent files, with file and line."""

import argparse
import sys
from pathlib import Path

from service.agents import check
from service.app import engine_names
from service.settings import load_or_exit


def main(argv: list[str]) -> int:
    """0: all files are fine, if perhaps for another version; 1: faults were printed."""
    parser = argparse.ArgumentParser(prog="callbridge agents")
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="validate agent files")
    checking.add_argument("files", nargs="*", type=Path, metavar="FILE")
    arguments = parser.parse_args(argv)
    paths: list[Path] = arguments.files or [load_or_exit().callbridge_agents]
    checked = check(paths, engines=engine_names())
    if not checked.files:
        print("callbridge: no agent file is in the folder CALLBRIDGE_AGENTS", file=sys.stderr)
        return 1
    for line in (*checked.faults, *checked.warnings):
        print(line, file=sys.stderr)
    if checked.faults:
        return 1
    print(f"{checked.files} agent file{'s' * (checked.files != 1)} checked, no faults")
    return 0
