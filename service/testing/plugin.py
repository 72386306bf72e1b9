"""The pytest plugin, loaded by its entry point wherever callbridge is installed: TESTING.md.

Names what there is and does no more: all that works is imported when a test asks for it. So other
projects' runs pay nothing, and coverage, which starts after plugins are loaded, misses nothing.
"""

from __future__ import annotations

import importlib
import warnings
from inspect import isfunction
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path
    from types import ModuleType

    from service.testing.phones import Phones
    from service.testing.replaying import Replay
    from service.testing.scripted_call import ScriptedCall
    from service.testing.stages import Stages

_MARKERS = (
    "callbridge(agents=None, provider='twilio', settings={}, standin=None): the agent files, "
    "carrier, settings and stand-in for OpenAI of this test's calls",
    "cassette(*paths, faults='', agents=None, engine='recorded', tolerances={}, compare=True): "
    "plays recorded calls (paths or globs), one test each; fails where the service does otherwise",
)


def _load(name: str) -> ModuleType:
    """A part of this room; what the libraries under it warn of at import is not the tests'."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(f"service.testing.{name}")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Our option and our settings."""
    parser.addini("callbridge_agents", "folder of agent files that tests call", default="agents")
    parser.addini("callbridge_cassettes", "cassettes in these folders are tests", type="args")
    parser.getgroup("callbridge").addoption(
        "--callbridge-artifacts",
        metavar="DIR",
        help="write the calls of failed tests into DIR, as cassettes and as sound",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Our markers."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


# Calls -------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def _callbridge_stages() -> Iterator[Stages]:
    stages: Stages = _load("stages").Stages()
    yield stages
    stages.close()


@pytest.fixture
def bridge(request: pytest.FixtureRequest, _callbridge_stages: Stages) -> Iterator[Phones]:
    """Phones to call your agents with, as many as a test needs: `bridge.dial("receptionist")`."""
    made: Phones = _load("asking").phones(request.node, _callbridge_stages)
    request.node.stash[_PHONES] = made
    yield made
    made.finish()


@pytest.fixture
def call(bridge: Phones) -> ScriptedCall:
    """A phone call, scripted in code: `call.dial("receptionist")`, `listen`, `say`, ..."""
    return bridge.new_call()


_PHONES: pytest.StashKey[Phones] = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """The conversation, with a test that failed."""
    report = yield
    if report.failed and report.when == "call" and _PHONES in item.stash:
        report.sections += _load("asking").tell(item, item.stash[_PHONES])
    return report


# Cassettes ---------------------------------------------------------------------------------------


def pytest_pycollect_makeitem(
    collector: pytest.Module | pytest.Class, name: str, obj: object
) -> None:
    """A marked test is given its replay whether it names it or not."""
    if isfunction(obj) and collector.funcnamefilter(name):
        own = {mark.name for mark in getattr(obj, "pytestmark", [])}
        if "cassette" in own or collector.get_closest_marker("cassette") is not None:
            pytest.mark.usefixtures("replay")(obj)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each cassette."""
    marker = metafunc.definition.get_closest_marker("cassette")
    if marker is not None:
        found: list[Path] = _load("asking").cassettes(metafunc.definition, marker)
        metafunc.parametrize("replay", found, indirect=True, ids=[path.stem for path in found])


@pytest.fixture
def replay(request: pytest.FixtureRequest) -> Replay:
    """The marked cassette, played: `differences`, `events`, `turns`, `transcript`."""
    done: Replay = _load("asking").played(request.node, getattr(request, "param", None))
    return done


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """What the cassette says must have been done, whatever else a test asserts."""
    result = yield
    if pyfuncitem.get_closest_marker("cassette") is not None:
        _load("asking").judge(pyfuncitem)
    return result


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> Any:
    """Cassettes as tests of their own, in the folders that `callbridge_cassettes` names."""
    folders = parent.config.getini("callbridge_cassettes")
    if not folders or not file_path.name.endswith((".jsonl", ".jsonl.zst")):
        return None
    if not any(file_path.is_relative_to(parent.config.rootpath / folder) for folder in folders):
        return None
    return _load("files").CassetteFile.from_parent(parent, path=file_path)
