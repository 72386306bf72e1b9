"""Calls that nobody speaks for any more are ended; calls of ours are kept alive.

Every instance sweeps, so a call outlives any of them by a minute at the most. Nothing is judged
for one lease after Redis was away, or this process stood still, or the time of day leapt: the
owners, of whom we are one, had no way to renew.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import structlog

from service.calls.control import Control
from service.calls.leases import Overdue
from service.calls.metrics import Metrics
from service.calls.phases import Phase, phase, verdict
from service.calls.store import CallStore
from service.clock import Clock
from service.core.calls import Call, CallEvent, CallId
from service.core.errors import StaleCall, StoreAway, UnknownCall

EVERY_S = 1.0
CLAIM_MS = 20_000
"""If who took a call to end it dies over that, the next one tries: 15 + 20 s is under a minute."""
HANG_UP_TIMEOUT_S = 5.0

log = structlog.get_logger(__name__)


class Sweep:
    """Ends calls whose lease ran out."""

    def __init__(
        self, store: CallStore, control: Control, *, clock: Clock, metrics: Metrics, lease_ms: int
    ) -> None:
        self._store = store
        self._control = control
        self._clock = clock
        self._metrics = metrics
        self._lease_s = lease_ms / 1000

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await self._await_store()
            try:
                if await self._evenly(self._lease_s):
                    await self._sweep_on()
            except StoreAway as away:
                log.warning("sweep waits for the store", code=away.code)

    async def _await_store(self) -> None:
        while True:
            try:
                return await self._store.ping()
            except StoreAway:
                await asyncio.sleep(EVERY_S)

    async def _sweep_on(self) -> None:
        await self.sweep(self._clock.utc())
        while await self._evenly(EVERY_S):
            await self.sweep(self._clock.utc())

    async def _evenly(self, seconds: float) -> bool:
        """Wait. False: the time of day leapt ahead meanwhile, or this process stood still.

        By less than a third of a lease, which is how often leases are renewed, does not matter.
        """
        before = self._clock.utc()
        await asyncio.sleep(seconds)
        passed = self._clock.utc() - before
        return passed < timedelta(seconds=seconds + self._lease_s / 3)

    async def sweep(self, now: datetime) -> None:
        """Settle every call that is overdue now. StoreAway."""
        overdue = await self._store.leases.overdue(now, claim_ms=CLAIM_MS)
        results = await asyncio.gather(
            *(self._settle(one, now) for one in overdue), return_exceptions=True
        )
        for failure in results:
            if isinstance(failure, StoreAway):
                raise failure
            if isinstance(failure, BaseException):  # of one call: the others are swept all the same
                log.error("call not swept", exc_info=failure)

    async def _settle(self, overdue: Overdue, now: datetime) -> None:
        call = await self._store.get(overdue.call_id)
        if call is None or call.version != overdue.version:
            return  # there was news of it after all
        verdicts = verdict(call, now)
        if not verdicts:
            return
        lost = phase(call) is Phase.LOST
        if lost:  # the line may still be open, and nobody else will close it
            await self._control.try_hang_up(call, timeout_s=HANG_UP_TIMEOUT_S)
        try:
            await self._end(call, verdicts)
        except (StaleCall, UnknownCall):
            return
        if not lost:
            await self._control.try_hang_up(call, timeout_s=HANG_UP_TIMEOUT_S)

    async def _end(self, call: Call, verdicts: Iterable[CallEvent]) -> None:
        """Only from the version that was judged: a call that is taken over meanwhile lives."""
        for event in verdicts:
            call = (await self._store.apply(call.call_id, event, version=call.version)).call
        if call.end is not None:
            self._metrics.calls_swept.labels(call.end.cause).inc()
            log.warning("call swept", call_id=call.call_id, cause=call.end.cause)


class Leases:
    """Says of the calls held here that they live."""

    def __init__(
        self,
        store: CallStore,
        *,
        clock: Clock,
        lease_ms: int,
        held_ids: Callable[[], Iterable[CallId]],
        ended_elsewhere: Callable[[CallId], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._every_s = lease_ms / 3000
        self._held_ids = held_ids
        self._ended_elsewhere = ended_elsewhere

    async def run(self) -> None:
        """Renew until cancelled."""
        while True:
            try:
                gone = await self._store.leases.renew(self._held_ids(), self._clock.utc())
            except StoreAway:
                gone = frozenset()
            for call_id in gone:
                self._ended_elsewhere(CallId(call_id))
            await asyncio.sleep(self._every_s)
