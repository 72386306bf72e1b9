"""A folder of agent files: read, read again when they change, and chosen from.

Every fault of every file is told in one run, each with file and line.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from msgspec import Struct

from service.agents.lines import Fault, Faults, Place, content_of, written
from service.agents.model import Agent
from service.agents.reading import STAND_IN, read_agent
from service.core.errors import ConfigError

FOLDERS_REMEMBERED = 4
"""Tests and replays start services by the hundred, and YAML takes longer than all else of that."""


class Filed(Struct, frozen=True):
    """An agent, its file, and the lines of it that name the agent's engines."""

    agent: Agent
    path: Path
    engine_lines: tuple[int, ...]


Lacks = Callable[[Agent, str], str | None]
"""What an agent's engine of this name lacks; None: nothing."""


class Checked(Struct, frozen=True):
    """What was found in so many files."""

    files: int
    faults: list[Fault]
    warnings: list[Fault]


class AgentBook:
    """The agents of a folder. Reads files: for a live service in an executor."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._filed: tuple[Filed, ...] = ()
        self._seen: tuple[tuple[str, int, int], ...] = ()

    def load(self) -> None:
        """Read all files; ConfigError lists every fault of all of them."""
        faults = self._read()
        if faults:
            raise ConfigError("agents.invalid", "\n".join(faults))

    def refresh(self) -> list[str]:
        """Read again if a file changed. With faults, which come back, the old agents stay."""
        return [] if self._look() == self._seen else self._read()

    def choose(self, *, asked: str | None, dialled: str | None) -> tuple[Agent, bool]:
        """The agent asked for; when none is, the dialled number's; else the default one.

        False says that `asked` is unknown: that gets the default agent, whatever was dialled.
        """
        agents = [*self]
        default = self.get("default") or agents[0]
        if asked:
            named = self.get(asked)
            return named or default, named is not None
        by_number = (agent for agent in agents if dialled and dialled in agent.numbers)
        return next(by_number, default), True

    def get(self, name: str) -> Agent | None:
        """The agent of this name."""
        return next((agent for agent in self if agent.name == name), None)

    def lacking(self, lacks: Lacks) -> list[str]:
        """Where an agent names an engine that cannot be used, and why: no fault of the file."""
        return [str(found) for found in _lacking(self._filed, lacks)]

    def __iter__(self) -> Iterator[Agent]:
        return (filed.agent for filed in self._filed)

    def __len__(self) -> int:
        return len(self._filed)

    def _read(self) -> list[str]:
        self._seen = self._look()
        filed, faults = _read_all(agent_files(self._folder))
        if not filed and not faults:
            return [f"{self._folder}: no agent files (*.yaml)"]
        if not faults:
            self._filed = filed
        return [str(fault) for fault in faults]

    def _look(self) -> tuple[tuple[str, int, int], ...]:
        seen = []
        for path in agent_files(self._folder):
            try:
                stat = path.stat()
            except OSError:  # gone between listing and looking
                continue
            seen.append((str(path), stat.st_mtime_ns, stat.st_size))
        return tuple(seen)


def check(paths: list[Path], *, lacks: Lacks | None = None) -> Checked:
    """Every fault of these files, and of the files in these folders.

    With `lacks` also where an engine is named that cannot be used here: no fault of the file.
    """
    files = [file for path in paths for file in (agent_files(path) if path.is_dir() else [path])]
    filed, faults = _read_all(files)
    warnings = [] if lacks is None else _lacking(filed, lacks)
    return Checked(len(files), faults, warnings)


def agent_files(folder: Path) -> list[Path]:
    """The agent files of a folder, by name."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.suffix in (".yaml", ".yml") and p.is_file())


def _lacking(filed: Iterable[Filed], lacks: Lacks) -> list[Fault]:
    return [
        Fault(
            file=str(one.path),
            line=line,
            place=written(place),
            message=f"{engine} cannot be used: {reason}",
            is_warning=True,
        )
        for one in filed
        for engine, place, line in zip(
            one.agent.engines, _engine_places(one.agent), one.engine_lines, strict=True
        )
        if (reason := lacks(one.agent, engine)) is not None
    ]


def _engine_places(agent: Agent) -> list[Place]:
    return [("engine",), *(("fallback", i) for i in range(len(agent.fallback)))]


def _read_all(paths: Iterable[Path]) -> tuple[tuple[Filed, ...], list[Fault]]:
    filed, faults = _understood(tuple((path, content_of(path)) for path in paths))
    return filed, [*faults]


@lru_cache(maxsize=FOLDERS_REMEMBERED)
def _understood(
    files: tuple[tuple[Path, bytes | str], ...],
) -> tuple[tuple[Filed, ...], tuple[Fault, ...]]:
    """The agents of so many files, and every fault. Pure, so the same files are read once."""
    filed: list[Filed] = []
    all_faults: list[Fault] = []
    owners: dict[str, Path] = {}
    for path, content in files:
        faults = Faults(path)
        agent = read_agent(content, faults)
        is_usable = not faults
        if agent is not None:
            _claim(agent, owners, faults)
        if agent is not None and is_usable:
            lines = tuple(faults.line(place) for place in _engine_places(agent))
            filed.append(Filed(agent, path, lines))
        all_faults += faults.found()
    return tuple(filed), tuple(all_faults)


def _claim(agent: Agent, owners: dict[str, Path], faults: Faults) -> None:
    """Names and numbers belong to one agent each."""
    claims: list[tuple[str, Place]] = []
    if not faults or agent.name != STAND_IN:
        claims.append((agent.name, ("name",)))
    claims += [(number, ("numbers", i)) for i, number in enumerate(agent.numbers)]
    for claim, place in claims:
        if claim in owners:
            faults.add(place, f"given twice, first in {owners[claim]}")
        owners.setdefault(claim, faults.path)
