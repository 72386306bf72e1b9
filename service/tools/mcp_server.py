"""One call's connection to an MCP server, by the `mcp` package over streamable HTTP.

One task enters and leaves the package's scopes, since they belong to the task that opened them.
A connection that was lost is opened again when it is used again; whoever uses it waits no longer
than the server's timeout.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import httpx
from mcp import MCPError, types
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from msgspec import Struct

from service.agents import McpServer
from service.tools.answers import bounded
from service.tools.guard import AddressForbidden
from service.tools.mcp_results import result_of, spec_of
from service.tools.mcp_transport import mcp_client
from service.tools.spec import ToolFailed, ToolResult, ToolSpec, Usable

TOOLS_MOST = 64
PAGES_MOST = 16
CLOSE_S = 1.0
"""For saying goodbye to a server, which the end of a call waits for."""
SESSION_GONE = (types.CONNECTION_CLOSED, types.INVALID_REQUEST)
"""What the package reports of a connection that broke, and of a session that a server forgot."""

T = TypeVar("T")
Ask = Callable[[Client], Coroutine[Any, Any, T]]


class Listed(Struct, frozen=True):
    """A server's tools that may be used; `left_out`: how many could not be taken."""

    tools: tuple[Usable, ...]
    left_out: int


class McpConnection:
    """A server, its headers filled in, connected while the call lasts. `says`: its sentence."""

    def __init__(
        self, server: McpServer, transport: httpx.AsyncBaseTransport, *, says: str
    ) -> None:
        self._server = server
        self._transport = transport
        self._says = says
        self._owner: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[Client | ToolFailed] | None = None
        self._closing = asyncio.Event()
        self._asked: set[asyncio.Task[Any]] = set()

    async def tools(self) -> Listed:
        """Connect and ask for the tools. ToolFailed, "tool.mcp_unreachable" as a rule."""
        try:
            found = await self._ask(_list_tools)
        except ToolFailed as failed:
            raise _unreachable() if failed.code == "tool.timeout" else failed from None
        allow = self._server.allow
        wanted = [tool for tool in found if not allow or tool.name in allow]
        usable = [self._usable(tool.name, spec) for tool in wanted if (spec := spec_of(tool))]
        taken = tuple(usable[:TOOLS_MOST])
        return Listed(taken, len(wanted) - len(taken))

    async def aclose(self) -> None:
        """Leave nothing behind, soon, whatever the server does."""
        self._closing.set()
        for task in self._asked:
            task.cancel()
        if self._owner is not None:
            if self._ready is not None and self._ready.done():  # else there is no goodbye to say
                await asyncio.wait({self._owner}, timeout=CLOSE_S)
            self._owner.cancel()
            await asyncio.wait({self._owner, *self._asked}, timeout=CLOSE_S)

    def _usable(self, name: str, spec: ToolSpec) -> Usable:
        async def run(arguments: dict[str, Any]) -> ToolResult:
            return result_of(await self._ask(lambda client: client.call_tool(name, arguments)))

        # The server judges the arguments (MCP, tools: servers must). We do not, since a schema of
        # its making can hold patterns that take for ever.
        return Usable(spec, run, self._says, checked=False)

    # Asking ------------------------------------------------------------------------------------

    async def _ask(self, ask: Ask[T]) -> T:
        """The answer, within the server's timeout, opening the connection included."""
        # A task of its own: the package holds on to one that is cancelled, for up to 5 s, to tell
        # the server so.
        task = asyncio.create_task(self._answer(ask))
        self._asked.add(task)
        task.add_done_callback(self._answered)
        try:
            await asyncio.wait({task}, timeout=self._server.timeout_s)
            if not task.done():
                text = f"There was no answer within {self._server.timeout_s:g} seconds."
                raise ToolFailed("tool.timeout", text)
            return task.result()
        finally:
            task.cancel()

    def _answered(self, task: "asyncio.Task[Any]") -> None:
        self._asked.discard(task)
        if not task.cancelled():
            task.exception()  # seen: whoever asked may have gone

    async def _answer(self, ask: Ask[T]) -> T:
        client = await self._opened()
        owner = self._owner
        try:
            return await ask(client)
        except MCPError as error:
            if error.code not in SESSION_GONE:
                raise ToolFailed(
                    "tool.failed", bounded(f"The tool failed. {error.message}")
                ) from None
            if owner is not None:
                owner.cancel()
                await asyncio.wait({owner}, timeout=CLOSE_S)
            text = "The connection to the tool was lost. It may work when tried once more."
            raise ToolFailed("tool.mcp_lost", text) from None
        except Exception:  # of the many kinds that a server's answer makes the package raise
            raise ToolFailed("tool.bad_answer", "The tool gave no proper answer.") from None

    # The connection ----------------------------------------------------------------------------

    async def _opened(self) -> Client:
        if self._closing.is_set():
            raise _unreachable()
        if self._ready is None or self._owner is None or self._owner.done():
            self._ready = asyncio.get_running_loop().create_future()
            self._owner = asyncio.create_task(self._own(self._ready))
        ready = self._ready
        await asyncio.wait({ready})
        client = ready.result()
        if isinstance(client, ToolFailed):
            raise client
        return client

    async def _own(self, ready: "asyncio.Future[Client | ToolFailed]") -> None:
        failed = _unreachable()
        try:
            await self._keep_open(ready)
        except Exception as fault:  # a broken connection gives groups of whatever the package meets
            if _was_forbidden(fault):
                text = "The tool's server is at an address that must not be reached from here."
                failed = ToolFailed("tool.forbidden_address", text)
        finally:
            if not ready.done():
                ready.set_result(failed)

    async def _keep_open(self, ready: "asyncio.Future[Client | ToolFailed]") -> None:
        url, timeout_s = self._server.url, self._server.timeout_s
        async with (
            asyncio.timeout(timeout_s) as patience,
            mcp_client(self._transport, self._server.headers, timeout_s=timeout_s) as http,
            Client(streamable_http_client(url, http_client=http), cache=None) as client,
        ):
            patience.reschedule(None)
            ready.set_result(client)
            await self._closing.wait()
            patience.reschedule(asyncio.get_running_loop().time() + CLOSE_S)


async def _list_tools(client: Client) -> list[types.Tool]:
    tools: list[types.Tool] = []
    cursor: str | None = None
    for _ in range(PAGES_MOST):
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        cursor = page.next_cursor
        if not cursor:
            break
    return tools


def _unreachable() -> ToolFailed:
    return ToolFailed("tool.mcp_unreachable", "The tool's server cannot be reached.")


def _was_forbidden(fault: BaseException) -> bool:
    inner = fault.exceptions if isinstance(fault, BaseExceptionGroup) else ()
    causes = [*inner, *([fault.__cause__] if fault.__cause__ else [])]
    return isinstance(fault, AddressForbidden) or any(_was_forbidden(cause) for cause in causes)
