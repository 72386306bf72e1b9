"""Time and chance, handed in from the composition root so that a whole service can be replayed.

The monotonic clock is the event loop's own: on a loop that runs on virtual time everything that
waits, and everything that reads the time, agrees.
"""

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from ulid import ULID


class Clock:
    """The time of day and the time that only goes forward.

    With `epoch` the time of day is `epoch` plus the loop's time: for replays.
    """

    def __init__(self, epoch: datetime | None = None) -> None:
        self._epoch = epoch
        self._loop_time: Callable[[], float] | None = None

    def now_ms(self) -> int:
        """Monotonic milliseconds; differences mean something, the value does not."""
        if self._loop_time is None:  # asked several times a frame: looked up once
            self._loop_time = asyncio.get_running_loop().time
        return int(self._loop_time() * 1000)

    def utc(self) -> datetime:
        """The time of day, aware, in UTC."""
        if self._epoch is None:
            return datetime.now(UTC)
        return self._epoch + timedelta(seconds=asyncio.get_running_loop().time())


def unix_ms(moment: datetime) -> int:
    """Milliseconds since 1970, as Redis and its sorted sets count."""
    return round(moment.timestamp() * 1000)


class Ids:
    """New names for things: sortable by time for calls and events, unguessable for tokens."""

    def __init__(
        self, clock: Clock, random_bytes: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._clock = clock
        self._random_bytes = random_bytes

    def new(self, prefix: str) -> str:
        """`prefix` and a ULID, as in `call_01J9ZQ...`."""
        unix_ms = int(self._clock.utc().timestamp() * 1000)
        return f"{prefix}_{ULID.from_bytes(unix_ms.to_bytes(6, 'big') + self._random_bytes(10))}"

    def token(self) -> str:
        """192 unguessable bits, safe in a URL's path."""
        return self._random_bytes(24).hex()
