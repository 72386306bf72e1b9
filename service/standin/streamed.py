"""An HTTP answer that comes piece by piece, and stops being made when nobody listens any more.

A piece may be a Cut: the connection is then gone without an end.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping

from starlette.types import Receive, Scope, Send

from service.standin.record import Request


class Cut(Exception):
    """The connection is gone, with no close and no end."""


class Streamed:
    """An ASGI answer; how it ended is written into `request`."""

    def __init__(
        self, request: Request, body: AsyncIterator[bytes], headers: Mapping[str, str]
    ) -> None:
        self._request = request
        self._body = body
        self._headers = headers

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send it all, unless the client leaves before."""
        self._request.status = 200
        sending = asyncio.create_task(self._send(send), name="stand-in answer")
        leaving = asyncio.create_task(left(receive), name="stand-in client")
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            self._request.end = self._request.end or "left"
            leaving.cancel()
            sending.cancel()
            await asyncio.wait({sending, leaving})

    async def _send(self, send: Send) -> None:
        raw = [(name.encode(), value.encode()) for name, value in self._headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": raw})
        try:
            async for piece in self._body:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except Cut:
            self._request.end = "cut"
            return  # without a last piece: the server, or the transport, breaks the connection
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        self._request.end = "complete"


async def left(receive: Receive) -> None:
    """Returns when the client has left."""
    while not (await receive())["type"].endswith(".disconnect"):
        continue
