"""Keys and addresses, and a real socket opened with the openai package."""

import httpx
import pytest
import respx
from websockets.asyncio.server import ServerConnection, serve

from service.ai.openai.access import OPENAI_URL, Access, Server
from service.core.errors import EngineError

LOCAL = "http://127.0.0.1:9000/v1"


def access(
    key: str = "sk-settings", url: str = "", secrets: dict[str, str] | None = None
) -> Access:
    return Access(key=key, url=url, secrets=secrets or {})


def test_with_nothing_said_it_is_openais_own_server_and_the_settings_key() -> None:
    assert access().server("", "") == Server(OPENAI_URL, "sk-settings")


def test_the_settings_address_comes_before_openais() -> None:
    assert access(url=f"{LOCAL}/").server("", "") == Server(LOCAL, "sk-settings")


def test_a_secret_goes_with_the_address_that_names_it() -> None:
    ours = access(secrets={"LOCAL": "sk-local"})
    assert ours.server(LOCAL, "LOCAL") == Server(LOCAL, "sk-local")


def test_the_settings_key_is_not_given_to_another_server() -> None:
    assert access().server(LOCAL, "") == Server(LOCAL, "")
    assert access().server("https://api.openai.com.example/v1", "").key == ""
    assert access(url=LOCAL).server("http://127.0.0.1:9000/v2", "").key == "sk-settings"


def test_openai_without_a_key_and_a_secret_that_is_not_there_are_errors() -> None:
    with pytest.raises(EngineError, match=r"openai\.no_key: OPENAI_API_KEY is not set"):
        access(key="").server("", "")
    with pytest.raises(EngineError, match=r"openai\.no_key: CALLBRIDGE_SECRET_X is not set"):
        access().server(LOCAL, "X")


def test_a_server_shows_no_key() -> None:
    assert "sk-" not in repr(Server(LOCAL, "sk-settings"))


def test_each_server_has_one_client_that_tries_once() -> None:
    ours = access()
    client = ours.client(Server(LOCAL, ""))
    assert ours.client(Server(LOCAL, "")) is client
    assert ours.client(Server(LOCAL, "other")) is not client
    assert client.max_retries == 0


@respx.mock
async def test_requests_go_to_the_servers_address_with_its_key() -> None:
    route = respx.get(f"{LOCAL}/models").respond(json={"object": "list", "data": []})
    ours = access()
    await ours.client(Server(LOCAL, "sk-x")).models.list()
    await ours.aclose()
    assert route.calls.last.request.headers["authorization"] == "Bearer sk-x"


@respx.mock
async def test_nothing_is_tried_twice_behind_our_back() -> None:
    route = respx.get(f"{LOCAL}/models").respond(500)
    async with httpx.AsyncClient() as http:
        ours = Access(key="", url=LOCAL, secrets={}, http=http)
        with pytest.raises(Exception, match="500"):
            await ours.client(ours.server("", "")).models.list()
    assert route.call_count == 1


async def test_a_socket_is_opened_beside_the_address_with_key_and_query() -> None:
    async def echo(socket: ServerConnection) -> None:
        assert socket.request is not None
        seen.append((socket.request.path, socket.request.headers["Authorization"]))
        await socket.send(await socket.recv())

    seen: list[tuple[str, str]] = []
    async with serve(echo, "127.0.0.1", 0) as server:
        [listening] = server.sockets
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        ours = access()
        async with ours.connect(Server(url, "sk-x"), query={"model": "gpt-realtime"}) as connection:
            await connection.send_raw('{"type": "session.created"}')
            event = await connection.recv()
        await ours.aclose()
    assert event.type == "session.created"
    assert seen == [("/v1/realtime?model=gpt-realtime", "Bearer sk-x")]
