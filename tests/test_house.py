"""The arrows between the rooms, read from every import, wherever in a file it stands.

A new room fails here until it is drawn into the table: that is the moment to think about it.
"""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GROUND = ["service.core"]
RULES = [*GROUND, "service.agents", "service.clock", "service.logs", "service.settings"]
LIVE = [
    *RULES,
    "service.media",
    "service.ai.base",
    "service.ai.spoken",
    "service.calls",
    "service.cassettes",
    "service.tools",
    "providers.base",
]

ARROWS = {
    "service.core": [],
    "service.logs": GROUND,
    "service.traces": GROUND,
    "service.agents": GROUND,
    "service.clock": GROUND,
    "service.settings": GROUND,
    "service.media": GROUND,
    "service.tools": [*GROUND, "service.agents"],
    "service.ai": [*GROUND, "service.agents", "service.media", "service.tools"],
    "providers.base": GROUND,
    "providers.browser": [*GROUND, "providers.base"],
    "providers.telnyx": [*GROUND, "providers.base"],
    "providers.twilio": [*GROUND, "providers.base"],
    "providers.catalog": [*GROUND, "service.settings", "providers"],
    "service.calls": [*RULES, "providers.base", "service.cassettes"],
    "service.bridge": LIVE,
    "service.page": LIVE,
    "service.engines": [*RULES, "service.ai", "service.media", "service.tools"],
    "service.standin": [*GROUND, "service.media", "service.ai.offline", "service.ai.spoken"],
    "service.app": ["service", "providers"],
    "service.twin": [*LIVE, "providers"],
    "service.conformance": [*GROUND, "service.twin", "service.replay"],
    "service.cassettes": [*GROUND, "service.media"],
    "service.replay": ["service", "providers"],
    "service.testing": ["service", "providers"],
    "service.cli": ["service", "providers"],
    "service.__main__": ["service", "providers"],
}
CARRIERS = ("providers.browser", "providers.telnyx", "providers.twilio")
NAME_CARRIERS = ("service.app", "service.twin", "service.replay", "service.cli")


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {_module(p): p for room in ("service", "providers") for p in (ROOT / room).rglob("*.py")}


def _imports(module: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(FILES[module].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are written out in full"
            source = node.module or ""
            inner = {f"{source}.{alias.name}" for alias in node.names}
            found = inner & FILES.keys()
            names |= found if found == inner else found | {source}
    return names


def _within(module: str, rooms: list[str]) -> bool:
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def _ours(module: str) -> set[str]:
    return {name for name in _imports(module) if _within(name, ["service", "providers"])}


@pytest.mark.parametrize("module", sorted(FILES.keys() - {"service", "providers"}))
def test_a_file_imports_only_what_its_room_may_know(module: str) -> None:
    rooms = [room for room in ARROWS if _within(module, [room])]
    assert rooms, f"{module} is in no room"
    strangers = {name for name in _ours(module) if not _within(name, [*rooms, *ARROWS[rooms[0]]])}
    assert not strangers


def test_no_import_leads_back_to_where_it_started() -> None:
    TopologicalSorter({module: _ours(module) - {module} for module in FILES}).prepare()


def test_the_core_stands_on_the_standard_library_and_msgspec() -> None:
    roots = {n.partition(".")[0] for m in FILES if _within(m, GROUND) for n in _imports(m)}
    assert roots - sys.stdlib_module_names <= {"msgspec", "service"}


def test_nobody_names_a_carrier_but_the_composition_root_the_twins_and_the_catalog() -> None:
    allowed = [*NAME_CARRIERS, "providers.catalog", *CARRIERS]
    named = {m for m in FILES if any(_within(n, list(CARRIERS)) for n in _imports(m))}
    assert {m for m in named if not _within(m, allowed)} == set()


def test_importing_the_service_does_nothing() -> None:
    program = (
        "import sys; before = set(sys.modules); import service; print(*set(sys.modules) - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["service"]
