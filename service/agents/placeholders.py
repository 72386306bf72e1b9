"""What stands in braces in an agent's texts and URLs, and whether anybody can fill it in.

`{name}` is a variable, a built-in one, or a tool's argument; `{secret.NAME}` is for headers only.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from service.agents.lines import Place
from service.agents.model import BUILT_IN, PLACEHOLDER, Agent
from service.agents.tools import HttpTool

Found = Iterator[tuple[Place, str]]
Text = tuple[Place, str]

BRACED = re.compile(r"\{([^{}]*)\}")
_SECRET = re.compile(r"secret\.[A-Z][A-Z0-9_]{0,63}")
_SECRETS_IN_HEADERS = "a secret may stand in headers only"


def misplaced(agent: Agent, given: Collection[str]) -> Found:
    """Each placeholder that names nothing, or stands where it must not. `given`: more names."""
    known = names_in(agent) | {*given}
    for place, text in _lines(agent):
        yield from _in_line(place, text, known)
    yield from _in_prose(("instructions",), agent.instructions, known)
    for i, tool in enumerate(agent.tools):
        if isinstance(tool, HttpTool):
            yield from _in_line(("tools", i, "url"), tool.url, known | _arguments(tool))
            yield from _in_headers(("tools", i), tool.headers, known)
    for i, server in enumerate(agent.mcp):
        yield from _in_line(("mcp", i, "url"), server.url, ())
        yield from _in_headers(("mcp", i), server.headers, known)
    for i, lookup in enumerate(agent.lookups):
        before = {*agent.variables, *BUILT_IN, *given, *_looked_up(agent, i)}
        yield from _in_line(("lookups", i, "url"), lookup.url, before)
        yield from _in_headers(("lookups", i), lookup.headers, before)


def names_in(agent: Agent) -> set[str]:
    """Every variable that the agent's own file knows."""
    return {*agent.variables, *BUILT_IN, *_looked_up(agent, len(agent.lookups))}


def _looked_up(agent: Agent, before: int) -> set[str]:
    return {name for lookup in agent.lookups[:before] for name in lookup.variables}


def _arguments(tool: HttpTool) -> set[str]:
    properties = tool.parameters.get("properties")
    return set(properties) if isinstance(properties, dict) else set()


def _lines(agent: Agent) -> Iterator[Text]:
    yield ("greeting",), agent.greeting
    yield from _each(("filler", "says"), agent.filler.says)
    yield from _each(("idle", "says"), agent.idle.says)
    yield ("idle", "goodbye"), agent.idle.goodbye
    yield ("last_resort", "says"), agent.last_resort.says
    yield ("voicemail", "message"), agent.voicemail.message
    for i, tool in enumerate(agent.tools):
        yield ("tools", i, "says"), tool.says
    for i, server in enumerate(agent.mcp):
        yield ("mcp", i, "says"), server.says


def _each(place: Place, texts: Iterable[str]) -> Iterator[Text]:
    for i, text in enumerate(texts):
        yield (*place, i), text


def _in_line(place: Place, text: str, known: Collection[str]) -> Found:
    for name in BRACED.findall(text):
        if name not in known:
            yield place, _said(name)
    if set(BRACED.sub("", text)) & {"{", "}"}:
        yield place, "a brace stands alone"


def _in_prose(place: Place, text: str, known: Collection[str]) -> Found:
    """Braces around anything but a name stay as they are there: they may be an example in JSON."""
    for name in PLACEHOLDER.findall(text):
        if name not in known:
            yield place, _said(name)
    if "{secret." in text:
        yield place, _SECRETS_IN_HEADERS


def _in_headers(place: Place, headers: Mapping[str, str], known: Collection[str]) -> Found:
    for header, value in headers.items():
        for name in BRACED.findall(value):
            if name not in known and not _SECRET.fullmatch(name):
                expected = ": expected {secret.NAME} in capitals" if "secret" in name else ""
                yield (*place, "headers", header), f"{{{name}}} is not known here{expected}"


def _said(name: str) -> str:
    if name.startswith("secret."):
        return _SECRETS_IN_HEADERS
    return f"{{{name}}} is not known here"
