"""`callbridge replay`: plays recorded calls and says where the bridge did something else.

In process on virtual time, or against a running service that knows the credentials which are
printed first. 0: no difference, 1: some, 2: called wrongly or a cassette cannot be read.
"""

import argparse
import contextlib
import json
import secrets
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from msgspec import Struct

from service.cassettes.cassette import Cassette, read
from service.core.errors import ConfigError
from service.replay import playing, stage
from service.replay.diff import OVER_A_NETWORK, STRICT, Difference, Tolerances, compare
from service.replay.names import with_new_ids
from service.settings import Settings, environment

FINE, FAILED, CALLED_WRONGLY = 0, 1, 2
_HOST = "127.0.0.1"


class _Replayed(Struct, frozen=True):
    path: Path
    cassette: Cassette
    differences: list[Difference]
    took_s: float


def main(argv: Sequence[str]) -> int:
    """Play every cassette that is named; none when one of them cannot be read."""
    arguments = _parse(argv)
    cassettes = _read_all(arguments.cassettes)
    if cassettes is None:
        return CALLED_WRONGLY
    try:
        play = _Play(arguments)
        if arguments.out is not None:
            arguments.out.mkdir(parents=True, exist_ok=True)
    except (ConfigError, OSError) as error:
        print(f"callbridge: {error}", file=sys.stderr)
        return CALLED_WRONGLY
    except httpx.HTTPError as error:
        print(f"callbridge: no service at {arguments.url}: {error}", file=sys.stderr)
        return FAILED
    with contextlib.closing(play):
        return _play_all(cassettes, play, arguments)


def _play_all(
    cassettes: Sequence[tuple[Path, Cassette]], play: "_Play", arguments: argparse.Namespace
) -> int:
    differ = 0
    for number, (path, cassette) in enumerate(cassettes, start=1):
        _progress(f"{number}/{len(cassettes)} {path.name}")
        try:
            replayed = play(path, cassette)
        except (ConfigError, OSError, httpx.HTTPError) as error:
            _progress("")
            print(f"callbridge: {path}: {error}", file=sys.stderr)
            return FAILED
        _progress("")
        print(_as_json(replayed) if arguments.json else _as_text(replayed), flush=True)
        if replayed.differences:
            differ += 1
            _keep(replayed, arguments.out)
    return FAILED if differ else FINE


def _keep(replayed: _Replayed, folder: Path | None) -> None:
    if folder is not None:
        name = f"{replayed.cassette.header.provider}-{replayed.path.stem}.diff.txt"
        (folder / name).write_text(_as_text(replayed) + "\n", "utf-8")


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="callbridge replay", description="Play recorded calls and compare."
    )
    add = parser.add_argument
    add("cassettes", nargs="+", type=Path, metavar="CASSETTE", help="a .jsonl file")
    add("--url", type=_url, help="the public URL of a running service; else in this process")
    add("--port", type=int, default=8070, help="of the carrier's REST API, with --url")
    add("--speed", choices=("1", "max"), help="of speech, or as fast as it goes (not with --url)")
    add("--agents", type=Path, help="folder of agent files, else CALLBRIDGE_AGENTS")
    add("--out", type=Path, metavar="DIR", help="write what differs into files there, too")
    add("--json", action="store_true", help="one JSON object a line")
    arguments = parser.parse_args(argv)
    if arguments.url and arguments.speed == "max":
        parser.error("a running service goes at the speed of speech: --speed max needs no --url")
    return arguments


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError("expected an http or https URL")
    return text.rstrip("/")


def _read_all(paths: Sequence[Path]) -> list[tuple[Path, Cassette]] | None:
    """All cassettes; None when one cannot be read, after every fault of every one was printed."""
    cassettes, faults = [], []
    for path in paths:
        if path.suffix != ".jsonl":
            faults.append(f"{path}: expected a .jsonl file")
            continue
        try:
            cassettes.append((path, read(path)))
        except OSError as error:
            faults.append(f"{path}: {error.strerror}")
        except ConfigError as error:
            faults += [f"{path}: {fault}" for fault in error.detail.splitlines()]
    for fault in faults:
        print(f"callbridge: {fault}", file=sys.stderr)
    return None if faults else cassettes


class _Play:
    """How cassettes are played, as the arguments say."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._url: str = arguments.url
        self._real_time = arguments.speed == "1"
        self._agents: Path = arguments.agents or Settings.load(environment()).callbridge_agents
        self._listener: socket.socket | None = None
        if self._url:
            httpx.get(f"{self._url}/healthz", trust_env=False).raise_for_status()
            self._listener = socket.create_server((_HOST, arguments.port))
            _introduce(self._listener.getsockname()[1])

    def close(self) -> None:
        """Give the carrier's port back."""
        if self._listener is not None:
            self._listener.close()

    def __call__(self, path: Path, cassette: Cassette) -> _Replayed:
        began_s = time.perf_counter()
        tolerances: Tolerances = STRICT
        if self._listener is None:
            slow = self._real_time
            lines = playing.play_inside(cassette, agents=self._agents, real_time=slow)
            tolerances = OVER_A_NETWORK if slow else STRICT
        else:
            cassette = with_new_ids(cassette, secrets.token_hex)
            lines = playing.play_outside(
                cassette, url=self._url, listener=self._listener, env=environment()
            )
            tolerances = OVER_A_NETWORK
        found = compare(cassette.lines, lines, tolerances)
        return _Replayed(path, cassette, found, time.perf_counter() - began_s)


def _introduce(port: int) -> None:
    known = {name: stage.ENVIRONMENT[name] for name in _CREDENTIALS}
    known["TWILIO_API_BASE"] = f"http://{_HOST}:{port}"
    known["TELNYX_API_BASE"] = f"http://{_HOST}:{port}/v2"
    settings = [f"{name}={value}" for name, value in known.items()]
    print("the service needs:", *settings, sep="\n  ", file=sys.stderr, flush=True)


_CREDENTIALS = (
    "TWILIO_ACCOUNT_SID",
    "TWILIO_AUTH_TOKEN",
    "TELNYX_API_KEY",
    "TELNYX_PUBLIC_KEY",
    "TELNYX_CONNECTION_ID",
)


def _as_text(replayed: _Replayed) -> str:
    count = len(replayed.differences)
    verdict = "same" if not count else f"differs in {count} place{'s' if count > 1 else ''}"
    length_s = replayed.cassette.length_ms / 1000
    head = f"{replayed.path}: {verdict} ({length_s:.1f} s played in {replayed.took_s:.1f} s)"
    return "\n".join([head, *map(str, replayed.differences)])


def _as_json(replayed: _Replayed) -> str:
    differences = [
        {
            "at_ms": difference.at_ms,
            "lane": difference.lane,
            "kind": difference.kind,
            "what": difference.what,
            "expected": difference.expected,
            "actual": difference.actual,
        }
        for difference in replayed.differences
    ]
    return json.dumps(
        {
            "cassette": str(replayed.path),
            "same": not differences,
            "length_ms": replayed.cassette.length_ms,
            "took_s": round(replayed.took_s, 3),
            "differences": differences,
        }
    )


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
