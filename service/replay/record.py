"""From a twin's record of a call to a cassette: its lines, and what was written into the store.

Numbers on a stage are fictional and its voices synthetic, so what comes of it may be shown.
"""

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import httpx
import msgspec

from service.cassettes.cassette import VERSION, Cassette, Happening, Header, Line
from service.twin.record import CallRecord

AFTERWARDS_S = 3.0
"""How long after a call its last entries may still be written."""


async def cassette_of(
    record: CallRecord,
    http: httpx.AsyncClient,
    *,
    now: datetime,
    title: str,
    agent: str,
    order: dict[str, Any] | None = None,
) -> Cassette:
    """A stage's call that has just ended; `http` asks the service, `now` is its time of day."""
    began_at = now - timedelta(milliseconds=record.now_ms())
    await asyncio.sleep(AFTERWARDS_S)
    calls = (await http.get("/v1/calls")).json()["calls"]
    entries = await events_of(http, calls[0]["call_id"]) if calls else []
    lines = msgspec.convert(record.lines, list[Line])
    happened = sorted([*lines, *store_lines(entries, began_at)], key=lambda line: line.at_ms)
    header = Header(
        cassette=VERSION,
        provider="twilio" if record.provider == "twilio" else "telnyx",
        title=title,
        agent=agent,
        redacted=True,
        began_at=began_at,
        order=order,
    )
    return Cassette(header, tuple(happened))


async def events_of(http: httpx.AsyncClient, call_id: str) -> list[dict[str, Any]]:
    """A call's entries in the store, by the REST API."""
    answer = await http.get(f"/v1/calls/{call_id}/events")
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()["events"]
    return found


def store_lines(events: Iterable[dict[str, Any]], began_at: datetime) -> list[Line]:
    """Entries of the store as lines; their order is that of the store, whatever their times say."""
    lines: list[Line] = []
    at_ms = 0
    for event in events:
        passed = datetime.fromisoformat(event["at"]) - began_at
        at_ms = max(at_ms, round(passed.total_seconds() * 1000))
        happened = Happening(event["type"], event["data"])
        lines.append(Line(at_ms=at_ms, lane="store", from_="bridge", event=happened))
    return lines
