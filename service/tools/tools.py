"""The process's tools: opens each call's toolbox, and looks up variables before the greeting.

Secrets are known here and go into headers only; the way out is one guarded transport.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager

import httpx
import structlog
from msgspec import Struct

from service.agents import Agent, HttpTool, McpServer
from service.core.events import ToolCalled
from service.tools.addresses import Allowed
from service.tools.built_in import built_in
from service.tools.guard import GuardedTransport
from service.tools.http import client
from service.tools.keypad import Keypad
from service.tools.lookups import LookedUp, Lookups
from service.tools.mcp_server import McpConnection
from service.tools.requests import http_tool
from service.tools.spec import ToolFailed, Usable
from service.tools.templates import fill_headers
from service.tools.toolbox import Called, Toolbox

log = structlog.get_logger(__name__)

Changed = Callable[[], None]


class _Call(Struct, frozen=True):
    """What a call's tools are made for."""

    agent: Agent
    variables: Mapping[str, str]  # the call's over the agent's own
    called: Called


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
        self._transport = transport or GuardedTransport(Allowed.read(private_hosts))
        self._http = client(self._transport)

    async def __aenter__(self) -> "Tools":
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._http.aclose()

    async def look_up(self, agent: Agent, variables: Mapping[str, str]) -> LookedUp:
        """What the agent's lookups find for a call. Never raises for their trouble."""
        lookups = Lookups(self._http, self._secrets, {**agent.variables, **variables})
        return await lookups.run(agent.lookups)

    @asynccontextmanager
    async def open(
        self,
        agent: Agent,
        *,
        variables: Mapping[str, str],
        called: Called = lambda _called: None,
        changed: Changed = lambda: None,
    ) -> AsyncIterator[Toolbox]:
        """The call's tools; at once, and those of MCP servers join while the call goes on.

        `changed`: `specs` has grown. `called`: a server that cannot be used, by its name, with
        "tool.mcp_unreachable" or another code; the call goes on without its tools.
        """
        call = _Call(agent, {**agent.variables, **variables}, called)
        keypad = Keypad()
        usable = self._usable(call, keypad)
        toolbox = Toolbox(usable, keypad, remote_mcp=tuple(self._remote(call)))
        connections = list(self._connections(call))
        joining = [
            asyncio.create_task(_join(toolbox, server, connection, called=called, changed=changed))
            for server, connection in connections
        ]
        try:
            yield toolbox
        finally:
            closing = [connection.aclose() for _server, connection in connections]
            await asyncio.gather(_stop(joining), *closing)

    def _usable(self, call: _Call, keypad: Keypad) -> Iterator[Usable]:
        for tool in call.agent.tools:
            says = call.agent.fill(tool.says, call.variables)
            if isinstance(tool, HttpTool):
                yield http_tool(
                    tool, says, self._http, variables=call.variables, secrets=self._secrets
                )
            else:
                yield built_in(tool, says, keypad)

    def _connections(self, call: _Call) -> Iterator[tuple[McpServer, McpConnection]]:
        for server in self._servers(call, "bridge"):
            says = call.agent.fill(server.says, call.variables)
            yield server, McpConnection(server, self._transport, says=says)

    def _remote(self, call: _Call) -> Iterator[McpServer]:
        yield from self._servers(call, "openai")

    def _servers(self, call: _Call, by: str) -> Iterator[McpServer]:
        """Those that this side uses, their headers filled in; one that lacks a secret is not."""
        for server in call.agent.mcp:
            if server.by == by:
                try:
                    headers = fill_headers(server.headers, call.variables, self._secrets)
                except ToolFailed as failed:
                    call.called(_unusable(server, failed.code))
                else:
                    yield server.model_copy(update={"headers": headers})


async def _join(
    toolbox: Toolbox,
    server: McpServer,
    connection: McpConnection,
    *,
    called: Called,
    changed: Changed,
) -> None:
    """Add a server's tools once they are known, or tell that there are none."""
    began_s = asyncio.get_running_loop().time()
    try:
        listed = await connection.tools()
    except ToolFailed as failed:
        took_s = asyncio.get_running_loop().time() - began_s
        called(_unusable(server, failed.code, took_ms=round(took_s * 1000)))
        return
    toolbox.add(listed.tools, server.name)
    if listed.left_out:
        called(_unusable(server, "tool.mcp_left_out"))
    changed()


async def _stop(joining: list["asyncio.Task[None]"]) -> None:
    for task in joining:
        task.cancel()
    for fault in await asyncio.gather(*joining, return_exceptions=True):
        if isinstance(fault, Exception):  # a mistake of ours: the call does without these tools
            log.error("A server's tools could not join", exc_info=fault)


def _unusable(server: McpServer, code: str, *, took_ms: int = 0) -> ToolCalled:
    return ToolCalled(server.name, "{}", code, took_ms)
