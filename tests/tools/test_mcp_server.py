import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import structlog
from mcp import MCPError, types
from mcp.server.lowlevel import Server
from mcp.server.mcpserver import MCPServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from service import logs
from service.agents import McpServer
from service.tools.addresses import Allowed
from service.tools.guard import GuardedTransport
from service.tools.mcp_server import PAGES_MOST, McpConnection
from service.tools.spec import ToolFailed, Usable
from tests.tools.servers import LOOPBACK, serving

SLOW_S = 30


@pytest.fixture
def _as_the_service_logs() -> Iterator[None]:
    before = structlog.get_config()
    levels = {name: logging.getLogger(name).level for name in ("mcp", "client", "httpx2")}
    logs.configure("json")
    yield
    structlog.configure(**before)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def crm() -> MCPServer:
    server = MCPServer("crm")

    @server.tool()
    def add(a: int, b: int) -> int:
        """Adds."""
        return a + b

    @server.tool()
    async def sleep() -> str:
        await asyncio.sleep(SLOW_S)
        return "awake"

    @server.tool()
    def fail() -> str:
        raise ValueError("kaput")

    @server.tool()
    def much() -> str:
        return "x" * 100_000

    return server


def served(server: MCPServer, *, with_sessions: bool = False, as_json: bool = False) -> Any:
    app = server.streamable_http_app(json_response=as_json)
    return _OfOldTimes(app) if with_sessions else app


@asynccontextmanager
async def connected(app: Any, *, path: str = "/mcp", **parts: Any) -> AsyncIterator[McpConnection]:
    async with serving(app) as port, _connection(port, path, **parts) as connection:
        yield connection


@asynccontextmanager
async def _connection(
    port: int, path: str = "/mcp", *, hosts: tuple[str, ...] = LOOPBACK, **parts: Any
) -> AsyncIterator[McpConnection]:
    url = f"http://127.0.0.1:{port}{path}"
    server = McpServer.model_validate({"name": "crm", "url": url, "timeout_s": 5} | parts)
    before = asyncio.all_tasks()
    async with GuardedTransport(Allowed.read(hosts)) as transport:
        connection = McpConnection(server, transport, says="One moment.")
        try:
            yield connection
        finally:
            await connection.aclose()
            # A server on the same loop has tasks of its own, which end in their own time.
            assert not {task for task in asyncio.all_tasks() - before if _is_ours(task)}


def _is_ours(task: "asyncio.Task[Any]") -> bool:
    return "McpConnection" in repr(task) or "mcp/client" in repr(task)


async def tools_of(connection: McpConnection) -> dict[str, Usable]:
    return {tool.spec.name: tool for tool in (await connection.tools()).tools}


async def code_of(tool: Usable, **arguments: Any) -> str:
    with pytest.raises(ToolFailed) as failed:
        await tool.run(arguments)
    return failed.value.code


@pytest.mark.parametrize("with_sessions", [False, True])
@pytest.mark.parametrize("as_json", [False, True])
async def test_tools_are_listed_and_called(with_sessions: bool, as_json: bool) -> None:
    app = served(crm(), with_sessions=with_sessions, as_json=as_json)
    async with connected(app) as connection:
        tools = await tools_of(connection)
        assert set(tools) == {"add", "sleep", "fail", "much"}
        assert tools["add"].spec.description == "Adds."
        assert tools["add"].says == "One moment."
        assert (await tools["add"].run({"a": 1, "b": 2})).text == "3"
        assert (await tools["much"].run({})).text.endswith("the answer is longer.)")


async def test_only_those_allowed_are_listed() -> None:
    async with connected(served(crm()), allow=["add", "none"]) as connection:
        listed = await connection.tools()
        assert [tool.spec.name for tool in listed.tools] == ["add"]
        assert listed.left_out == 0


async def test_more_tools_than_are_taken_are_counted() -> None:
    server = MCPServer("crm")
    for i in range(70):
        server.add_tool(lambda: "done", name=f"t{i}")
    async with connected(served(server)) as connection:
        listed = await connection.tools()
        assert (len(listed.tools), listed.left_out) == (64, 6)


async def test_a_tool_that_fails_says_so_and_judges_its_own_arguments() -> None:
    async with connected(served(crm())) as connection:
        tools = await tools_of(connection)
        assert (await tools["fail"].run({})).code == "tool.failed"
        refused = await tools["add"].run({"a": "x"})
        assert refused.code == "tool.failed"
        assert "integer" in refused.text


@pytest.mark.parametrize("with_sessions", [False, True])
async def test_a_tool_that_hangs_is_given_up_and_holds_up_no_other(with_sessions: bool) -> None:
    app = served(crm(), with_sessions=with_sessions)
    async with connected(app, timeout_s=2) as connection:
        tools = await tools_of(connection)
        slow = asyncio.create_task(code_of(tools["sleep"]))
        assert (await tools["add"].run({"a": 1, "b": 2})).text == "3"
        assert await slow == "tool.timeout"
        assert (await tools["add"].run({"a": 2, "b": 2})).text == "4"


async def test_a_use_that_is_given_up_returns_at_once_and_leaves_nothing() -> None:
    async with connected(served(crm())) as connection:
        using = asyncio.create_task(code_of((await tools_of(connection))["sleep"]))
        await asyncio.wait({using}, timeout=0.2)
        using.cancel()
        await asyncio.wait({using}, timeout=2)
        assert using.cancelled()


@pytest.mark.parametrize("with_sessions", [False, True])
async def test_the_end_of_a_call_does_not_wait_for_a_tool_that_hangs(with_sessions: bool) -> None:
    loop = asyncio.get_running_loop()
    app = served(crm(), with_sessions=with_sessions)
    async with connected(app) as connection:
        using = asyncio.create_task(code_of((await tools_of(connection))["sleep"]))
        await asyncio.wait({using}, timeout=0.2)
        began_s = loop.time()
        await connection.aclose()
        assert loop.time() - began_s < 3
        await asyncio.wait({using}, timeout=1)
        assert using.done()


async def test_nobody_there_and_a_private_address_are_told_apart() -> None:
    for hosts, code in ((LOOPBACK, "tool.mcp_unreachable"), ((), "tool.forbidden_address")):
        async with _connection(1, hosts=hosts) as connection:
            with pytest.raises(ToolFailed, match=code):
                await connection.tools()


async def hang(_request: Request) -> Response:
    await asyncio.sleep(SLOW_S)
    return Response()


async def page(_request: Request) -> Response:
    return HTMLResponse("<html>Log in</html>")


async def nonsense(_request: Request) -> Response:
    return JSONResponse({"jsonrpc": "1.0", "result": "Ana"})


async def elsewhere(_request: Request) -> Response:
    return Response(status_code=307, headers={"location": "http://169.254.169.254/mcp"})


def raw(*, pages: int = 1) -> Server[Any]:
    """A server whose list has so many pages, and whose answers break the protocol's rules."""

    async def list_tools(_context: Any, params: Any) -> types.ListToolsResult:
        page = int(params.cursor) if params and params.cursor else 0
        schema = {"type": "object"}
        wrong = {"type": "object", "required": ["at"]}
        tools = [
            types.Tool(name=f"refuse{page}", input_schema=schema),
            types.Tool(name=f"break{page}", input_schema=schema, output_schema=wrong),
        ]
        cursor = str(page + 1) if page + 1 < pages else None
        return types.ListToolsResult(tools=tools, next_cursor=cursor)

    async def call_tool(_context: Any, params: Any) -> types.CallToolResult:
        if params.name.startswith("refuse"):
            raise MCPError(types.INVALID_PARAMS, "no such date")
        return types.CallToolResult(content=[], structured_content={})

    return Server("raw", on_list_tools=list_tools, on_call_tool=call_tool)


async def test_a_refusal_and_an_answer_that_breaks_its_promise_are_told_apart() -> None:
    async with connected(raw().streamable_http_app()) as connection:
        tools = await tools_of(connection)
        with pytest.raises(ToolFailed, match=r"tool\.failed") as refused:
            await tools["refuse0"].run({})
        assert refused.value.text == "The tool failed. no such date"
        assert await code_of(tools["break0"]) == "tool.bad_answer"


async def test_a_list_is_read_page_by_page_and_not_for_ever() -> None:
    for pages, read in ((3, 3), (1000, PAGES_MOST)):
        async with connected(raw(pages=pages).streamable_http_app()) as connection:
            listed = await connection.tools()
            assert len(listed.tools) == 2 * read


async def test_after_the_end_of_a_call_no_connection_is_opened() -> None:
    async with connected(served(crm())) as connection:
        tools = await tools_of(connection)
        await connection.aclose()
        assert await code_of(tools["add"]) == "tool.mcp_unreachable"


@pytest.mark.usefixtures("_as_the_service_logs")
async def test_what_a_server_says_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    app = Starlette(routes=[Route("/mcp", nonsense, methods=["POST"])])
    async with connected(app, timeout_s=0.5) as connection:
        with pytest.raises(ToolFailed):
            await connection.tools()
    assert "Ana" not in caplog.text


@pytest.mark.parametrize("answer", [hang, page, nonsense, elsewhere])
async def test_what_is_no_mcp_server_costs_its_tools_only(answer: Any) -> None:
    app = Starlette(routes=[Route("/mcp", answer, methods=["GET", "POST", "DELETE"])])
    async with connected(app, timeout_s=0.5) as connection:
        with pytest.raises(ToolFailed, match=r"tool\.mcp_unreachable"):
            await connection.tools()


@pytest.mark.parametrize("with_sessions", [False, True])
async def test_a_server_that_went_and_came_back_is_connected_to_again(with_sessions: bool) -> None:
    def app() -> Any:
        return served(crm(), with_sessions=with_sessions)

    async with AsyncExitStack() as stack:
        async with serving(app()) as port:
            connection = await stack.enter_async_context(_connection(port))
            tools = await tools_of(connection)
            assert (await tools["add"].run({"a": 1, "b": 2})).text == "3"
        assert await code_of(tools["add"], a=1, b=2) == "tool.mcp_lost"
        assert await code_of(tools["add"], a=1, b=2) == "tool.mcp_unreachable"
        async with serving(app(), port=port):
            assert (await tools["add"].run({"a": 1, "b": 2})).text == "3"
        async with serving(app(), port=port):
            if with_sessions:  # the one that it had, this server never heard of
                assert await code_of(tools["add"], a=1, b=2) == "tool.mcp_lost"
            assert (await tools["add"].run({"a": 1, "b": 2})).text == "3"
            await connection.aclose()


class _OfOldTimes:
    """A server that knows only the protocol's sessions of 2025, as most do."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", ()))
        modern = headers.get(b"mcp-method") == b"server/discover"
        await (Response(status_code=404) if modern else self._app)(scope, receive, send)
