"""What the carrier's answering machine detection found, on its way to the bridge of the call.

Detection is quicker than the media socket at times, and a carrier tells it once: so the bridge is
waited for, a while.
"""

import asyncio
from contextlib import suppress

from service.calls.errands import Errands
from service.calls.mailbox import Mailbox
from service.calls.store import CallStore
from service.core.calls import Call, CallState
from service.core.errors import StoreAway
from service.core.events import MachineDetected

LOOKS = 20
LOOK_S = 0.25


class Detection:
    """Tells bridges who picked up."""

    def __init__(self, store: CallStore, mailbox: Mailbox, errands: Errands) -> None:
        self._store = store
        self._mailbox = mailbox
        self._errands = errands

    async def tell(self, call: Call, event_id: str, found: MachineDetected) -> None:
        """Have the call's bridge told, once for this event of the carrier's. StoreAway."""
        if call.state is CallState.ENDED:
            return
        if await self._store.once(call.call_id, f"machine.{event_id}"):
            self._errands.send(self._deliver(call, found))

    async def _deliver(self, call: Call, found: MachineDetected) -> None:
        fresh: Call | None = call
        for _ in range(LOOKS):
            if fresh is None or fresh.state is CallState.ENDED:
                return
            with suppress(StoreAway):
                if await self._mailbox.send(fresh, found):
                    return
            await asyncio.sleep(LOOK_S)
            with suppress(StoreAway):
                fresh = await self._store.get(call.call_id)
