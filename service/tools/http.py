"""One HTTP request of a tool or a lookup: bounded in time, in size, and in where it may lead.

Redirects are followed on the same origin only: headers hold secrets that were meant for it.
"""

import asyncio
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx
from msgspec import Struct

from service.tools.answers import BODY_BYTES_MOST, Answer
from service.tools.guard import AddressForbidden
from service.tools.spec import ToolFailed

REDIRECTS_MOST = 3
AGENT = "callbridge"


class Request(Struct, frozen=True, kw_only=True):
    """What to send. `json`: the body, None for none. The time covers all of it."""

    method: str
    url: str
    headers: dict[str, str] = {}
    json: Any = None
    timeout_s: float = 5.0


def client(transport: httpx.AsyncBaseTransport) -> httpx.AsyncClient:
    """The client of a process's tools: nothing of the environment changes where it connects."""
    # A body that must be unpacked could be a thousand times its size, so none is asked for.
    headers = {"user-agent": AGENT, "accept-encoding": "identity"}
    # One call's cookies would go out with the next call's requests.
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return httpx.AsyncClient(
        transport=transport, trust_env=False, headers=headers, cookies=no_cookies
    )


async def fetch(http: httpx.AsyncClient, request: Request) -> Answer:
    """The answer, whatever its status. ToolFailed when there is none within the time."""
    try:
        async with asyncio.timeout(request.timeout_s):
            return await _follow(http, _build(http, request))
    except (TimeoutError, httpx.TimeoutException):
        text = f"There was no answer within {request.timeout_s:g} seconds."
        raise ToolFailed("tool.timeout", text) from None
    except AddressForbidden:
        text = "The server is at an address that must not be reached from here."
        raise ToolFailed("tool.forbidden_address", text) from None
    except httpx.ConnectError:
        raise ToolFailed("tool.unreachable", "The server cannot be reached.") from None
    except (httpx.HTTPError, httpx.InvalidURL):
        raise ToolFailed("tool.bad_answer", "The server gave no proper answer.") from None


def _build(http: httpx.AsyncClient, request: Request) -> httpx.Request:
    built = http.build_request(
        request.method,
        request.url,
        headers=request.headers,
        json=request.json,
        timeout=request.timeout_s,
    )
    # One that an agent file asks for is as unwelcome as one that comes by itself.
    built.headers["accept-encoding"] = "identity"
    return built


async def _follow(http: httpx.AsyncClient, request: httpx.Request) -> Answer:
    for _ in range(REDIRECTS_MOST + 1):
        answer = await http.send(request, stream=True, auth=None, follow_redirects=False)
        try:
            if answer.next_request is None:
                return await _read(answer)
            request = _next(request, answer.next_request)
        finally:
            await answer.aclose()
    raise ToolFailed("tool.redirected", "The server sends us in circles.")


def _next(sent: httpx.Request, following: httpx.Request) -> httpx.Request:
    before, after = sent.url, following.url
    schemes, ports = (before.scheme, after.scheme), (before.port, after.port)
    upgraded = schemes == ("http", "https") and ports == (None, None)
    same_origin = upgraded or (schemes[0] == schemes[1] and ports[0] == ports[1])
    if before.host != after.host or not same_origin or after.userinfo:
        raise ToolFailed("tool.redirected", "The server sends us elsewhere, which is not followed.")
    return following


async def _read(answer: httpx.Response) -> Answer:
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise ToolFailed("tool.bad_answer", "The answer is packed in a way that was not asked for.")
    body = bytearray()
    async for part in answer.aiter_bytes():
        body += part
        if len(body) > BODY_BYTES_MOST:
            break
    return Answer(
        status=answer.status_code,
        content_type=answer.headers.get("content-type", ""),
        body=bytes(body[:BODY_BYTES_MOST]),
        whole=len(body) <= BODY_BYTES_MOST,
    )
