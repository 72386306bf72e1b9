"""httpx into an app, piece by piece."""

import asyncio

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from service.replay import virtual
from service.standin import transport

HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"x-y", b"z")]}


def piece(body: bytes, *, more: bool = True) -> dict[str, object]:
    return {"type": "http.response.body", "body": body, "more_body": more}


def test_pieces_come_when_they_are_sent() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(HEAD)
        for number in range(3):
            await asyncio.sleep(1)
            await send(piece(b"%d" % number))
        await send(piece(b"", more=False))

    async def main() -> list[tuple[float, bytes]]:
        loop = asyncio.get_running_loop()
        async with (
            httpx.AsyncClient(transport=transport(app), timeout=None) as http,
            http.stream("GET", "http://x/") as answer,
        ):
            assert answer.headers["x-y"] == "z"
            assert loop.time() == 0
            return [(round(loop.time(), 3), part) async for part in answer.aiter_bytes()]

    assert virtual.run(main()) == [(1, b"0"), (2, b"1"), (3, b"2")]


def test_a_silent_app_is_a_read_timeout_by_the_loops_clock() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(100)

    async def main() -> float:
        async with httpx.AsyncClient(transport=transport(app), timeout=7) as http:
            with pytest.raises(httpx.ReadTimeout):
                await http.get("http://x/")
        return asyncio.get_running_loop().time()

    assert virtual.run(main()) == pytest.approx(7)


async def test_the_app_gets_the_request_as_it_was_sent() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        said = f"{scope['method']} {scope['path']} {scope['query_string'].decode()} "
        await send(HEAD)
        await send(piece(said.encode() + message["body"], more=False))

    async with httpx.AsyncClient(transport=transport(app)) as http:
        answer = await http.post("http://x/a%20b?q=1", content=b"body")
    assert answer.text == "POST /a b q=1 body"


async def test_an_app_that_ends_too_early_breaks_the_connection() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(HEAD)
        await send(piece(b"half"))

    async with httpx.AsyncClient(transport=transport(app)) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get("http://x/")


async def test_an_app_that_fails_is_a_500() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("no")

    async with httpx.AsyncClient(transport=transport(app)) as http:
        assert (await http.get("http://x/")).status_code == 500


async def test_an_app_is_stopped_when_the_client_leaves() -> None:
    stopped = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(HEAD)
        try:
            while True:
                await send(piece(b"x"))
        finally:
            stopped.set()

    async with (
        httpx.AsyncClient(transport=transport(app)) as http,
        http.stream("GET", "http://x/") as answer,
    ):
        async for _ in answer.aiter_bytes():
            break
    assert stopped.is_set()
