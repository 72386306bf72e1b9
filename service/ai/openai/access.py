"""The way to OpenAI, or to any server that talks like it: one for the process.

It knows keys and addresses and makes clients of the openai package; it tries nothing twice and
says nothing of its own. The package's own retries are off: a caller waits, so whoever knows how
long decides.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
from msgspec import Struct
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection

from service.ai.openai.errors import OPENING_S
from service.core.errors import EngineError

OPENAI_URL = "https://api.openai.com/v1"

MESSAGE_MOST_BYTES = 4 * 1024 * 1024
"""Of the socket: OpenAI's longest are a few hundred kilobytes."""

_TIMEOUT = httpx.Timeout(OPENING_S, read=10.0)
"""Longer than any stage's own deadline, which is what ends a wait as a rule."""
_CLIENTS_MOST = 64
_NO_KEY = "none"  # servers on one's own machine ask for none, but the package wants one


class Server(Struct, frozen=True):
    """Where a server is, as `http(s)://.../v1`, and the key for it."""

    url: str
    key: str

    def __repr__(self) -> str:
        return f"Server({self.url!r})"


Connect = Callable[
    [Server, Mapping[str, str]], AbstractAsyncContextManager[AsyncRealtimeConnection]
]
"""Opens a Realtime socket to a server with this query, closed when the context is left."""


class Access:
    """The clients of this process; `aclose` when it ends.

    `key` and `url` are the settings' own, `secrets` what agent files may name. `http` and `connect`
    take the place of the network.
    """

    def __init__(
        self,
        *,
        key: str,
        url: str,
        secrets: Mapping[str, str],
        http: httpx.AsyncClient | None = None,
        connect: Connect | None = None,
    ) -> None:
        self._key = key
        self._url = url.rstrip("/") or OPENAI_URL
        self._secrets = secrets
        self._tls = httpx.create_ssl_context()  # one: each reads every authority's certificate
        self._http = http or httpx.AsyncClient(
            verify=self._tls,
            timeout=_TIMEOUT,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
        )
        self._connect = connect or self._dial
        self._clients: OrderedDict[Server, AsyncOpenAI] = OrderedDict()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    def server(self, url: str, secret: str) -> Server:
        """The server that an agent names by its URL and the name of a secret, both may be empty.

        The settings' key goes to the settings' server and to OpenAI's, and to no other. EngineError
        `openai.no_key` when OpenAI would be asked without one, or the secret is not there.
        """
        url = url.rstrip("/") or self._url
        if secret and not self._secrets.get(secret):
            raise EngineError("openai.no_key", f"CALLBRIDGE_SECRET_{secret} is not set")
        key = self._secrets[secret] if secret else self._key_for(url)
        if not key and is_openai(url):
            raise EngineError("openai.no_key", "OPENAI_API_KEY is not set")
        return Server(url, key)

    def client(self, server: Server) -> AsyncOpenAI:
        """The client of this server; all of them share their connections."""
        client = self._clients.get(server)
        if client is None:
            client = self._clients[server] = AsyncOpenAI(
                api_key=server.key or _NO_KEY,
                base_url=server.url,
                max_retries=0,
                timeout=cast("Any", _TIMEOUT),  # newer packages take httpx's, and type only ...
                http_client=cast("Any", self._http),  # ... their own
            )
            if len(self._clients) > _CLIENTS_MOST:
                self._clients.popitem(last=False)
        self._clients.move_to_end(server)
        return client

    def connect(
        self, server: Server, *, query: Mapping[str, str]
    ) -> AbstractAsyncContextManager[AsyncRealtimeConnection]:
        """A Realtime socket with `model` or `intent` in its query; raises what openai raises."""
        return self._connect(server, query)

    @asynccontextmanager
    async def _dial(
        self, server: Server, query: Mapping[str, str]
    ) -> AsyncIterator[AsyncRealtimeConnection]:
        options: dict[str, Any] = {
            "open_timeout": OPENING_S,
            "close_timeout": 1,
            "max_size": MESSAGE_MOST_BYTES,
            "compression": None,  # base64 of sound does not shrink
        }
        if server.url.startswith("https:"):
            options["ssl"] = self._tls
        async with self.client(server).realtime.connect(
            extra_query=dict(query), websocket_connection_options=cast("Any", options)
        ) as connection:
            yield connection

    def _key_for(self, url: str) -> str:
        return self._key if is_openai(url) or _origin(url) == _origin(self._url) else ""


def is_openai(url: str) -> bool:
    """Whether this is OpenAI's own server, not one that talks like it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme == "https" and (host == "api.openai.com" or host.endswith(".openai.com"))


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
