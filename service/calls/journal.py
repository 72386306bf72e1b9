"""From a live call to the store, without ever making the live call wait.

Events go out in the order they were noted. While Redis is away they are kept, and written when it
is back; a repetition after a lost answer is known by its event_id and written once.
"""

import asyncio
from collections import deque
from itertools import count

import structlog

from service.calls.metrics import Metrics
from service.calls.store import CallStore
from service.core.calls import CallEvent, Noted
from service.core.errors import BridgeError, StaleCall, StoreAway

KEPT = 50_000
"""Events kept while Redis is away: about a quarter of an hour of 300 talkative calls."""

FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 1.0

log = structlog.get_logger(__name__)


class Journal:
    """The way of a bridge's events into the store."""

    def __init__(self, store: CallStore, metrics: Metrics, *, kept: int = KEPT) -> None:
        self._store = store
        self._metrics = metrics
        self._kept = kept
        self._outbox: deque[tuple[str, CallEvent]] = deque()
        self._filled = asyncio.Event()
        self._noted = 0
        self._settled = 0  # of those: written, or refused for good
        self._progress = asyncio.Event()
        self.away = False
        """Redis did not take the last event that was offered to it."""
        metrics.read_backlog(lambda: len(self._outbox))

    def note(self, call_id: str, event: CallEvent) -> None:
        """Have this written; returns at once.

        When there is no room left notes are dropped and counted; what moves a call never is.
        """
        if len(self._outbox) >= self._kept and isinstance(event, Noted):
            self._metrics.journal_dropped.labels("full").inc()
            return
        self._outbox.append((call_id, event))
        self._noted += 1
        self._filled.set()

    async def flush(self) -> None:
        """Wait until everything noted so far has been written, whatever comes after it."""
        noted = self._noted
        while self._settled < noted:
            await self._progress.wait()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._filled.wait()
            while self._outbox:
                call_id, event = self._outbox[0]
                await self._write(call_id, event)
                self._outbox.popleft()
                self._settled += 1
                self._progress.set()  # wakes who waits now
                self._progress.clear()
            self._filled.clear()

    async def _write(self, call_id: str, event: CallEvent) -> None:
        for attempt in count():
            try:
                await self._store.apply(call_id, event)
            except (StoreAway, StaleCall) as away:
                self._say_away(away)
                await asyncio.sleep(min(FIRST_WAIT_S * 2 ** min(attempt, 10), LONGEST_WAIT_S))
            except BridgeError as refusal:
                self._metrics.journal_dropped.labels(refusal.code).inc()
                log.warning("event not written", call_id=call_id, code=refusal.code)
                return
            except Exception:
                # Whatever is wrong with this one event, the others are to be written.
                self._metrics.journal_dropped.labels("unwritable").inc()
                log.exception("event not written", call_id=call_id)
                return
            else:
                self._say_back()
                return

    def _say_away(self, why: BridgeError) -> None:
        if isinstance(why, StoreAway) and not self.away:
            self.away = True
            log.warning("store away, events are kept", code=why.code)

    def _say_back(self) -> None:
        if self.away:
            self.away = False
            log.info("store back", backlog=len(self._outbox))
