"""One agent file: read, and every fault of it found in one run.

What looks at a whole runs only once its parts are sound, so those at fault are replaced by
stand-ins, which are at fault nowhere.
"""

from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from service.agents.lines import Faults, Place, read_yaml
from service.agents.model import Agent
from service.agents.script import check_script
from service.agents.whole import faults_of
from service.agents.wording import told

STAND_IN = "stand-in"
"""Takes the place of what is at fault, so that the rest of the file can be looked into."""
NEEDED = {"name": STAND_IN, "engine": "echo"}
NAMING = frozenset({"variables", "lookups", "slots"})
"""Where names are defined: with a fault there, nothing is said of names elsewhere."""


def read_agent(content: bytes | str, faults: Faults) -> Agent | None:
    """The agent; of a file with faults, which are added, what can still be read of it."""
    data = read_yaml(content, faults)
    if faults:
        return None
    agent, doubted = _validate(data, faults)
    if agent is None:
        return None
    names_known = not doubted & NAMING
    for place, message in faults_of(agent, names_known=names_known):
        if place[0] not in doubted:
            faults.add(place, message)
    if names_known and (agent.replies or "offline" in agent.engines):
        check_script(agent, faults)
    return agent


def _validate(data: Any, faults: Faults) -> tuple[Agent | None, set[str | int]]:
    """The agent, and the keys of the file whose values are not, or not all, what it says."""
    doubted: set[str | int] = set()
    for _ in range(3):
        try:
            return Agent.model_validate(data), doubted
        except ValidationError as invalid:
            found = [*told(invalid)]
            for place, message in found:
                faults.add(place, message)
            if not isinstance(data, dict):
                break
            at_fault = {place for place, _ in found}
            doubted |= {place[0] for place in at_fault if place[0] not in _ITEMS or not place[1:]}
            doubted |= {place[0] for place in at_fault if place[0] in NAMING}
            data = _sound(data, at_fault)
    return None, doubted


def _sound(data: dict[str, Any], at_fault: set[Place]) -> dict[str, Any]:
    """The same without the parts at fault, and with stand-ins for what an agent must have."""
    in_items = {place for place in at_fault if place[0] in _ITEMS and place[1:]}
    heads = {place[0] for place in at_fault - in_items}
    sound = {key: value for key, value in data.items() if key not in heads}
    sound |= {key: value for key, value in NEEDED.items() if key in heads}
    for head in {place[0] for place in in_items} - heads:
        sound[str(head)] = [
            _ITEMS[head](i, item, {place[2:] for place in in_items if place[:2] == (head, i)})
            for i, item in enumerate(data[str(head)])
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


def _sound_tool(index: int, tool: Any, at_fault: set[Place]) -> Any:
    about = {"kind": "http", "description": STAND_IN}
    return about | _sound_server(index, {}, at_fault) if at_fault else tool


def _sound_server(index: int, server: Any, at_fault: set[Place]) -> Any:
    return {"name": f"{STAND_IN}-{index}", "url": "http://stand-in"} if at_fault else server


_ITEMS: dict[str | int, Callable[[int, Any, set[Place]], Any]] = {
    "replies": _sound_reply,
    "tools": _sound_tool,
    "mcp": _sound_server,
}
"""Lists of which one item may be at fault and the others looked into all the same."""
