"""The cassettes that are being written: the recorder's other half, on a thread of its own.

What goes wrong with one cassette is that one's end, and told by a code; the others are written.
"""

import contextlib
from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import structlog
from msgspec import Struct

from service.cassettes.redaction import Redactor
from service.cassettes.sound import Keep
from service.cassettes.writer import Make, Order, Sheet, Writer
from service.core.errors import BridgeError

K = TypeVar("K", bound=Hashable)

log = structlog.get_logger()


class Policy(Struct, frozen=True, kw_only=True):
    """Where cassettes go, and what is taken out of them."""

    folder: Path
    sound: Keep = "keep"
    redact: bool = True


class Shelf(Generic[K]):
    """All writers of a process, each under a key; only one thread may use it."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._writers: dict[K, Writer] = {}

    def add(self, key: K, sheet: Sheet, order: Order, make: Make) -> str | None:
        """Put a line into a cassette, which begins with its first. Returns why it failed."""

        def add() -> None:
            writer = self._writers.get(key)
            if writer is None:
                redactor = Redactor(self._policy.sound, names=self._policy.redact)
                writer = self._writers[key] = Writer(self._policy.folder, sheet, redactor)
            writer.add(order, make)

        return self._attempt(key, add)

    def write(self, now_ms: int) -> dict[K, str]:
        """Write what may be written. Returns what failed, and why."""
        return self._each([*self._writers], lambda writer: writer.write(now_ms))

    def finish(self, keys: list[K]) -> dict[K, str]:
        """Make these whole. Returns what failed, and why."""
        failed = self._each([key for key in keys if key in self._writers], Writer.finish)
        for key in keys:
            self._writers.pop(key, None)
        return failed

    def drop(self, key: K) -> None:
        """Leave this one as it is; it will never look whole."""
        writer = self._writers.pop(key, None)
        if writer is not None:
            with contextlib.suppress(OSError):
                writer.abandon()

    def _each(self, keys: list[K], do: Callable[[Writer], object]) -> dict[K, str]:
        failed: dict[K, str] = {}
        for key in keys:
            code = self._attempt(key, partial(do, self._writers[key]))
            if code is not None:
                failed[key] = code
        return failed

    def _attempt(self, key: K, do: Callable[[], object]) -> str | None:
        try:
            do()
        except OSError:
            code = "cassette.unwritable"
        except BridgeError as fault:
            code = fault.code
        except Exception:
            log.exception("Cassette failed")
            code = "cassette.failed"
        else:
            return None
        self.drop(key)
        return code
