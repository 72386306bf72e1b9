"""Faults in HTTP answers: instead of one, or in the midst of one."""

import asyncio
import json
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive

from service.standin.refusals import told
from service.standin.script import Fault
from service.standin.streamed import Cut, left

_PAGE = "<!doctype html><html><body><h1>502 Bad Gateway</h1></body></html>"
_UNKNOWN = {"id": "x", "object": "surprise", "type": "surprise.happened", "choices": []}


async def replaced(fault: Fault | None, receive: Receive) -> Response | None:
    """The answer that comes instead, if one does. It may never come: ClientDisconnect then."""
    if fault is None or fault.after:
        return None
    if fault.does == "status":
        refusal = told(fault.status, fault.reason)
        headers = {} if fault.retry_after_s is None else {"retry-after": f"{fault.retry_after_s:g}"}
        return _json(refusal.body(), fault.status, headers)
    if fault.does == "html":
        return Response(_PAGE, fault.status, media_type="text/html")
    if fault.does == "empty":
        return Response(b"", 200)
    if fault.does == "stall":
        await left(receive)
        raise ClientDisconnect
    return None


async def disturbed(
    pieces: AsyncIterator[bytes], fault: Fault | None, *, events: bool
) -> AsyncIterator[bytes]:
    """An answer in pieces with the fault in it; `events` when they are server-sent events."""
    number = 0
    async for piece in pieces:
        if fault is not None and number == fault.after:
            async for wrong in _wrong(fault, events=events):
                yield wrong
            if fault.does == "error":
                return
        yield piece
        number += 1
    if fault is not None and fault.does == "odd":
        yield b"\x00"


async def _wrong(fault: Fault, *, events: bool) -> AsyncIterator[bytes]:
    match fault.does:
        case "stall":
            await asyncio.Event().wait()
        case "cut":
            raise Cut
        case "malformed":
            yield b'data: {"choices": [\n\n' if events else b"\xff"
        case "unknown" if events:
            yield event(_UNKNOWN)
        case "error" if events:
            yield event(told(500, fault.reason).body())
        case _:
            return


def event(data: object) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"


def _json(body: object, status: int, headers: dict[str, str]) -> Response:
    return Response(json.dumps(body), status, headers, media_type="application/json")
