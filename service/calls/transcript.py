"""The conversation of a call, put together from its events."""

from collections.abc import Iterable
from typing import Any

from service.calls.records import Event, rfc3339

_SPEAKERS = {"turn.user": "caller", "turn.agent": "agent"}


def turns(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Who said what, in the order in which they began."""
    said = [_turn(event) for event in events if event.type in _SPEAKERS]
    return sorted(said, key=lambda turn: str(turn["started_at"]))


def _turn(event: Event) -> dict[str, Any]:
    who, data = _SPEAKERS[event.type], event.data
    text = data.get("text", "")
    return {
        "turn_id": data.get("turn_id", event.id),
        "who": who,
        "text": text,
        "heard_text": data.get("heard_text", text) if who == "agent" else None,
        "started_at": data.get("started_at", rfc3339(event.at)),
        "ended_at": data.get("ended_at", rfc3339(event.at)),
        "interrupted": data.get("interrupted", False),
        "latency": data.get("latency", {}),
    }
