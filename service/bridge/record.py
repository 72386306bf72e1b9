"""What a live call tells its record: never waits for the store, and logs no word that was said."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import structlog

from service.bridge.shared import Shared
from service.bridge.spans import trace_answer
from service.core.calls import CallEvent, CallId, Noted
from service.core.commands import Note
from service.core.errors import ProtocolError

NOTED_S = 0.5
"""How long a hang-up waits for its reason to be written down: a line costs money meanwhile."""

log = structlog.get_logger()


class Record:
    """One call's way into the journal."""

    def __init__(self, call_id: CallId, provider: str, shared: Shared) -> None:
        self._call_id = call_id
        self._provider = provider
        self._shared = shared
        self._malformed = 0

    def write(
        self, kind: Callable[..., CallEvent], *, at: datetime | None = None, **fields: Any
    ) -> None:
        """An event of the call, which happened now unless `at` says when."""
        event = kind(
            event_id=self._shared.ids.new("evt"),
            occurred_at=at or self._shared.clock.utc(),
            **fields,
        )
        self._shared.journal.note(self._call_id, event)

    def note(self, note: Note, *, at: datetime | None = None) -> None:
        """What the dialog wants written down, as of now unless `at` says when."""
        self._count(note)
        data = _dated(note.data, self._shared.clock.utc())
        self.write(Noted, at=at, type=note.type, data=data)

    def _count(self, note: Note) -> None:
        metrics = self._shared.metrics
        match note.type:
            case "turn.agent":
                metrics.answered(note.data["latency"])
                trace_answer(self._call_id, note.data, self._shared.clock.utc())
            case "tool.called":
                metrics.tools_called.labels(note.data["code"]).inc()
            case "fault":
                metrics.call_faults.labels(note.data["code"]).inc()
                log.warning("Fault on a call", call_id=self._call_id, **note.data)
            case _:
                pass

    def complain(self, error: ProtocolError) -> None:
        """Count a message that breaks the carrier's rules; log a call's first one."""
        self._malformed += 1
        self._shared.metrics.malformed_messages.labels(self._provider).inc()
        if self._malformed == 1:
            log.warning(
                "Malformed message", call_id=self._call_id, code=error.code, detail=error.detail
            )

    async def written(self) -> None:
        """All of it is in the store, or the store is too slow to be waited for."""
        with suppress(TimeoutError):
            async with asyncio.timeout(NOTED_S):
                await self._shared.journal.flush()


def _dated(data: dict[str, Any], now: datetime) -> dict[str, Any]:
    """The dialog counts back in milliseconds; the record wants times of day."""
    dated = {}
    for key, value in data.items():
        if key in ("began_ago_ms", "ended_ago_ms"):
            name = "started_at" if key == "began_ago_ms" else "ended_at"
            dated[name] = now - timedelta(milliseconds=value)
        else:
            dated[key] = value
    if "started_at" in dated:
        dated.setdefault("ended_at", now)
    return dated
