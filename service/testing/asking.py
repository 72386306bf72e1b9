"""What a test asks for, by its markers and its project's settings, and what it is shown.

The plugin's working half. A path is looked for in the project first, then beside the test.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from service.testing.artifacts import save
from service.testing.phones import Phones
from service.testing.replaying import Replay, Wish, replay
from service.testing.scripted_call import ScriptedCall
from service.testing.sound import find
from service.testing.stages import Stages

_PROVIDERS = ("twilio", "telnyx")
_ENGINES = ("recorded", "live")
_CALL: dict[str, Any] = {"agents": None, "provider": "twilio", "settings": {}, "standin": None}
_CASSETTE: dict[str, Any] = {
    "faults": "",
    "agents": None,
    "engine": "recorded",
    "tolerances": {},
    "compare": True,
}
_WILD = frozenset("*?[")

Section = tuple[str, str]


def phones(item: pytest.Item, stages: Stages) -> Phones:
    """The phones of a test; of several markers the nearest has the last word."""
    asked = dict(_CALL)
    for marker in reversed([*item.iter_markers("callbridge")]):
        asked |= _arguments(marker, _CALL)
    if asked["provider"] not in _PROVIDERS:
        pytest.fail(f"provider={asked['provider']!r}: expected twilio or telnyx", pytrace=False)
    return Phones(
        stages,
        agents=agents_of(item, asked["agents"]),
        provider=asked["provider"],
        settings={name: str(value) for name, value in asked["settings"].items()},
        recorded=item.config.getoption("callbridge_artifacts") is not None,
        folders=_folders(item),
        standin=_standin(item, asked["standin"]),
    )


def _standin(item: pytest.Item, asked: str | Path | None) -> Path | None:
    if asked is None:
        return None
    try:
        return find(asked, _folders(item))
    except FileNotFoundError as error:
        pytest.fail(f"no script of a stand-in: {error}", pytrace=False)


def tell(item: pytest.Item, made: Phones) -> list[Section]:
    """The calls of a test that failed, for its report; kept as files when that was asked for."""
    begun = [call for call in made.calls if call.begun]
    sections = []
    for number, call in enumerate(begun, start=1):
        title = "callbridge call" + (f" {number} of {len(begun)}" if len(begun) > 1 else "")
        text = str(call)
        folder = item.config.getoption("callbridge_artifacts")
        if folder is not None:
            name = f"{item.nodeid}-{number}" if len(begun) > 1 else item.nodeid
            text += _kept(call, Path(folder), name)
        sections.append((title, text))
    return sections


def _kept(call: ScriptedCall, folder: Path, name: str) -> str:
    call.finish()
    return "".join(f"\nkept: {path}" for path in save(call, folder, name))


def cassettes(item: pytest.Item, marker: pytest.Mark) -> list[Path]:
    """The files that a marker names; one that is not there is for its own test to say."""
    if not marker.args:
        pytest.fail(f"{item.nodeid}: the cassette marker needs a path", pytrace=False)
    _arguments(marker, _CASSETTE)
    return [path for pattern in marker.args for path in _matching(item, str(pattern))]


def played(item: pytest.Item, path: Path | None) -> Replay:
    """The replay of a marked test."""
    marker = item.get_closest_marker("cassette")
    if marker is None or path is None:
        pytest.fail("`replay` needs a marker: @pytest.mark.cassette('fixtures/...')", pytrace=False)
    asked = _CASSETTE | _arguments(marker, _CASSETTE)
    if asked["engine"] not in _ENGINES:
        pytest.fail(f"engine={asked['engine']!r}: expected recorded or live", pytrace=False)
    wish = Wish(
        agents=agents_of(item, asked["agents"]),
        faults=asked["faults"],
        engine=asked["engine"],
        tolerances=asked["tolerances"],
    )
    return replay(path, wish)


def judge(item: pytest.Function) -> None:
    """Fail a marked test whose call did not go as it must, unless it compares by itself."""
    marker, done = item.get_closest_marker("cassette"), item.funcargs.get("replay")
    if marker is None or not isinstance(done, Replay):
        return
    if marker.kwargs.get("compare", True) and done.verdict:
        pytest.fail(done.verdict, pytrace=False)


def _arguments(marker: pytest.Mark, known: Mapping[str, Any]) -> dict[str, Any]:
    unknown = set(marker.kwargs) - set(known)
    if unknown:
        pytest.fail(
            f"{marker.name} marker: no argument {', '.join(sorted(unknown))}; "
            f"there are: {', '.join(known)}",
            pytrace=False,
        )
    return dict(marker.kwargs)


def agents_of(item: pytest.Item, asked: str | Path | None) -> Path:
    """The folder of agent files that a test uses."""
    try:
        return find(asked or item.config.getini("callbridge_agents"), _folders(item))
    except FileNotFoundError as error:
        fault = f"no folder of agent files: {error}"
    pytest.fail(f"{fault}; `callbridge_agents` in pytest's settings names it", pytrace=False)


def _matching(item: pytest.Item, pattern: str) -> list[Path]:
    for folder in _folders(item):
        if not _WILD.isdisjoint(pattern):
            found = sorted(folder.glob(pattern))
        else:
            found = [path for path in [folder / pattern] if path.exists()]
        if found:
            return found
    return [item.config.rootpath / pattern]


def _folders(item: pytest.Item) -> tuple[Path, ...]:
    return (item.config.rootpath, item.path.parent)
