"""What must reach the bridge that holds a call, on whichever instance that is.

Our own calls are told directly; others through a Redis stream named after their instance. A letter
is not an order: who reads it finds the call gone as often as not, and drops it.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from service.calls.store import CallStore
from service.core.calls import Call, CallId
from service.core.errors import StoreAway
from service.core.events import (
    ControlEvent,
    DigitsRequested,
    DtmfReceived,
    HangUpRequested,
    InstructionsGiven,
    MachineDetected,
    SayRequested,
    TakenOver,
    TransferRequested,
)

WAIT_MS = 1000
AWAY_S = 0.5

Letter = ControlEvent | TakenOver
Deliver = Callable[[CallId, Letter], None]
"""Give this to the bridge of this call; nothing happens when there is none here."""

_KINDS: dict[str, type[Letter]] = {
    "say": SayRequested,
    "digits": DigitsRequested,
    "transfer": TransferRequested,
    "instructions": InstructionsGiven,
    "machine": MachineDetected,
    "hang_up": HangUpRequested,
    "dtmf": DtmfReceived,
    "taken_over": TakenOver,
}
_NAMES = {kind: name for name, kind in _KINDS.items()}

log = structlog.get_logger(__name__)


class Mailbox:
    """The post of one instance."""

    def __init__(self, store: CallStore, *, instance: str, deliver: Deliver) -> None:
        self._store = store
        self._instance = instance
        self._deliver = deliver
        self._last = "0"  # the letter read last

    async def send(self, call: Call, event: Letter) -> bool:
        """Tell the bridge that holds this call. False: none does. StoreAway."""
        if call.owner is None or not call.attached:
            return False
        if call.owner == self._instance:
            self._deliver(call.call_id, event)
        else:
            await self._store.letters.post(call.owner, _write(call.call_id, event))
        return True

    async def run(self) -> None:
        """Read our letters until cancelled. An embedded store has no other instance to write."""
        while True:
            try:
                letters = await self._store.letters.collect(
                    self._instance, self._last, wait_ms=WAIT_MS
                )
            except StoreAway:
                await asyncio.sleep(AWAY_S)
                continue
            for letter_id, letter in letters:
                self._last = letter_id
                self._read(letter)

    def _read(self, letter: str) -> None:
        try:
            fields: dict[str, Any] = msgspec.json.decode(letter)
            event = msgspec.convert(fields["event"], _KINDS[fields["kind"]])
        except (msgspec.MsgspecError, KeyError, TypeError):
            log.warning("letter not understood")  # from a newer version of ours
            return
        self._deliver(CallId(str(fields.get("call_id"))), event)


def _write(call_id: str, event: Letter) -> str:
    letter = {"call_id": call_id, "kind": _NAMES[type(event)], "event": msgspec.to_builtins(event)}
    return msgspec.json.encode(letter).decode()
