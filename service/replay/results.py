"""What came of replayed cassettes, told: as text, as JSON, as files for people and for builds."""

import json
from pathlib import Path

from msgspec import Struct

from service.cassettes.cassette import Cassette, Line
from service.cassettes.files import SUFFIXES
from service.replay.diff import Difference
from service.replay.junit import Case
from service.replay.report import render, verdict


class Replayed(Struct, frozen=True):
    """One cassette that was played."""

    path: Path
    cassette: Cassette
    lines: list[Line]  # what the bridge did
    differences: list[Difference]
    took_s: float


def stem_of(path: Path) -> str:
    """A cassette's name without its suffixes."""
    return next((path.name.removesuffix(s) for s in SUFFIXES if path.name.endswith(s)), path.name)


def as_text(replayed: Replayed) -> str:
    """For a terminal: one line, and three or four for each difference."""
    length_s = replayed.cassette.length_ms / 1000
    said = verdict(len(replayed.differences))
    head = f"{replayed.path}: {said} ({length_s:.1f} s played in {replayed.took_s:.1f} s)"
    return "\n".join([head, *map(str, replayed.differences)])


def as_json(replayed: Replayed) -> str:
    """For a program: one object on one line."""
    differences = [
        {
            "at_ms": difference.at_ms,
            "lane": difference.lane,
            "kind": difference.kind,
            "what": difference.what,
            "expected": difference.expected,
            "actual": difference.actual,
            "rule": difference.rule,
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


def as_case(replayed: Replayed) -> Case:
    """For a build."""
    count = len(replayed.differences)
    said = "\n".join([verdict(count), *map(str, replayed.differences)]) if count else None
    return Case(
        group=replayed.cassette.header.provider,
        name=stem_of(replayed.path),
        took_s=replayed.took_s,
        failure=said,
    )


def keep_text(replayed: Replayed, folder: Path) -> None:
    """Write what differs."""
    _file(replayed, folder, ".diff.txt").write_text(as_text(replayed) + "\n", "utf-8")


def keep_html(replayed: Replayed, folder: Path) -> None:
    """Write the report."""
    name = str(replayed.path)
    page = render(name, replayed.cassette, replayed.lines, replayed.differences)
    _file(replayed, folder, ".html").write_text(page, "utf-8")


def _file(replayed: Replayed, folder: Path, suffix: str) -> Path:
    return folder / f"{replayed.cassette.header.provider}-{stem_of(replayed.path)}{suffix}"
