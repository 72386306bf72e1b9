"""Events as they come: Server-Sent Events (HTML Living Standard, 9.2), read from the store."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

from service.calls.records import Event
from service.calls.store import CallStore
from service.core.errors import StoreAway

EVERY_S = 0.2
KEEP_ALIVE_S = 15.0
BATCH = 200
RETRY_MS = 1000


async def follow(
    store: CallStore,
    call_id: str | None,
    *,
    after_id: str | None,
    over: bool = False,
    closing: Callable[[], bool],
) -> AsyncIterator[str]:
    """A call's events until it has ended, or everybody's until the service closes."""
    yield f"retry: {RETRY_MS}\n\n"
    silent_s = 0.0
    while not closing():
        try:
            events = await store.entries(call_id, after_id=after_id, limit=BATCH)
        except StoreAway:
            events = ()  # the line is kept open: what was missed comes when it is back
        for event in events:
            yield _frame(event)
            after_id, silent_s = event.id, 0.0
            over = over or (call_id is not None and event.type == "call.ended")
        if over and len(events) < BATCH:
            return
        if silent_s >= KEEP_ALIVE_S:
            yield ": keep-alive\n\n"
            silent_s = 0.0
        if len(events) < BATCH:
            await asyncio.sleep(EVERY_S)
            silent_s += EVERY_S


def _frame(event: Event) -> str:
    return f"id: {event.id}\nevent: {event.type}\ndata: {json.dumps(event.public())}\n\n"
