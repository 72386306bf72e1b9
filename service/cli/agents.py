"""`callbridge agents check`: every fault of the agent files, with file and line."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from service.agents import check
from service.agents.book import Checked
from service.agents.lines import Fault
from service.app import access_to_openai
from service.engines import lacks
from service.settings import load_or_exit


def main(argv: list[str]) -> int:
    """0: the files are fine, even if not every engine can be used here; 1: faults were printed."""
    parser = argparse.ArgumentParser(prog="callbridge agents")
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="validate agent files")
    checking.add_argument("files", nargs="*", type=Path, metavar="FILE")
    checking.add_argument("--json", action="store_true", help="print one JSON object instead")
    arguments = parser.parse_args(argv)
    settings = load_or_exit()
    paths: list[Path] = arguments.files or [settings.callbridge_agents]
    checked = check(paths, lacks=lacks(access_to_openai(settings)))
    if not checked.files:
        print("callbridge: no agent file is in the folder CALLBRIDGE_AGENTS", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps(_described(checked)))
    else:
        _show(checked)
    return 1 if checked.faults else 0


def _show(checked: Checked) -> None:
    for fault in (*checked.faults, *checked.warnings):
        print(fault, file=sys.stderr)
    if not checked.faults:
        print(f"{checked.files} agent file{'s' * (checked.files != 1)} checked, no faults")


def _described(checked: Checked) -> dict[str, Any]:
    """`{"files", "faults", "warnings"}`; each fault `{"file", "line", "place", "message"}`."""
    return {
        "files": checked.files,
        "faults": [_fault(fault) for fault in checked.faults],
        "warnings": [_fault(fault) for fault in checked.warnings],
    }


def _fault(fault: Fault) -> dict[str, Any]:
    return {
        "file": fault.file,
        "line": fault.line,
        "place": fault.place,
        "message": fault.message,
    }
