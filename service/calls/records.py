"""How a call and its events are written as JSON: the same in Redis and in the REST API.

Names and forms are those of the interface; times are RFC 3339 in UTC with milliseconds.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from service.core.calls import Call, Entry, describe_end

_OURS = (  # fields that the API does not show; in Redis under their own names
    "version",
    "owner",
    "rang_at",
    "attached",
    "stream_started_at",
    "stream_lost_at",
    "stream_stopped_at",
    "transferred_at",
    "returned",
    "pending_end",
    "variables",
    "overrides",
    "ring_timeout_s",
    "max_duration_s",
    "record",
    "record_cassette",
    "detect_machine",
)


class Event(Struct, frozen=True, kw_only=True):
    """One entry of a call's record; `id` is the same in both Redis streams, REST and SSE."""

    id: str
    type: str
    call_id: str
    at: datetime
    data: dict[str, Any]

    def public(self) -> dict[str, Any]:
        """As the REST API shows it."""
        return {
            "id": self.id,
            "type": self.type,
            "call_id": self.call_id,
            "at": rfc3339(self.at),
            "data": self.data,
        }


def rfc3339(moment: datetime) -> str:
    """`2026-11-20T08:00:00.000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def public(call: Call) -> dict[str, Any]:
    """The Call as the REST API shows it."""
    return {
        "call_id": call.call_id,
        "provider": call.provider,
        "provider_call_id": call.provider_call_id,
        "direction": str(call.direction),
        "state": str(call.state),
        "to": call.to,
        "from": call.from_,
        "agent": call.agent,
        "metadata": call.metadata,
        "created_at": rfc3339(call.created_at),
        "answered_at": _maybe(call.answered_at),
        "ended_at": _maybe(call.ended_at),
        "end": describe_end(call),
    }


def to_fields(call: Call) -> dict[str, str]:
    """The Call as fields of its Redis hash: each value is JSON."""
    shown = public(call) | {name: _plain(getattr(call, name)) for name in _OURS}
    return {name: msgspec.json.encode(value).decode() for name, value in shown.items()}


def from_fields(fields: Mapping[str, str]) -> Call:
    """The Call that `to_fields` wrote."""
    values = {name: msgspec.json.decode(value) for name, value in fields.items()}
    values["from_"] = values.pop("from")
    values["duration_ms"] = (values["end"] or {}).get("duration_ms", 0)
    return msgspec.convert(values, Call)


def entry_fields(entry: Entry) -> tuple[str, str, str]:
    """Type, time and data of an entry as a Redis stream holds them."""
    return entry.type, rfc3339(entry.at), msgspec.json.encode(plain(entry.data)).decode()


def plain(data: dict[str, Any]) -> dict[str, Any]:
    """An event's data with its times as text."""
    return {name: _plain(value) for name, value in data.items()}


def event_from(fields: Mapping[str, str]) -> Event:
    """The event in one entry of a Redis stream."""
    return Event(
        id=fields["id"],
        type=fields["type"],
        call_id=fields["call_id"],
        at=datetime.fromisoformat(fields["at"]),
        data=msgspec.json.decode(fields["data"]),
    )


def opening(call: Call) -> Entry:
    """The first line of a call's record: `call.queued`, or `call.ringing` when it came to us."""
    shown = public(call)
    facts = {name: shown[name] for name in ("provider", "direction", "to", "from", "agent")}
    return Entry(f"call.{call.state}", call.created_at, facts)


def _maybe(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)


def _plain(value: Any) -> Any:
    return rfc3339(value) if isinstance(value, datetime) else value
