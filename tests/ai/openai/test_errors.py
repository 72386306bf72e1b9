"""Every way in which a server says no, or nothing."""

import asyncio
from http import HTTPStatus

import httpx
import pytest
import respx
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close
from websockets.http11 import Request, Response

from service.ai.openai.access import Access
from service.ai.openai.errors import OpenAIFault, engine_error, named_error, stage
from service.replay.virtual import run

URL = "http://127.0.0.1:9000/v1"
JSON = {"content-type": "application/json"}
SECRET = "what the caller said"


async def fault_of(answer: httpx.Response | Exception) -> OpenAIFault:
    with respx.mock:
        respx.post(f"{URL}/chat/completions").mock(side_effect=[answer])
        async with httpx.AsyncClient() as http:
            ours = Access(key="", url=URL, secrets={}, http=http)
            with pytest.raises(OpenAIFault) as caught:
                async with stage("first token", 5):
                    await ours.client(ours.server("", "")).chat.completions.create(
                        model="m", messages=[{"role": "user", "content": SECRET}]
                    )
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


def refusal(status: int, code: str | None = None, **headers: str) -> httpx.Response:
    body = {"error": {"message": f"You sent {SECRET}", "type": "x y", "code": code, "param": None}}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=body, headers=named)


@pytest.mark.parametrize(
    ("answer", "code", "retryable"),
    [
        (refusal(401, "invalid_api_key"), "openai.bad_key", False),
        (refusal(401), "openai.bad_key", False),
        (refusal(404, "model_not_found"), "openai.unknown_model", False),
        (refusal(404), "openai.refused", False),
        (refusal(400, "context_length_exceeded"), "openai.refused", False),
        (refusal(429, "rate_limit_exceeded"), "openai.rate_limited", True),
        (refusal(429), "openai.rate_limited", True),
        (refusal(429, "insufficient_quota"), "openai.no_quota", False),
        (refusal(500), "openai.server_error", True),
        (httpx.Response(503, html="<html>busy</html>"), "openai.server_error", True),
        (httpx.Response(200, content=b"{", headers=JSON), "openai.confused", False),
        (httpx.ConnectError("refused"), "openai.unreachable", True),
        (httpx.ReadError("reset"), "openai.unreachable", True),
        (httpx.ReadTimeout("slow"), "openai.stalled", False),
    ],
)
async def test_each_answer_has_its_code(
    answer: httpx.Response | Exception, code: str, retryable: bool
) -> None:
    fault = await fault_of(answer)
    assert (fault.code, fault.retryable) == (code, retryable)
    assert fault.detail.startswith("first token")


@pytest.mark.parametrize(
    ("headers", "after_ms"),
    [
        ({"retry_after_ms": "250"}, 250),
        ({"retry_after": "2"}, 2000),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 1000),
        ({"retry_after": "-1"}, 1000),
        ({}, 1000),
    ],
)
async def test_when_to_try_again_is_the_servers_hint_or_a_second(
    headers: dict[str, str], after_ms: int
) -> None:
    assert (await fault_of(refusal(429, **headers))).retry_after_ms == after_ms


def test_what_takes_longer_than_its_stage_may_has_stalled() -> None:
    async def wait() -> None:
        async with stage("between audio", 4):
            await asyncio.sleep(5)

    with pytest.raises(OpenAIFault, match=r"openai\.stalled: between audio"):
        run(wait())


@pytest.mark.parametrize(
    ("code", "kind", "expected"),
    [
        ("rate_limit_exceeded", "tokens", "openai.rate_limited"),
        ("insufficient_quota", "insufficient_quota", "openai.no_quota"),
        (None, "server_error", "openai.server_error"),
        ("session_expired", "invalid_request_error", "openai.session_lost"),
        ("item_not_found", "invalid_request_error", "openai.refused"),
        (None, None, "openai.refused"),
    ],
)
def test_errors_told_in_events_have_the_same_codes(
    code: str | None, kind: str | None, expected: str
) -> None:
    assert named_error(code, kind, "session").code == expected


async def refused_upgrade(status: HTTPStatus, body: str) -> OpenAIFault:
    def refuse(socket: ServerConnection, _: Request) -> Response:
        return socket.respond(status, body)

    async def never(_: ServerConnection) -> None: ...

    async with serve(never, "127.0.0.1", 0, process_request=refuse) as server:
        [listening] = server.sockets
        ours = Access(key="sk-x", url=f"http://127.0.0.1:{listening.getsockname()[1]}", secrets={})
        with pytest.raises(OpenAIFault) as caught:
            async with stage("opening", 5), ours.connect(ours.server("", ""), query={}):
                pass
        await ours.aclose()
    return caught.value


async def test_a_refused_upgrade_says_why() -> None:
    assert (await refused_upgrade(HTTPStatus.UNAUTHORIZED, "")).code == "openai.bad_key"
    assert (await refused_upgrade(HTTPStatus.BAD_GATEWAY, "<html>")).code == "openai.server_error"
    unknown = await refused_upgrade(HTTPStatus.NOT_FOUND, '{"error": {"code": "model_not_found"}}')
    assert (unknown.code, unknown.detail) == ("openai.unknown_model", "opening: 404")


def test_a_closed_socket_is_a_lost_session_unless_it_says_more() -> None:
    assert engine_error(ConnectionClosedError(None, None), "session").code == "openai.session_lost"
    for reason, code in {
        "invalid_request_error.invalid_api_key": "openai.bad_key",
        f"you said {SECRET} " * 2: "openai.session_lost",
        "": "openai.session_lost",
    }.items():
        fault = engine_error(ConnectionClosedError(Close(3000, reason), None), "session")
        assert (fault.code, fault.detail) == (code, "session: 3000")
