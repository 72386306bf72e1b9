import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import structlog
from mcp.server.mcpserver import MCPServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route

from service.core.events import ToolCalled, TransferRequested
from service.replay import virtual
from service.tools import Toolbox, Tools
from service.tools.spec import TEXT_BYTES_MOST
from tests.tools.servers import LOOPBACK, agent, http_tool, serving

SALES = "+14155550100"
CALL = {"caller": "+14155550123", "name": "Ana"}
SECRETS = {"CRM": "k3y"}
MCP = {"name": "crm", "url": "http://mcp.test/mcp", "timeout_s": 2}


def refuse(_request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


async def hang(_request: httpx.Request) -> httpx.Response:
    await asyncio.sleep(3600)
    return httpx.Response(200)


async def use(box: Toolbox, name: str, **arguments: Any) -> tuple[str, str]:
    result = await box.call(name, json.dumps(arguments), called=lambda _: None)
    return result.code, result.text


def test_a_calls_tools_are_those_of_its_agent() -> None:
    tools = [
        "end_call",
        {"kind": "transfer_call", "to": {"sales": SALES}, "says": "Bye, {name}."},
        http_tool(says="One moment, {name}."),
    ]

    async def scene() -> None:
        transport = httpx.MockTransport(lambda _: httpx.Response(200, json={"at": 9}))
        async with (
            Tools(secrets={}, transport=transport) as ours,
            ours.open(agent(tools=tools), variables=CALL) as box,
        ):
            names = [spec.name for spec in box.specs]
            assert names == ["end_call", "transfer_call", "find"]
            assert box.waiting("find") == "One moment, Ana."
            result = await box.call("transfer_call", "{}", called=lambda _: None)
            assert result.effect == TransferRequested(SALES)
            assert '"Bye, Ana."' in result.text
            assert await use(box, "find") == ("ok", '{"at":9}')

    virtual.run(scene())


def test_a_missing_secret_is_told_as_such_to_nobody_but_the_record() -> None:
    async def scene() -> None:
        tool = http_tool(headers={"Authorization": "Bearer {secret.CRM}"})
        async with (
            Tools(secrets={}, transport=httpx.MockTransport(refuse)) as ours,
            ours.open(agent(tools=[tool]), variables=CALL) as box,
        ):
            code, text = await use(box, "find")
            assert code == "tool.no_secret"
            assert "CRM" not in text

    virtual.run(scene())


def test_a_server_that_is_away_costs_its_tools_and_nothing_else() -> None:
    told: list[ToolCalled] = []

    async def scene() -> float:
        subject = agent(tools=["end_call"], mcp=[MCP])
        async with (
            Tools(secrets={}, transport=httpx.MockTransport(refuse)) as ours,
            ours.open(subject, variables=CALL, called=told.append) as box,
        ):
            await asyncio.sleep(10)
            assert [spec.name for spec in box.specs] == ["end_call"]
            return asyncio.get_running_loop().time()

    assert virtual.run(scene()) == pytest.approx(10, abs=0.01)
    assert told == [ToolCalled("crm", "{}", "tool.mcp_unreachable", 0)]


def test_a_server_that_hangs_is_waited_for_in_the_background_and_not_for_long() -> None:
    told: list[ToolCalled] = []

    async def scene() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        async with Tools(secrets={}, transport=httpx.MockTransport(hang)) as ours:
            async with ours.open(agent(mcp=[MCP]), variables=CALL, called=told.append):
                opened_s = loop.time()
                await asyncio.sleep(5)
            async with ours.open(agent(mcp=[MCP]), variables=CALL):
                await asyncio.sleep(1)  # the call ends while the server is still being waited for
            assert len(asyncio.all_tasks()) == 1
            return opened_s, loop.time()

    opened_s, ended_s = virtual.run(scene())
    assert opened_s == pytest.approx(0, abs=0.001)
    assert ended_s == pytest.approx(6, abs=0.01)
    assert told == [ToolCalled("crm", "{}", "tool.mcp_unreachable", 2000)]


def test_servers_for_openai_are_handed_on_with_their_secrets() -> None:
    theirs = MCP | {"by": "openai", "headers": {"Authorization": "Bearer {secret.CRM}"}}
    without = theirs | {"name": "shop", "headers": {"Authorization": "{secret.SHOP}"}}
    told: list[ToolCalled] = []

    async def scene() -> None:
        async with (
            Tools(secrets=SECRETS, transport=httpx.MockTransport(refuse)) as ours,
            ours.open(agent(mcp=[theirs, without]), variables=CALL, called=told.append) as box,
        ):
            assert [server.name for server in box.remote_mcp] == ["crm"]
            assert box.remote_mcp[0].headers == {"Authorization": "Bearer k3y"}

    virtual.run(scene())
    assert told == [ToolCalled("shop", "{}", "tool.no_secret", 0)]


def test_lookups_start_from_the_agents_variables_and_the_calls() -> None:
    lookup = {
        "url": "http://crm.test/{plan}/{caller}",
        "headers": {"Authorization": "{secret.CRM}"},
        "variables": {"name": "/name"},
    }

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "k3y"
        return httpx.Response(200, json={"name": str(request.url)})

    async def scene() -> dict[str, str]:
        subject = agent(variables={"plan": "gold"}, lookups=[lookup])
        async with Tools(secrets=SECRETS, transport=httpx.MockTransport(answer)) as ours:
            return (await ours.look_up(subject, CALL)).variables

    assert virtual.run(scene()) == {"name": "http://crm.test/gold/%2B14155550123"}


def test_a_setting_that_is_no_network_is_a_fault() -> None:
    with pytest.raises(ValueError, match="host bits"):
        Tools(secrets={}, private_hosts=["10.0.0.1/8"])


async def test_tools_of_a_server_join_while_the_call_goes_on() -> None:
    server = MCPServer("crm")
    seen: list[str] = []

    @server.tool()
    def find(caller: str) -> str:
        seen.append(caller)
        return "found"

    joined = asyncio.Event()
    app = _Keyed(server.streamable_http_app(), "Bearer k3y")
    async with serving(app) as port, Tools(secrets=SECRETS, private_hosts=LOOPBACK) as ours:
        theirs = MCP | {
            "url": f"http://127.0.0.1:{port}/mcp",
            "headers": {"Authorization": "Bearer {secret.CRM}"},
            "says": "One moment, {name}.",
        }
        subject = agent(tools=[http_tool()], mcp=[theirs])
        async with ours.open(subject, variables=CALL, changed=joined.set) as box:
            assert [spec.name for spec in box.specs] == ["find"]
            async with asyncio.timeout(10):
                await joined.wait()
            assert [spec.name for spec in box.specs] == ["find", "crm_find"]
            assert box.waiting("crm_find") == "One moment, Ana."
            assert await use(box, "crm_find", caller="+1") == ("ok", "found")
    assert seen == ["+1"]


async def test_tools_that_cannot_be_taken_are_told_of() -> None:
    server = MCPServer("crm")
    for i in range(65):
        server.add_tool(lambda: "done", name=f"t{i}")
    told: list[ToolCalled] = []
    joined = asyncio.Event()
    async with (
        serving(server.streamable_http_app()) as port,
        Tools(secrets={}, private_hosts=LOOPBACK) as ours,
        ours.open(
            agent(mcp=[MCP | {"url": f"http://127.0.0.1:{port}/mcp"}]),
            variables=CALL,
            called=told.append,
            changed=joined.set,
        ) as box,
        asyncio.timeout(10),
    ):
        await joined.wait()
        assert len(box.specs) == 64
    assert [one.code for one in told] == ["tool.mcp_left_out"]


async def test_a_mistake_while_tools_join_is_logged_and_ends_no_call() -> None:
    def mistake() -> None:
        raise AssertionError("ours")

    app = MCPServer("crm").streamable_http_app()
    with structlog.testing.capture_logs() as lines:
        async with serving(app) as port, Tools(secrets={}, private_hosts=LOOPBACK) as ours:
            subject = agent(mcp=[MCP | {"url": f"http://127.0.0.1:{port}/mcp"}])
            async with ours.open(subject, variables=CALL, changed=mistake) as box:
                joining = [task for task in asyncio.all_tasks() if "_join" in repr(task)]
                await asyncio.wait(joining, timeout=10)
                assert box.specs == ()
    assert [line["event"] for line in lines] == ["A server's tools could not join"]


class _Keyed:
    """An app that answers only those who bring its key."""

    def __init__(self, app: Any, key: str) -> None:
        self._app = app
        self._key = key.encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        known = dict(scope.get("headers", ())).get(b"authorization") == self._key
        allowed = known or scope["type"] == "lifespan"
        await (self._app if allowed else Response(status_code=401))(scope, receive, send)


async def ten_megabytes(_request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(160):
            yield b"x" * 65_536

    return StreamingResponse(pieces(), media_type="text/plain")


async def many_keys(_request: Request) -> Response:
    return JSONResponse({f"key{i}": "value" for i in range(10_000)})


async def page(_request: Request) -> Response:
    return HTMLResponse("<html><title>Log in</title>")


async def nothing(_request: Request) -> Response:
    return Response()


async def never(_request: Request) -> Response:
    await asyncio.sleep(60)
    return Response()


async def metadata(_request: Request) -> Response:
    return RedirectResponse("http://169.254.169.254/latest/meta-data/")


async def broken(_request: Request) -> Response:
    return JSONResponse({"error": "out of order"}, 503)


@pytest.mark.parametrize(
    ("handler", "code", "words"),
    [
        (ten_megabytes, "tool.too_large", "the answer is longer"),
        (many_keys, "ok", "the answer is longer"),
        (page, "tool.html", "HTML page"),
        (nothing, "tool.empty", "nothing"),
        (never, "tool.timeout", "within 0.5 seconds"),
        (metadata, "tool.redirected", "not followed"),
        (broken, "tool.http_503", "out of order"),
    ],
)
async def test_whatever_a_server_answers_the_model_gets_bounded_words_for_it(
    handler: Any, code: str, words: str
) -> None:
    app = Starlette(routes=[Route("/x", handler)])
    async with serving(app) as port, Tools(secrets={}, private_hosts=LOOPBACK) as ours:
        patience_s = 0.5 if handler is never else 20
        tool = http_tool(url=f"http://127.0.0.1:{port}/x", timeout_s=patience_s)
        async with ours.open(agent(tools=[tool]), variables=CALL) as box:
            got, text = await use(box, "find")
    assert got == code
    assert words in text
    assert len(text.encode()) < TEXT_BYTES_MOST + 100


async def test_without_the_setting_nothing_on_this_machine_is_reached() -> None:
    reached: list[Request] = []

    async def answer(request: Request) -> Response:
        reached.append(request)
        return JSONResponse({"name": "x"})

    async with serving(Starlette(routes=[Route("/x", answer)])) as port, Tools(secrets={}) as ours:
        url = f"http://localhost:{port}/x"
        subject = agent(
            tools=[http_tool(url=url)],
            mcp=[MCP | {"url": url}],
            lookups=[{"url": url, "variables": {"name": "/name"}}],
        )
        told: asyncio.Queue[ToolCalled] = asyncio.Queue()
        assert [f.code for f in (await ours.look_up(subject, CALL)).faults] == [
            "lookup.forbidden_address"
        ]
        async with ours.open(subject, variables=CALL, called=told.put_nowait) as box:
            assert (await use(box, "find"))[0] == "tool.forbidden_address"
            async with asyncio.timeout(10):
                assert (await told.get()).code == "tool.forbidden_address"
    assert not reached
