"""The names of everything that we keep in Redis (interface, section 6). No other file makes one."""

import hashlib
import re

from service.core.calls import Call

PREFIX = "callbridge:"
EVENTS = PREFIX + "events"
LIVE = PREFIX + "calls:live"
INDEX = PREFIX + "calls:index"  # every call_id, in the order of time since they are ULIDs

ID = re.compile(r"[0-9A-Za-z_]{1,64}")
"""What a call_id looks like: nothing that comes from outside may name another key of ours."""


def call(call_id: str) -> str:
    """The Call, a hash."""
    return f"{PREFIX}call:{call_id}"


def events(call_id: str) -> str:
    """The call's events, a stream."""
    return f"{PREFIX}call:{call_id}:events"


def seen(call_id: str) -> str:
    """What was applied and claimed before, a set."""
    return f"{PREFIX}call:{call_id}:seen"


def token(call_id: str) -> str:
    """The secret in the call's stream URL."""
    return f"{PREFIX}call:{call_id}:token"


def name(provider: str, provider_call_id: str) -> str:
    """The call_id of the call that a carrier knows by another."""
    return f"{PREFIX}provider:{provider}:{provider_call_id}"


def names(of: Call) -> list[str]:
    """The key of the carrier's name of the call; none while it has none."""
    return [] if of.provider_call_id is None else [name(of.provider, of.provider_call_id)]


def mail(instance: str) -> str:
    """Letters to an instance, a stream."""
    return f"{PREFIX}instance:{instance}:mail"


def idempotency(key: str) -> str:
    """What became of a request that may be repeated."""
    return f"{PREFIX}idempotency:{hashlib.sha256(key.encode()).hexdigest()}"
