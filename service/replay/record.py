"""What the store holds of a call, read through the REST API, as lines of a cassette."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import httpx

from service.cassettes.cassette import Happening, Line

AFTERWARDS_S = 3.0
"""How long after a call its last entries may still be written."""


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
