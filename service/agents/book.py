"""A folder of agent files: read, read again when they change, and chosen from.

Every fault of every file is told in one run, each with file and line.
"""

from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from msgspec import Struct
from pydantic import ValidationError

from service.agents.lines import Faults, Place, content_of, read_yaml
from service.agents.model import Agent
from service.agents.script import check_script
from service.core.errors import ConfigError

STAND_IN = "stand-in"
"""Takes the place of what is at fault, so that the rest of the file can be looked into."""
NEEDED = {"name": STAND_IN, "engine": "echo"}
FOLDERS_REMEMBERED = 4
"""Tests and replays start services by the hundred, and YAML takes longer than all else of that."""


class Filed(Struct, frozen=True):
    """An agent, and the line of its file that names the engine."""

    agent: Agent
    engine_at: str


class Checked(Struct, frozen=True):
    """What was found in so many files."""

    files: int
    faults: list[str]
    warnings: list[str]


class AgentBook:
    """The agents of a folder. Reads files: for a live service in an executor."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._agents: tuple[Agent, ...] = ()
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
        default = self.get("default") or self._agents[0]
        if asked:
            named = self.get(asked)
            return named or default, named is not None
        by_number = (agent for agent in self._agents if dialled and dialled in agent.numbers)
        return next(by_number, default), True

    def get(self, name: str) -> Agent | None:
        """The agent of this name."""
        return next((agent for agent in self._agents if agent.name == name), None)

    def without_engine(self, engines: Collection[str]) -> list[str]:
        """Where an agent names an engine that is none of these: who calls it gets an apology."""
        return _without_engine(self._filed, engines)

    def __iter__(self) -> Iterator[Agent]:
        return iter(self._agents)

    def __len__(self) -> int:
        return len(self._agents)

    def _read(self) -> list[str]:
        self._seen = self._look()
        filed, faults = _read_all(agent_files(self._folder))
        if not filed and not faults:
            faults = [f"{self._folder}: no agent files (*.yaml)"]
        if not faults:
            self._filed = filed
            self._agents = tuple(one.agent for one in filed)
        return faults

    def _look(self) -> tuple[tuple[str, int, int], ...]:
        seen = []
        for path in agent_files(self._folder):
            try:
                stat = path.stat()
            except OSError:  # gone between listing and looking
                continue
            seen.append((str(path), stat.st_mtime_ns, stat.st_size))
        return tuple(seen)


def check(paths: list[Path], *, engines: Collection[str] | None = None) -> Checked:
    """Every fault of these files, and of the files in these folders.

    With `engines` also where another one is named: no fault, since another version may have it.
    """
    files = [file for path in paths for file in (agent_files(path) if path.is_dir() else [path])]
    filed, faults = _read_all(files)
    warnings = [] if engines is None else _without_engine(filed, engines)
    return Checked(len(files), faults, warnings)


def agent_files(folder: Path) -> list[Path]:
    """The agent files of a folder, by name."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.suffix in (".yaml", ".yml") and p.is_file())


def _without_engine(filed: Iterable[Filed], engines: Collection[str]) -> list[str]:
    return [
        f"{one.engine_at}: warning: engine: this version cannot run {one.agent.engine}"
        for one in filed
        if one.agent.engine not in engines
    ]


def _read_all(paths: Iterable[Path]) -> tuple[tuple[Filed, ...], list[str]]:
    filed, faults = _understood(tuple((path, content_of(path)) for path in paths))
    return filed, [*faults]


@lru_cache(maxsize=FOLDERS_REMEMBERED)
def _understood(
    files: tuple[tuple[Path, bytes | str], ...],
) -> tuple[tuple[Filed, ...], tuple[str, ...]]:
    """The agents of so many files, and every fault. Pure, so the same files are read once."""
    filed: list[Filed] = []
    all_faults: list[str] = []
    owners: dict[str, Path] = {}
    for path, content in files:
        faults = Faults(path)
        agent = _read(content, faults)
        is_usable = not faults
        if agent is not None:
            _claim(agent, owners, faults)
        if agent is not None and is_usable:
            filed.append(Filed(agent, faults.where(("engine",))))
        all_faults += faults.lines()
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


def _read(content: bytes | str, faults: Faults) -> Agent | None:
    """The agent; of a file with faults, which are added, what can still be read of it."""
    data = read_yaml(content, faults)
    agent = None if faults else _validate(data, faults)
    if agent is not None and agent.engine == "offline":
        check_script(agent, faults)
    return agent


def _validate(data: Any, faults: Faults) -> Agent | None:
    # What looks at a whole runs only once its parts are sound, so those at fault are replaced.
    for _ in range(3):
        try:
            return Agent.model_validate(data)
        except ValidationError as invalid:
            errors = invalid.errors(include_url=False, include_input=False)
            for error in errors:
                faults.add(error["loc"], error["msg"].removeprefix("Value error, "))
            if not isinstance(data, dict):
                return None
            data = _sound(data, {error["loc"] for error in errors})
    return None


def _sound(data: dict[str, Any], at_fault: set[Place]) -> dict[str, Any]:
    """The same without the parts at fault, and with stand-ins for what an agent must have."""
    in_replies = {place[1:] for place in at_fault if place[0:1] == ("replies",) and place[1:]}
    heads = {place[0] for place in at_fault if place} - ({"replies"} if in_replies else set())
    sound = {key: value for key, value in data.items() if key not in heads}
    sound |= {key: value for key, value in NEEDED.items() if key in heads}
    if () in at_fault:
        sound["greeting"] = STAND_IN
    if heads & {"slots", "variables"}:
        sound["engine"] = NEEDED["engine"]  # a script whose names are in doubt is not looked into
    if in_replies:
        sound["replies"] = [
            _sound_reply(i, reply, {place[1:] for place in in_replies if place[0] == i})
            for i, reply in enumerate(data["replies"])
        ]
    return sound


def _sound_reply(index: int, reply: Any, at_fault: set[Place]) -> Any:
    if not at_fault:
        return reply
    heads = {place[0] for place in at_fault if place}
    sound = {k: v for k, v in reply.items() if k not in heads} if isinstance(reply, dict) else {}
    sound.setdefault("says", STAND_IN)
    if (() in at_fault or heads & {"hears", "key"}) and not sound.get("hears"):
        sound["hears"] = [f"{STAND_IN} {chr(0x4E00 + index)}"]  # a letter: no two may be the same
    return sound
