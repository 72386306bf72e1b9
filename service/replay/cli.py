"""`callbridge replay`: plays recorded calls and says where the bridge did something else.

In process on virtual time, or against a running service that knows the credentials which are
printed first. 0: no difference, 1: some, 2: called wrongly or a cassette cannot be read.
"""

import argparse
import contextlib
import secrets
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from msgspec.structs import replace

from service.cassettes.cassette import Cassette
from service.cassettes.files import SUFFIXES, read
from service.core.errors import ConfigError
from service.replay import matrix, playing, stage
from service.replay.diff import EXACT, LANES, OVER_A_NETWORK, STRICT, Tolerances, compare
from service.replay.junit import Case, junit
from service.replay.names import with_new_ids
from service.replay.results import (
    Replayed,
    as_case,
    as_json,
    as_text,
    keep_html,
    keep_text,
    stem_of,
)
from service.settings import Settings, environment

FINE, FAILED, CALLED_WRONGLY = 0, 1, 2
TOLERANCE_MOST = 60_000
_HOST = "127.0.0.1"


def main(argv: Sequence[str]) -> int:
    """Play every cassette that is named; none when one of them cannot be read."""
    arguments = _parse(argv)
    if arguments.faults is not None:
        return _play_with_faults(arguments)
    cassettes = _read_all(arguments)
    if cassettes is None:
        return CALLED_WRONGLY
    try:
        play = _Play(arguments)
        for folder in (arguments.out, arguments.html):
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
    except (ConfigError, OSError) as error:
        print(f"callbridge: {error}", file=sys.stderr)
        return CALLED_WRONGLY
    except httpx.HTTPError as error:
        print(f"callbridge: no service at {arguments.url}: {error}", file=sys.stderr)
        return FAILED
    with contextlib.closing(play):
        cases = _play_all(cassettes, play, arguments)
    _write_junit(arguments.junit, cases)
    return FAILED if any(case.failure or case.error for case in cases) else FINE


def _play_all(
    cassettes: Sequence[tuple[Path, Cassette]], play: "_Play", arguments: argparse.Namespace
) -> list[Case]:
    cases: list[Case] = []
    for number, (path, cassette) in enumerate(cassettes, start=1):
        _progress(f"{number}/{len(cassettes)} {path.name}")
        try:
            replayed = play(path, cassette)
        except (ConfigError, OSError, httpx.HTTPError) as error:
            _progress("")
            print(f"callbridge: {path}: {error}", file=sys.stderr)
            cases.append(_not_played(path, cassette.header.provider, str(error)))
            break
        _progress("")
        print(as_json(replayed) if arguments.json else as_text(replayed), flush=True)
        cases.append(as_case(replayed))
        _keep(replayed, arguments)
    return cases


def _play_with_faults(arguments: argparse.Namespace) -> int:
    """What came out cannot be what was recorded: it is held against the invariants instead."""
    asked = [*map(str, arguments.cassettes), "--faults", arguments.faults, "--jobs", "1"]
    asked += ["--agents", str(arguments.agents)] if arguments.agents else []
    return matrix.main([*asked, "--json"] if arguments.json else asked)


def _keep(replayed: Replayed, arguments: argparse.Namespace) -> None:
    if arguments.html is not None:
        keep_html(replayed, arguments.html)
    if arguments.out is not None and replayed.differences:
        keep_text(replayed, arguments.out)
        keep_html(replayed, arguments.out)


def _write_junit(path: Path | None, cases: Sequence[Case]) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(junit(cases))


def _not_played(path: Path, group: str, why: str) -> Case:
    return Case(group=group, name=stem_of(path), error=why)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="callbridge replay", description="Play recorded calls and compare."
    )
    add = parser.add_argument
    add("cassettes", nargs="+", type=Path, metavar="CASSETTE", help="a .jsonl or .jsonl.zst file")
    add("--url", type=_url, help="the public URL of a running service; else in this process")
    add("--port", type=int, default=8070, help="of the carrier's REST API, with --url")
    add("--speed", choices=("1", "max"), help="of speech, or as fast as it goes (not with --url)")
    add("--agents", type=Path, help="folder of agent files, else CALLBRIDGE_AGENTS")
    add("--out", type=Path, metavar="DIR", help="write what differs there, as text and as HTML")
    add("--html", type=Path, metavar="DIR", help="write a report of every call there")
    add("--junit", type=Path, metavar="FILE", help="write the results as JUnit XML")
    add("--json", action="store_true", help="one JSON object a line")
    add("--faults", metavar="FAULT[,FAULT...]", help="play with these, and check invariants")
    add("--exact", action="store_true", help="no tolerances: the same bytes at the same time")
    tolerance = f"what may differ: {', '.join(_TOLERANCES)}, in ms, words or dB; may be repeated"
    add("--tolerance", type=_tolerance, action="append", metavar="WHAT=N", help=tolerance)
    arguments = parser.parse_args(argv)
    if arguments.exact and (arguments.url or arguments.tolerance):
        parser.error("--exact leaves no tolerance, and is for a replay in this process")
    if arguments.faults and (arguments.url or arguments.speed):
        parser.error("--faults are played in this process, as fast as it goes")
    if arguments.url and arguments.speed == "max":
        parser.error("a running service goes at the speed of speech: --speed max needs no --url")
    return arguments


_TOLERANCES = {
    "webhook": "webhook_ms",
    "rest": "rest_ms",
    "api": "api_ms",
    "stream": "stream_ms",
    "clear": "clear_ms",
    "engine": "engine_ms",
    "store": "store_ms",
    "words": "heard_words",
    "level": "level_db",
}


def _tolerance(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if name not in _TOLERANCES or not number.isdecimal() or int(number) > TOLERANCE_MOST:
        raise argparse.ArgumentTypeError(
            f"expected one of {', '.join(_TOLERANCES)}, = and a number"
        )
    return _TOLERANCES[name], int(number)


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError("expected an http or https URL")
    return text.rstrip("/")


def _read_all(arguments: argparse.Namespace) -> list[tuple[Path, Cassette]] | None:
    """All cassettes; None when one cannot be read, after every fault of every one was told."""
    cassettes: list[tuple[Path, Cassette]] = []
    cases: list[Case] = []
    for path in arguments.cassettes:
        try:
            if not path.name.endswith(SUFFIXES):
                raise ConfigError("cassette.suffix", f"expected a {' or '.join(SUFFIXES)} file")
            cassettes.append((path, read(path)))
            continue
        except OSError as error:
            faults = [str(error.strerror)]
        except ConfigError as error:
            faults = error.detail.splitlines()
        cases.append(_not_played(path, path.parent.name, "\n".join(faults)))
        for fault in faults:
            print(f"callbridge: {path}: {fault}", file=sys.stderr)
    if cases:
        _write_junit(arguments.junit, cases)
    return None if cases else cassettes


class _Play:
    """How cassettes are played, as the arguments say."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._url: str = arguments.url
        self._real_time = arguments.speed == "1"
        self._tolerances = _tolerances(arguments)
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

    def __call__(self, path: Path, cassette: Cassette) -> Replayed:
        began_s = time.perf_counter()
        lanes = LANES
        if self._listener is None:
            lines = playing.play_inside(cassette, agents=self._agents, real_time=self._real_time)
        else:
            lanes = tuple(lane for lane in LANES if lane != "engine")  # unseen from outside
            cassette = with_new_ids(cassette, secrets.token_hex)
            lines = playing.play_outside(
                cassette, url=self._url, listener=self._listener, env=environment()
            )
        found = compare(cassette.lines, lines, self._tolerances, lanes=lanes)
        return Replayed(path, cassette, lines, found, time.perf_counter() - began_s)


def _tolerances(arguments: argparse.Namespace) -> Tolerances:
    if arguments.exact:
        return EXACT
    usual = OVER_A_NETWORK if arguments.url or arguments.speed == "1" else STRICT
    return replace(usual, **dict(arguments.tolerance or []))


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


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
