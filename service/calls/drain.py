"""A process that is told to stop, and the calls it took whose media socket has not come yet.

They are waited for like those that talk. Who has not come in time is not left on a dead line: the
call is ended, here and at its carrier, unless another instance has it by then.
"""

import asyncio
from contextlib import suppress

import structlog

from service.calls.admission import Admission
from service.calls.control import Control
from service.calls.phases import Phase, phase
from service.calls.store import CallStore
from service.clock import Clock
from service.core.calls import Call, CallEnd, CallEnded, CallId, Outcome
from service.core.errors import StaleCall, StoreAway, UnknownCall

LOOK_EVERY_S = 0.2
CARRIER_TIMEOUT_S = 5.0
"""For each of: an order to dial that is under way, and the hang-up."""

SHUTDOWN = CallEnd(Outcome.OUR_FAULT, "shutdown", "bridge")

log = structlog.get_logger(__name__)


class Drain:
    """Sees to the calls that are expected."""

    def __init__(
        self, store: CallStore, control: Control, *, admission: Admission, clock: Clock
    ) -> None:
        self._store = store
        self._control = control
        self._admission = admission
        self._clock = clock

    async def wait(self, seconds: float) -> None:
        """Until none is expected any more: each has its socket, wherever, or has ended."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._admission.is_expecting:
                    await self._look()
                    await asyncio.sleep(LOOK_EVERY_S)

    async def end(self) -> None:
        """End those that are still expected."""
        await asyncio.gather(*(self._give_up(call_id) for call_id in self._admission.expected()))

    async def _look(self) -> None:
        for call_id in self._admission.expected():
            with suppress(StoreAway):
                call = await self._store.get(call_id)
                if call is None or not _waits(call):
                    self._admission.forget(call_id)

    async def _give_up(self, call_id: CallId) -> None:
        try:
            call = await self._end(call_id)
            if call is not None and call.provider_call_id is None:
                call = await self._named(call)
        except (StoreAway, UnknownCall) as error:
            # Whether somebody else has it cannot be known; its lease runs out if nobody has.
            log.warning("call not ended", call_id=call_id, code=error.code)
            return
        if call is not None:
            self._admission.forget(call_id)
            await self._control.try_hang_up(call, timeout_s=CARRIER_TIMEOUT_S)

    async def _end(self, call_id: CallId) -> Call | None:
        """The call, ended by us; None: it is not ours to end."""
        while (call := await self._store.get(call_id)) is not None:
            if call.end == SHUTDOWN:
                return call
            if not _waits(call):
                return None
            ended = CallEnded(
                event_id=f"shutdown.{call_id}", occurred_at=self._clock.utc(), end=SHUTDOWN
            )
            with suppress(StaleCall):  # there is news of it: look again
                return (await self._store.apply(call_id, ended, version=call.version)).call
        return None

    async def _named(self, call: Call) -> Call | None:
        """The call with its carrier's name for it, when an order to dial is still under way."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CARRIER_TIMEOUT_S):
                while True:
                    fresh = await self._store.get(call.call_id)
                    if fresh is None or fresh.provider_call_id is not None:
                        return fresh
                    await asyncio.sleep(LOOK_EVERY_S)
        return call


def _waits(call: Call) -> bool:
    return phase(call) in (Phase.DIALLING, Phase.WAITING)
