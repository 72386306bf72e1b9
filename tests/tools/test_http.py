import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request as Asked
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from service.replay import virtual
from service.tools.addresses import Allowed
from service.tools.answers import BODY_BYTES_MOST, Answer
from service.tools.guard import GuardedTransport
from service.tools.http import Request, client, fetch
from service.tools.spec import ToolFailed
from tests.tools.servers import LOOPBACK, serving

MB = 1024 * 1024


async def say(request: Asked) -> Response:
    body = (await request.body()).decode()
    headers = request.headers
    return PlainTextResponse(
        f"{request.method} {headers.get('x-key')} {headers['accept-encoding']} {body}"
    )


async def much(_request: Asked) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * MB

    return StreamingResponse(pieces(), media_type="text/plain")


async def hang(_request: Asked) -> Response:
    await asyncio.sleep(60)
    return PlainTextResponse("late")


async def drip(_request: Asked) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield b"."
            await asyncio.sleep(0.05)

    return StreamingResponse(pieces())


async def packed(_request: Asked) -> Response:
    return Response(gzip.compress(b"x" * MB), headers={"content-encoding": "gzip"})


async def redirect(request: Asked) -> Response:
    return RedirectResponse(request.query_params["to"], int(request.query_params["status"]))


async def cookie(request: Asked) -> Response:
    answer = PlainTextResponse(request.headers.get("cookie", "none"))
    answer.set_cookie("who", "ana")
    return answer


APP = Starlette(
    routes=[
        Route("/say", say, methods=["GET", "POST"]),
        Route("/redirect", redirect, methods=["GET", "POST"]),
        Route("/much", much),
        Route("/hang", hang),
        Route("/drip", drip),
        Route("/packed", packed),
        Route("/cookie", cookie),
    ]
)


@asynccontextmanager
async def on_loopback() -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    async with serving(APP) as port, client(GuardedTransport(Allowed.read(LOOPBACK))) as http:
        yield http, f"http://127.0.0.1:{port}"


async def code_of(http: httpx.AsyncClient, request: Request) -> str:
    with pytest.raises(ToolFailed) as failed:
        await fetch(http, request)
    assert failed.value.text
    return failed.value.code


async def test_what_is_asked_arrives_and_what_is_answered_comes_back() -> None:
    async with on_loopback() as (http, url):
        request = Request(method="POST", url=f"{url}/say", headers={"X-Key": "k3y"}, json={"a": 1})
        answer = await fetch(http, request)
        assert answer.body == b'POST k3y identity {"a":1}'
        assert (answer.status, answer.whole) == (200, True)


async def test_of_ten_megabytes_only_the_beginning_is_read() -> None:
    async with on_loopback() as (http, url):
        answer = await fetch(http, Request(method="GET", url=f"{url}/much"))
        assert len(answer.body) == BODY_BYTES_MOST
        assert not answer.whole


@pytest.mark.parametrize("path", ["/hang", "/drip"])
async def test_a_server_that_hangs_or_never_ends_is_given_up_in_time(path: str) -> None:
    async with on_loopback() as (http, url):
        request = Request(method="GET", url=url + path, timeout_s=0.3)
        assert await code_of(http, request) == "tool.timeout"


async def test_a_packed_answer_is_not_unpacked() -> None:
    async with on_loopback() as (http, url):
        for headers in ({}, {"Accept-Encoding": "gzip"}):
            request = Request(method="GET", url=f"{url}/packed", headers=headers)
            assert await code_of(http, request) == "tool.bad_answer"


async def test_no_cookie_of_one_call_goes_out_with_the_next() -> None:
    async with on_loopback() as (http, url):
        for _ in range(2):
            answer = await fetch(http, Request(method="GET", url=f"{url}/cookie"))
            assert answer.body == b"none"


async def test_a_redirect_within_the_origin_is_followed() -> None:
    async with on_loopback() as (http, url):
        request = Request(
            method="POST",
            url=f"{url}/redirect?status=307&to=/say",
            headers={"X-Key": "k"},
            json=[1],
        )
        assert (await fetch(http, request)).body == b"POST k identity [1]"


@pytest.mark.parametrize(
    "to",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost:PORT/say",
        "http://127.0.0.1:1/say",
        "https://127.0.0.1:PORT/say",
        "http://me:pw@127.0.0.1:PORT/say",
        "//evil.test/",
    ],
)
async def test_a_redirect_to_anywhere_else_is_not_followed(to: str) -> None:
    async with on_loopback() as (http, url):
        to = to.replace("PORT", url.rpartition(":")[2])
        request = Request(method="GET", url=f"{url}/redirect?status=302&to={to}")
        assert await code_of(http, request) == "tool.redirected"


async def test_redirects_in_circles_come_to_an_end() -> None:
    async with on_loopback() as (http, url):
        request = Request(method="GET", url=f"{url}/redirect?status=302&to=?status=302%26to=")
        assert await code_of(http, request) in ("tool.redirected", "tool.bad_answer")


async def test_a_port_where_nobody_answers_and_a_private_one_are_told_apart() -> None:
    async with client(GuardedTransport(Allowed.read(LOOPBACK))) as http:
        assert await code_of(http, Request(method="GET", url="http://127.0.0.1:1")) == (
            "tool.unreachable"
        )
        assert await code_of(http, Request(method="GET", url="http://10.0.0.1")) == (
            "tool.forbidden_address"
        )


async def test_what_is_no_http_is_no_proper_answer() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail.test ESMTP\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server, client(GuardedTransport(Allowed.read(LOOPBACK))) as http:
        port = server.sockets[0].getsockname()[1]
        request = Request(method="GET", url=f"http://127.0.0.1:{port}")
        assert await code_of(http, request) == "tool.bad_answer"


def test_the_time_covers_all_redirects_together() -> None:
    async def slowly(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(2)
        return httpx.Response(302, headers={"location": str(request.url)})

    async def scene() -> float:
        async with client(httpx.MockTransport(slowly)) as http:
            request = Request(method="GET", url="http://crm.test", timeout_s=5)
            assert await code_of(http, request) == "tool.timeout"
        return asyncio.get_running_loop().time()

    assert virtual.run(scene()) == pytest.approx(5, abs=0.01)


def test_circles_are_counted_and_an_upgrade_to_tls_is_the_same_origin() -> None:
    seen: list[str] = []

    def upgrade(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(301, headers={"location": "https://crm.test/"})

    async def scene() -> None:
        async with client(httpx.MockTransport(upgrade)) as http:
            request = Request(method="GET", url="http://crm.test/")
            assert await code_of(http, request) == "tool.redirected"

    virtual.run(scene())
    assert seen == ["http://crm.test/", *["https://crm.test/"] * 3]


def test_a_redirect_without_a_place_is_an_answer_like_any_other() -> None:
    async def scene() -> Answer:
        async with client(httpx.MockTransport(lambda _: httpx.Response(304))) as http:
            return await fetch(http, Request(method="GET", url="http://crm.test/"))

    assert virtual.run(scene()).status == 304
