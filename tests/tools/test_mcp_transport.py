import asyncio
from collections.abc import AsyncIterator

import httpx
import httpx2
import pytest

from service.replay import virtual
from service.tools.addresses import Allowed
from service.tools.guard import AddressForbidden, GuardedTransport
from service.tools.mcp_transport import BODY_BYTES_MOST, mcp_client


def asked(answer: httpx.Response) -> httpx2.Response:
    async def scene() -> httpx2.Response:
        transport = httpx.MockTransport(lambda _request: answer)
        async with mcp_client(transport, {}, timeout_s=1) as http:
            return await http.post("http://mcp.test/mcp", json={"a": 1})

    return virtual.run(scene())


def test_requests_go_by_the_transport_of_httpx_and_answers_come_back() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(201, json={"b": 2}, headers={"x-a": "1"})

    async def scene() -> httpx2.Response:
        headers = {"authorization": "Bearer k3y", "accept-encoding": "gzip"}
        async with mcp_client(httpx.MockTransport(answer), headers, timeout_s=1) as http:
            return await http.post("http://mcp.test/mcp?c=3", json={"a": 1})

    got = virtual.run(scene())
    assert (got.status_code, got.json(), got.headers["x-a"]) == (201, {"b": 2}, "1")
    assert (seen[0].method, str(seen[0].url)) == ("POST", "http://mcp.test/mcp?c=3")
    assert seen[0].content == b'{"a":1}'
    assert seen[0].headers["authorization"] == "Bearer k3y"
    assert seen[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("fault", [httpx.ConnectError, httpx.ReadTimeout, httpx.ReadError])
def test_errors_keep_their_names(fault: type[httpx.TransportError]) -> None:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise fault("no")

    async def scene() -> None:
        async with mcp_client(httpx.MockTransport(fail), {}, timeout_s=1) as http:
            with pytest.raises(getattr(httpx2, fault.__name__)):
                await http.get("http://mcp.test/mcp")

    virtual.run(scene())


async def test_the_guard_holds_here_too() -> None:
    transport = GuardedTransport(Allowed.read(()))
    async with transport, mcp_client(transport, {}, timeout_s=1) as http:
        with pytest.raises(httpx2.ConnectError) as failed:
            await http.get("http://127.0.0.1:1/mcp")
        assert isinstance(failed.value.__cause__, AddressForbidden)


def test_an_answer_that_is_no_stream_is_bounded() -> None:
    body = b"x" * (BODY_BYTES_MOST + 1)
    with pytest.raises(httpx2.ReadError):
        asked(httpx.Response(200, content=body, headers={"content-type": "application/json"}))
    events = {"content-type": "text/event-stream"}
    assert len(asked(httpx.Response(200, content=body, headers=events)).content) == len(body)


def test_a_packed_answer_is_not_unpacked() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        await asyncio.sleep(0)
        yield b"\x1f\x8b"

    with pytest.raises(httpx2.ReadError):
        asked(httpx.Response(200, content=pieces(), headers={"content-encoding": "gzip"}))
