"""Cassettes in tests: a recorded call is played, and what the service did is at hand for asserts.

Without faults the service must do what the cassette says, but for what the tolerances allow. With
faults it may do otherwise, and what must hold of every call must hold of this one.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import pytest
from msgspec import Struct, structs

from service.cassettes.cassette import Cassette, Line
from service.cassettes.files import read
from service.core.errors import ConfigError
from service.replay import faults as faulty
from service.replay.diff import STRICT, Difference, Tolerances, compare
from service.replay.faults import Faults
from service.replay.invariants import Breach, breaches
from service.replay.playing import play_inside
from service.replay.trial import try_out
from service.testing.readings import Event, Said
from service.testing.stages import agent_files, plain_faults

Engine = Literal["recorded", "live"]

_WHO = {"turn.agent": "agent", "turn.user": "caller"}


class Wish(Struct, frozen=True, kw_only=True):
    """How a cassette is to be played, and what may differ."""

    agents: Path
    faults: str = ""
    engine: Engine = "recorded"
    tolerances: Mapping[str, Any] = {}


class Replay(Struct, frozen=True, kw_only=True):
    """One cassette, played. `lines`: what the service did, in the shape of a cassette."""

    path: Path
    cassette: Cassette
    lines: tuple[Line, ...]
    differences: tuple[Difference, ...] = ()  # without faults
    breaches: tuple[Breach, ...] = ()  # with faults

    @property
    def events(self) -> tuple[Event, ...]:
        """The call's record."""
        happened = ((line.at_ms, line.event) for line in self.lines if line.lane == "store")
        return tuple(Event(event.type, ms, event.data) for ms, event in happened if event)

    @property
    def turns(self) -> tuple[Said, ...]:
        """Who said what."""
        return tuple(
            Said(
                who=_WHO[event.type],
                text=event.data["text"],
                heard_text=event.data.get("heard_text", event.data["text"]),
                interrupted=event.data.get("interrupted", False),
                latency=event.data.get("latency", {}),
            )
            for event in self.events
            if event.type in _WHO
        )

    @property
    def transcript(self) -> str:
        """The same for reading: a line for each turn."""
        return "\n".join(f"{turn.who}: {turn.text}" for turn in self.turns)

    @property
    def verdict(self) -> str:
        """What was wrong, for reading; empty when nothing was."""
        wrong: Sequence[Difference | Breach] = self.differences or self.breaches
        if not wrong:
            return ""
        what = "differs" if self.differences else "breaks a rule"
        places = f"{len(wrong)} place{'s' if len(wrong) > 1 else ''}"
        return "\n".join([f"{self.path}: {what} in {places}", *map(str, wrong)])


def replay(path: Path, wish: Wish) -> Replay:
    """Play it. The test fails with every fault of what it asks for, and then nothing is played."""
    tolerances = _allowed(wish.tolerances)
    cassette = _load(path)
    with plain_faults():
        faults = faulty.parse(wish.faults)
        stamp = (path.stat().st_mtime_ns, agent_files(wish.agents))
        lines, broken = _play(path, stamp, wish.agents, faults=faults, engine=wish.engine)
    found = () if faults.faults else tuple(compare(cassette.lines, lines, tolerances))
    return Replay(path=path, cassette=cassette, lines=lines, differences=found, breaches=broken)


@lru_cache(maxsize=16)
def _play(
    path: Path, _stamp: object, agents: Path, *, faults: Faults, engine: Engine
) -> tuple[tuple[Line, ...], tuple[Breach, ...]]:
    """Several tests may look at one call: it goes the same way each time, so it is played once."""
    cassette = _load(path)
    if not faults.faults:
        return tuple(play_inside(cassette, agents=agents, engine=engine)), ()
    evidence = try_out(cassette, faults, agents=agents)
    entries = [
        Line(at_ms=max(0, entry.at_ms), lane="store", from_="bridge", event=entry.happened)
        for record in evidence.entries.values()
        for entry in record
    ]
    return (*evidence.lines, *entries), tuple(breaches(evidence))


def _load(path: Path) -> Cassette:
    try:
        return read(path)
    except OSError as error:
        faults = [error.strerror or "cannot be read"]
    except ConfigError as error:
        faults = error.detail.splitlines()
    pytest.fail("\n".join(f"{path}: {fault}" for fault in faults), pytrace=False)


def _allowed(tolerances: Mapping[str, Any]) -> Tolerances:
    unknown = set(tolerances) - set(Tolerances.__struct_fields__)
    if unknown:
        known = ", ".join(Tolerances.__struct_fields__)
        text = f"no such tolerance: {', '.join(sorted(unknown))}; there are: {known}"
        pytest.fail(text, pytrace=False)
    return structs.replace(STRICT, **tolerances)
