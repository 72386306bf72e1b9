"""The `callbridge` command: finds the named command and runs it."""

import importlib
import sys

COMMANDS = {
    "serve": ("service.cli.serve", "run the service"),
    "call": ("service.cli.call", "place a call and follow it"),
    "replay": ("service.replay.cli", "play recorded calls"),
    "matrix": ("service.replay.matrix", "play recorded calls with every fault in them"),
    "cassette": ("service.cli.cassette", "show or redact a recorded call"),
    "twin": ("service.cli.twin", "an offline carrier"),
    "standin": ("service.cli.standin", "an offline stand-in for OpenAI"),
    "conform": ("service.cli.conform", "judge any bridge by its answers to a carrier"),
    "doctor": ("service.cli.doctor", "check every setting against the world"),
    "agents": ("service.cli.agents", "check agent files"),
}


def main(argv: list[str] | None = None) -> int:
    """Run a command. 0: fine, 1: it failed, 2: called wrongly."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] in (["-h"], ["--help"], ["help"]):
        print(_usage())
        return 0
    if not arguments or arguments[0] not in COMMANDS:
        print(_usage(), file=sys.stderr)
        return 2
    module = importlib.import_module(COMMANDS[arguments[0]][0])
    code: int = module.main(arguments[1:])
    return code


def _usage() -> str:
    lines = [f"  {name:10}{what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(["usage: callbridge COMMAND [--help]", "", *lines])


if __name__ == "__main__":
    sys.exit(main())
