"""`callbridge cassette`: shows what is in a recorded call, and takes out what tells of people."""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from service.cassettes import files
from service.cassettes.cassette import Cassette, CassetteError, Header, Line
from service.cassettes.redaction import Redactor
from service.cassettes.sound import Keep

TEXT_MOST = 160
"""Characters of one happening that are shown."""

_AUDIO: dict[Keep, Any] = {"voice": "generated", "silence": "silenced"}


def main(argv: list[str]) -> int:
    """0: done, 1: the file cannot be used, 2: called wrongly."""
    arguments = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], None] = arguments.run
    try:
        run(arguments)
    except CassetteError as error:
        print(f"callbridge: {arguments.file}: no cassette\n{error.detail}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"callbridge: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="callbridge cassette")
    commands = parser.add_subparsers(dest="command", required=True)
    showing = commands.add_parser("show", help="list what happened, one line each")
    showing.add_argument("file", type=Path, metavar="FILE")
    showing.set_defaults(run=_show)
    redacting = commands.add_parser("redact", help="put stand-ins for numbers, names, ids, secrets")
    redacting.add_argument("file", type=Path, metavar="IN")
    redacting.add_argument("out", type=Path, metavar="OUT")
    redacting.add_argument("--audio", choices=("keep", "voice", "silence"), default="keep")
    redacting.set_defaults(run=_redact)
    return parser


def _redact(arguments: argparse.Namespace) -> None:
    cassette = files.read(arguments.file)
    redactor = Redactor(arguments.audio)
    header = redactor.header(cassette.header)
    header = replace(header, audio=_AUDIO.get(arguments.audio, header.audio))
    files.write(arguments.out, Cassette(header, tuple(map(redactor.line, cassette.lines))))


def _show(arguments: argparse.Namespace) -> None:
    cassette = files.read(arguments.file)
    print(_title(cassette.header, cassette.length_ms))
    for row in rows(cassette):
        print(row)


def _title(header: Header, length_ms: int) -> str:
    told = "redacted" if header.redacted else "NOT redacted: it tells of people"
    facts = f"{header.provider}, agent {header.agent}, {length_ms / 1000:.1f} s, {told}"
    return f"{header.title} ({facts})"


class _Stretch(Struct):
    """Sound of one side, message after message."""

    key: tuple[str, str]
    began_ms: int
    last_ms: int
    messages: int


def rows(cassette: Cassette) -> Iterator[str]:
    """One line for each thing that happened; sound without a pause is one."""
    stretches: dict[tuple[str, str], _Stretch] = {}
    for line in cassette.lines:
        key = (line.lane, line.from_)
        if _is_sound(line):
            known = stretches.get(key)
            if known is None:
                stretches[key] = _Stretch(key, line.at_ms, line.at_ms, 1)
            else:
                known.last_ms, known.messages = line.at_ms, known.messages + 1
            continue
        # What the other side does goes on meanwhile; what this side does ends its sound.
        if key in stretches:
            yield _sound(stretches.pop(key))
        yield _row(line.at_ms, *key, f"{line.kinds[0]} {_content(line)}")
    yield from map(_sound, stretches.values())


def _is_sound(line: Line) -> bool:
    if line.message is not None:
        return line.message.get("event") == "media"
    return line.event is not None and line.event.type == "turn_audio"


def _sound(stretch: _Stretch) -> str:
    end = f"{stretch.last_ms / 1000:.3f}"
    return _row(stretch.began_ms, *stretch.key, f"sound until {end} s, {stretch.messages} messages")


def _row(at_ms: int, lane: str, who: str, what: str) -> str:
    short = what if len(what) <= TEXT_MOST else f"{what[:TEXT_MOST]}..."
    return f"{at_ms / 1000:9.3f} s  {lane:8}{who:8}{short}"


def _content(line: Line) -> str:
    if line.event is not None:
        return f"{line.event.type} {_json(line.event.data)}"
    if line.request is not None:
        body = line.request.form or line.request.json or {}
        return f"{line.request.method} {line.request.path} {_json(body)}"
    return _json(getattr(line, line.kinds[0]))


def _json(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
