"""The one way out for tools: HTTP to addresses that were checked, and no others.

A name is resolved off the loop, each of its addresses is judged, and the connection goes to an
address that passed: what a name says a moment later (DNS rebinding) changes nothing. TLS still
names the host, so its certificate must be the host's. No proxy of the environment is used.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpcore
import httpx

from service.tools.addresses import Allowed

ADDRESSES_TRIED = 4
RESOLVERS = 8
"""Threads that resolve names: their own, so that a DNS server that hangs holds up nothing else."""
CONNECTIONS_MOST = 1000
"""Of a process: its calls bound them long before, at a few for each."""
KEPT_MOST = 50
KEPT_S = 30.0

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a host, as text, best first. OSError when it has none."""


class AddressForbidden(httpx.ConnectError):
    """The host has addresses only that tools may not reach."""


class _Forbidden(httpcore.ConnectError):
    pass


class GuardedTransport(httpx.AsyncBaseTransport):
    """HTTP/1.1 to allowed addresses. `resolve` and `tls` stand in for the system's, in tests."""

    def __init__(
        self,
        allowed: Allowed,
        *,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._threads = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolve")
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls or httpx.create_ssl_context(),
            max_connections=CONNECTIONS_MOST,
            max_keepalive_connections=KEPT_MOST,
            keepalive_expiry=KEPT_S,
            network_backend=_GuardedBackend(allowed, resolve or self._resolve),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it. AddressForbidden, else httpx's own errors."""
        asked = httpcore.Request(
            request.method,
            httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _as_httpx():
            answer = await self._pool.handle_async_request(asked)
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=_Body(answer),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        """Close what is open."""
        await self._pool.aclose()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _resolve(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _look_up, host, port)
        return list(dict.fromkeys(found))


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for _family, _type, _proto, _name, address in found]


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens connections for the pool, to addresses that are allowed."""

    def __init__(self, allowed: Allowed, resolve: Resolve) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._plain = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first allowed address that answers."""
        addresses = await self._allowed_addresses(host, port)
        patience_s = None if timeout is None else timeout / len(addresses)
        fault: Exception | None = None
        for address in addresses:
            try:
                return await self._plain.connect_tcp(
                    address, port, patience_s, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                fault = error
        raise fault or httpcore.ConnectError()

    async def _allowed_addresses(self, host: str, port: int) -> list[str]:
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:  # UnicodeError: no name of a host at all
            raise httpcore.ConnectError("the host has no address") from error
        allowed = [address for address in addresses if self._allowed.permits(host, address)]
        if not allowed:
            raise _Forbidden("the host has no address that tools may reach")
        return allowed[:ADDRESSES_TRIED]


class _Body(httpx.AsyncByteStream):
    """An answer's body as it comes in."""

    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for part in self._answer.aiter_stream():
                yield part

    async def aclose(self) -> None:
        await self._answer.aclose()


@contextmanager
def _as_httpx() -> Iterator[None]:
    """Errors of httpcore become those of the same name in httpx."""
    try:
        yield
    except _Forbidden as error:
        raise AddressForbidden(str(error)) from error
    except tuple(_SAME) as error:
        raise _SAME[type(error)](str(error)) from error


_NAMES = (
    "ConnectError",
    "ConnectTimeout",
    "LocalProtocolError",
    "PoolTimeout",
    "ReadError",
    "ReadTimeout",
    "RemoteProtocolError",
    "UnsupportedProtocol",
    "WriteError",
    "WriteTimeout",
)
_SAME: dict[type[Exception], type[httpx.TransportError]] = {
    getattr(httpcore, name): getattr(httpx, name) for name in _NAMES
}
