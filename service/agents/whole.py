"""What is wrong with an agent as a whole: names that nobody knows, parts that do not go together.

Each part of it is sound by itself; that is seen to before.
"""

from collections import Counter
from collections.abc import Collection, Iterator

from service.agents.lines import Place
from service.agents.model import BUILT_IN, Agent
from service.agents.placeholders import misplaced
from service.agents.schemas import schema_faults
from service.agents.tools import HttpTool

Found = Iterator[tuple[Place, str]]
SILENT = ("echo", "loopback")
"""Engines that need no greeting."""


def faults_of(agent: Agent, *, given: Collection[str] = (), names_known: bool = True) -> Found:
    """Each fault, with its place. `given`: variables that the call brings beside the file's.

    Not `names_known`: what defines variables is at fault itself, so nothing is said of names.
    """
    yield from _of_engines(agent)
    yield from _of_turn_taking(agent)
    yield from _of_variables(agent)
    yield from _of_tools(agent)
    if agent.voicemail.policy == "leave_message" and not agent.voicemail.message:
        yield ("voicemail", "message"), "leave_message needs a message"
    if names_known:
        yield from misplaced(agent, given)


def _of_engines(agent: Agent) -> Found:
    if not agent.greeting and agent.engine not in SILENT:
        yield ("greeting",), f"the {agent.engine} engine needs one"
    for i, engine in enumerate(agent.fallback):
        if engine in agent.engines[: i + 1]:
            yield ("fallback", i), f"{engine} stands before it already"


def _of_turn_taking(agent: Agent) -> Found:
    """Times that were written; a default gives way to what is."""
    times, written = agent.turn_taking, agent.turn_taking.model_fields_set
    if "quick_ms" in written and times.quick_ms > times.end_of_turn_ms:
        yield ("turn_taking", "quick_ms"), f"more than end_of_turn_ms, {times.end_of_turn_ms}"
    if "patient_ms" in written and times.patient_ms < times.end_of_turn_ms:
        yield ("turn_taking", "patient_ms"), f"less than end_of_turn_ms, {times.end_of_turn_ms}"


def _of_variables(agent: Agent) -> Found:
    places: list[Place] = [("variables", name) for name in agent.variables]
    for i, lookup in enumerate(agent.lookups):
        places += [("lookups", i, "variables", name) for name in lookup.variables]
    for place in places:
        if place[-1] in BUILT_IN:
            yield place, "every call brings this itself: choose another name"


def _of_tools(agent: Agent) -> Found:
    yield from _named_twice("tools", [tool.name for tool in agent.tools])
    yield from _named_twice("mcp", [server.name for server in agent.mcp])
    for i, tool in enumerate(agent.tools):
        if isinstance(tool, HttpTool):
            yield from schema_faults(("tools", i, "parameters"), tool.parameters)


def _named_twice(part: str, names: list[str]) -> Found:
    seen: Counter[str] = Counter()
    for i, name in enumerate(names):
        if seen[name]:
            yield (part, i), f"{name}: given twice"
        seen[name] += 1
