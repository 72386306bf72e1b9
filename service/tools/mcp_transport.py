"""The way out for the `mcp` package: its HTTP client (httpx2) over the same guarded transport.

So what tools may reach is decided in one place. What a server sends is bounded here, since the
package reads a JSON answer whole.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager

import httpx
import httpx2

BODY_BYTES_MOST = 2 * 1024 * 1024
"""Of an answer that is no stream of events: room for as many tools as are taken."""
USER_AGENT = "callbridge"
_EVENTS = "text/event-stream"


def mcp_client(
    transport: httpx.AsyncBaseTransport, headers: Mapping[str, str], *, timeout_s: float
) -> httpx2.AsyncClient:
    """A client for one connection to one server. Who uses it bounds the time of each answer."""
    return httpx2.AsyncClient(
        transport=_Over(transport),
        trust_env=False,
        headers={"user-agent": USER_AGENT, **headers, "accept-encoding": "identity"},
        timeout=httpx2.Timeout(timeout_s, read=None),  # streams of events are silent for long
    )


class _Over(httpx2.AsyncBaseTransport):
    """Sends by a transport of httpx, which stays open when this one is closed."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        asked = httpx.Request(
            request.method,
            str(request.url),
            headers=request.headers.raw,
            content=await request.aread(),
            extensions=dict(request.extensions),
        )
        with _as_httpx2():
            answer = await self._transport.handle_async_request(asked)
        return httpx2.Response(
            answer.status_code,
            headers=answer.headers.raw,
            stream=_Body(answer),
            extensions=answer.extensions,
        )


class _Body(httpx2.AsyncByteStream):
    """An answer's body: bounded, and not packed."""

    def __init__(self, answer: httpx.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        headers = self._answer.headers
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise httpx2.ReadError("packed in a way that was not asked for")
        bounded = not headers.get("content-type", "").lower().startswith(_EVENTS)
        left_bytes = BODY_BYTES_MOST
        with _as_httpx2():
            async for part in self._answer.aiter_bytes():
                left_bytes -= len(part)
                if bounded and left_bytes < 0:
                    raise httpx2.ReadError("longer than is taken")
                yield part

    async def aclose(self) -> None:
        await self._answer.aclose()


@contextmanager
def _as_httpx2() -> Iterator[None]:
    """Errors of httpx become those of the same name in httpx2, or of the nearest base's name."""
    try:
        yield
    except httpx.TransportError as error:
        names = [kind.__name__ for kind in type(error).__mro__]
        same = next(getattr(httpx2, name) for name in names if hasattr(httpx2, name))
        raise same(str(error)) from error
