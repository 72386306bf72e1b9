"""How a call that has ended here is ended at its carrier: hung up, or left to the carrier's word.

No trouble with the carrier or the store comes out of here: the call is over either way.
"""

import asyncio

import structlog

from service.bridge.record import Record
from service.bridge.shared import Shared
from service.core.calls import Call, CallEnd, CallEnding, CallState, Outcome
from service.core.errors import BridgeError, RestError

END_GRACE_S = 1.5
"""After the stream's stop, how long the carrier's own word on how the call ended is waited for."""

log = structlog.get_logger()


async def hang_up(call: Call, shared: Shared) -> None:
    """Tell the carrier to end the call."""
    try:
        await shared.control.hang_up(call)
    except RestError as error:
        log.warning("Hang-up refused", call_id=call.call_id, code=error.code)


async def announce_end(call: Call, end: CallEnd, shared: Shared, record: Record) -> None:
    """Write down why we end the call before the carrier can tell us that somebody did."""
    record.write(CallEnding, end=end)
    await record.written()
    if end.ended_by != "carrier" or end.outcome is Outcome.CARRIER_FAILED:
        await hang_up(call, shared)


async def is_held_elsewhere(call: Call, shared: Shared) -> bool:
    """Whether the carrier has opened its next socket to another instance."""
    now = await _as_stored(call, shared)
    return now is not None and now.owner not in (None, shared.instance)


async def await_carriers_word(call: Call, shared: Shared) -> None:
    """The carrier's webhook knows better how the call ended than the stream's stop does."""
    await asyncio.sleep(END_GRACE_S)
    now = await _as_stored(call, shared)
    if now is not None and now.state is not CallState.ENDED:
        await hang_up(call, shared)


async def _as_stored(call: Call, shared: Shared) -> Call | None:
    try:
        return await shared.store.get(call.call_id)
    except BridgeError:
        return None
