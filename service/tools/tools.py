"""The process's tools: opens each call's toolbox, and looks up variables before the greeting.

Secrets are known here and go into headers only; the way out is one guarded transport.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
from msgspec import Struct

from service.agents import Agent, HttpTool
from service.core.events import ToolCalled
from service.tools.built_in import built_in
from service.tools.keypad import Keypad
from service.tools.spec import Usable
from service.tools.toolbox import Called, Toolbox


class LookupFault(Struct, frozen=True):
    """A lookup that filled less than it should: `code` like "lookup.timeout"."""

    code: str
    detail: str


class LookedUp(Struct, frozen=True):
    """What the agent's lookups gave; `variables` holds those that were found."""

    variables: dict[str, str] = {}
    faults: tuple[LookupFault, ...] = ()


def _tell_nobody(_called: ToolCalled) -> None:
    """Nobody wants to know."""


class Tools:
    """What all calls of a process share. An async context manager.

    `secrets`: by name, without CALLBRIDGE_SECRET_. `private_hosts`: names and CIDRs that tools may
    reach though they are not public. `transport`: the way out, in place of the guarded one.
    """

    def __init__(
        self,
        *,
        secrets: Mapping[str, str],
        private_hosts: Iterable[str] = (),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._secrets = secrets

    def open(
        self,
        agent: Agent,
        *,
        variables: Mapping[str, str],
        called: Called = _tell_nobody,
        changed: Callable[[], None] = lambda: None,
    ) -> AbstractAsyncContextManager[Toolbox]:
        """The call's tools; returns at once, and MCP servers join while the call goes on.

        `changed`: `specs` has grown. `called`: a server that cannot be used, with
        "tool.mcp_unreachable" and its name; the call goes on without its tools.
        """
        return self._open(agent, variables)

    @asynccontextmanager
    async def _open(self, agent: Agent, variables: Mapping[str, str]) -> AsyncIterator[Toolbox]:
        keypad = Keypad()
        yield Toolbox(self._usable(agent, variables, keypad), keypad, remote_mcp=())

    def _usable(
        self, agent: Agent, variables: Mapping[str, str], keypad: Keypad
    ) -> Iterable[Usable]:
        for tool in agent.tools:
            if not isinstance(tool, HttpTool):
                yield built_in(tool, agent.fill(tool.says, variables), keypad)

    async def look_up(self, agent: Agent, variables: Mapping[str, str]) -> LookedUp:
        """Ask all of the agent's lookups at once; never raises for their trouble."""
        return LookedUp()

    async def __aenter__(self) -> "Tools":
        return self

    async def __aexit__(self, *_exc: object) -> None:
        return None
