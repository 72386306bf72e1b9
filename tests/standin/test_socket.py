"""A Realtime socket into an app, as the openai package holds one."""

import asyncio

import pytest
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from starlette.types import Receive, Scope, Send
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus

from service.standin import connect
from service.standin.streamed import Cut
from tests.standin.client import Place

QUERY = {"model": "m"}


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"].upper()})


async def heard(connection: AsyncRealtimeConnection) -> bytes:
    return await connection.recv_bytes()


async def test_messages_go_both_ways_as_bytes() -> None:
    async with connect(echo)(Place(), QUERY) as connection:
        await connection.send_raw("hello")
        assert await heard(connection) == b"HELLO"


async def test_the_app_sees_an_upgrade_with_key_and_query() -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await echo(scope, receive, send)

    async with connect(app)(Place("https://x:8443/v1/", "sk-x"), QUERY):
        pass
    assert seen[0]["path"] == "/v1/realtime"
    assert seen[0]["query_string"] == b"model=m"
    assert (b"authorization", b"Bearer sk-x") in seen[0]["headers"]
    assert seen[0]["scheme"] == "wss"


async def test_a_refused_upgrade_has_status_headers_and_body() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"retry-after", b"3")]
        await send({"type": "websocket.http.response.start", "status": 429, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"slow down"})

    with pytest.raises(InvalidStatus) as refused:
        await connect(app)(Place(), QUERY).__aenter__()
    response = refused.value.response
    assert (response.status_code, response.body) == (429, b"slow down")
    assert response.headers["Retry-After"] == "3"


@pytest.mark.parametrize(
    ("code", "kind"), [(1000, ConnectionClosedOK), (1001, ConnectionClosedOK), (4000, None)]
)
async def test_a_close_is_told_after_what_was_sent_before(
    code: int, kind: type[Exception] | None
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "last"})
        await send({"type": "websocket.close", "code": code, "reason": "why"})

    async with connect(app)(Place(), QUERY) as connection:
        await asyncio.sleep(0)
        assert await heard(connection) == b"last"
        with pytest.raises(kind or ConnectionClosedError):
            await heard(connection)
        with pytest.raises(kind or ConnectionClosedError):
            await connection.send_raw("too late")
        with pytest.raises(kind or ConnectionClosedError) as closed:
            await heard(connection)
    assert isinstance(closed.value, ConnectionClosedOK | ConnectionClosedError)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (code, "why")


@pytest.mark.parametrize(("fault", "code"), [(Cut(), None), (RuntimeError("no"), 1011)])
async def test_an_app_that_fails_ends_the_socket(fault: Exception, code: int | None) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        raise fault

    async with connect(app)(Place(), QUERY) as connection:
        with pytest.raises(ConnectionClosedError) as closed:
            await heard(connection)
    assert (closed.value.rcvd.code if closed.value.rcvd else None) == code


async def test_an_app_that_fails_before_the_upgrade_refuses_it() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("no")

    with pytest.raises(InvalidStatus) as refused:
        await connect(app)(Place(), QUERY).__aenter__()
    assert refused.value.response.status_code == 500


async def test_the_app_is_told_when_the_client_closes_and_is_waited_for() -> None:
    told: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await receive()
        message = await receive()
        await asyncio.sleep(0.001)
        told.append(f"{message['type']} {message['code']} {message['reason']}")

    async with connect(app)(Place(), QUERY) as connection:
        await connection.close(code=1000, reason="bye")
    assert told == ["websocket.disconnect 1000 bye"]


async def test_a_wait_that_is_given_up_loses_nothing() -> None:
    async with connect(echo)(Place(), QUERY) as connection:
        waiting = asyncio.create_task(heard(connection))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        await connection.send_raw("hello")
        assert await heard(connection) == b"HELLO"
