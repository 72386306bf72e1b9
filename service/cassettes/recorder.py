"""Records the calls that are to be recorded, without making them wait.

On the event loop a happening is put into a queue, and that is all; a thread makes lines of it,
redacts, compresses and writes. What waits for the disk is bounded for the whole process: the
recording that would go beyond it is given up, its call is not. Follows section 8 of the interface.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Any, get_args

import structlog

from service.cassettes.cassette import VERSION, Header, JsonObject, Line
from service.cassettes.lines import entry_line
from service.cassettes.shelf import Policy, Shelf
from service.cassettes.writer import Make, Order, Sheet
from service.core.calls import Call, CallId, CallState, Direction

MOST_WAITING_BYTES = 32 * 1024 * 1024
"""What may wait for the disk, of all recordings together: ten seconds of fifty calls."""

ENTRY_BYTES = 600
"""What an entry costs besides its text."""

EVERY_S = 0.2
LINGER_MS = 3000
"""After a call's end, how long its last webhooks and answers may still come."""

SILENT_MS = 900_000
"""A recording of which nothing was heard for so long ends: another instance has the call."""

REMEMBERED = 1000
"""Calls whose late news do not begin another cassette."""

PROVIDERS: tuple[str, ...] = get_args(Header.__annotations__["provider"])
"""Whose calls a cassette can hold."""

log = structlog.get_logger()

MakeLines = Callable[..., Line | list[Line]]
Waiting = tuple["Recording", Order, Make, int]


class Recording:
    """One call that is recorded. Everything here returns at once."""

    def __init__(self, recorder: "Recorder", call: Call, sheet: Sheet, now_ms: int) -> None:
        self.call_id = call.call_id
        self.provider_call_id = call.provider_call_id
        self.sheet = sheet
        self.sockets = 0  # that are open
        self.ended = False
        self.over = False  # nothing is taken any more
        self.lost = False
        self.last_ms = self.entry_ms = now_ms
        self._recorder = recorder

    def put(self, make: MakeLines, *what: Any, size_bytes: int = 0) -> None:
        """This happens now: `make(at_ms, *what)` is how it is told."""
        self.put_at(self._recorder.stamp(), make, *what, size_bytes=size_bytes)

    def put_at(self, order: Order, make: MakeLines, *what: Any, size_bytes: int = 0) -> None:
        """The same for what happened at a moment that was stamped."""
        self.last_ms = max(self.last_ms, order[0])
        self._recorder.take(self, order, partial(_make, make, what), ENTRY_BYTES + size_bytes)

    def is_over(self, now_ms: int) -> bool:
        """Whether nothing more is to be expected."""
        patience_ms = LINGER_MS if self.ended else SILENT_MS
        return self.lost or (not self.sockets and now_ms - self.last_ms >= patience_ms)


class Recorder:
    """All recordings of a process; without a policy there are none."""

    def __init__(
        self,
        policy: Policy | None,
        *,
        now_ms: Callable[[], int],
        utc: Callable[[], datetime],
        count_result: Callable[[str], None],
        most_waiting_bytes: int = MOST_WAITING_BYTES,
    ) -> None:
        self._policy = policy
        self._now_ms = now_ms
        self._utc = utc
        self._count_result = count_result
        self._most_waiting_bytes = most_waiting_bytes
        self._live: dict[CallId, Recording] = {}
        self._done: deque[CallId] = deque(maxlen=REMEMBERED)
        self._numbers = count()
        self._waiting: deque[Waiting] = deque()
        self._put_bytes = 0  # told by the loop
        self._taken_bytes = 0  # told by the thread
        self._begun = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "cassettes")
        self._shelf = _shelf(policy)  # the thread's own

    # What happens --------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Nothing is recorded now."""
        return not self._live

    def stamp(self) -> Order:
        """This moment, for what is known to belong to a call only later."""
        return self._now_ms(), next(self._numbers)

    def recording(self, call: Call) -> Recording | None:
        """The call's recording, begun if need be; None: it is not recorded."""
        if not call.record_cassette:
            return None
        known = self._live.get(call.call_id)
        return known if known is not None else self._begin(call)

    def named_in(self, text: str) -> Recording | None:
        """The recording of the call that a text names, by our name or by the carrier's."""
        for recording in self._live.values():
            named = recording.provider_call_id
            if recording.call_id in text or (named is not None and named in text):
                return recording
        return None

    def wrote(self, call: Call, entries: Iterable[tuple[str, datetime, JsonObject]]) -> None:
        """The store has taken these entries: type, time, data; the call is as it is after them."""
        recording = self.recording(call)
        if recording is None:
            return
        recording.provider_call_id = call.provider_call_id
        recording.ended = call.state is CallState.ENDED
        for kind, at, data in entries:
            recording.put_at(self._stamp_of(recording, at), entry_line, kind, data)

    def _stamp_of(self, recording: Recording, at: datetime) -> Order:
        """An entry's own time, as everybody reads it; the store's order goes before it."""
        now_ms, number = self.stamp()
        ago_ms = max(0, round((self._utc() - at).total_seconds() * 1000))
        recording.entry_ms = max(recording.entry_ms, now_ms - ago_ms)
        return recording.entry_ms, number

    def take(self, recording: Recording, order: Order, make: Make, size_bytes: int) -> None:
        """Have something written, or give its recording up."""
        if recording.over:
            return
        if self._put_bytes - self._taken_bytes + size_bytes > self._most_waiting_bytes:
            self._give_up(recording, "cassette.disk_too_slow")
            return
        self._put_bytes += size_bytes
        self._waiting.append((recording, order, make, size_bytes))

    def _begin(self, call: Call) -> Recording | None:
        if self._policy is None or call.provider not in PROVIDERS:
            return None
        if call.state is CallState.ENDED or call.call_id in self._done:
            return None
        now_ms, now = self._now_ms(), self._utc()
        header = partial(_header, call, self._policy, now_ms, now)
        sheet = Sheet(f"{call.provider}-{call.call_id}", header)
        recording = self._live[call.call_id] = Recording(self, call, sheet, now_ms)
        self._begun.set()
        return recording

    def _give_up(self, recording: Recording, code: str) -> None:
        if not recording.lost:
            recording.lost = recording.over = True
            self._count_result("given_up")
            log.warning("Cassette given up", call_id=recording.call_id, code=code)

    # Writing -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._begun.wait()
            while self._live:
                await asyncio.sleep(EVERY_S)
                now_ms = self._now_ms()
                await self._write([one for one in self._live.values() if one.is_over(now_ms)])
            self._begun.clear()

    async def close(self) -> None:
        """Write all that is known, and stop: nothing more happens here."""
        await self._write([*self._live.values()])
        self._thread.shutdown()

    async def _write(self, over: list[Recording]) -> None:
        if self._shelf is None:
            return
        for recording in over:
            recording.over = True
        loop = asyncio.get_running_loop()
        now_ms = self._now_ms()
        failed = await loop.run_in_executor(self._thread, self._work, self._shelf, now_ms, over)
        for recording, code in failed.items():
            self._give_up(recording, code)
        for recording in over:
            del self._live[recording.call_id]  # not before: one who is stopped here comes again
            self._done.append(recording.call_id)
            if not recording.lost:
                self._count_result("written")
                log.info("Cassette written", call_id=recording.call_id)

    def _work(
        self, shelf: Shelf[Recording], now_ms: int, over: list[Recording]
    ) -> dict[Recording, str]:
        """In the thread: write what waits, finish what is over. Returns what failed, and why."""
        failed: dict[Recording, str] = {}
        for _ in range(len(self._waiting)):
            recording, order, make, size_bytes = self._waiting.popleft()
            self._taken_bytes += size_bytes
            if not recording.lost and recording not in failed:
                code = shelf.add(recording, recording.sheet, order, make)
                if code is not None:
                    failed[recording] = code
        for recording in over:
            if recording.lost:
                shelf.drop(recording)
        failed |= shelf.write(now_ms)
        return failed | shelf.finish([one for one in over if not one.lost])


def _shelf(policy: Policy | None) -> Shelf[Recording] | None:
    return None if policy is None else Shelf(policy)


def _make(make: MakeLines, what: tuple[Any, ...], at_ms: int) -> Line | list[Line]:
    return make(at_ms, *what)


def _header(call: Call, policy: Policy, now_ms: int, now: datetime, zero_ms: int) -> Header:
    return Header(
        cassette=VERSION,
        provider="twilio" if call.provider == "twilio" else "telnyx",
        title=f"{call.direction} call",
        agent=call.agent,
        redacted=policy.redact,
        began_at=now - timedelta(milliseconds=now_ms - zero_ms),
        order=_order(call) if call.direction is Direction.OUTBOUND else None,
        audio=_AUDIO[policy.sound],
    )


_AUDIO: dict[str, Any] = {"keep": "kept", "voice": "generated", "silence": "silenced"}


def _order(call: Call) -> JsonObject:
    """What somebody asked for to have this call placed."""
    order: JsonObject = {
        "provider": call.provider,
        "to": call.to,
        "from": call.from_,
        "agent": call.agent,
        "variables": call.variables,
        # What a model is told may be about anybody, and no replay asks a model.
        "overrides": {k: v for k, v in call.overrides.items() if k != "instructions"},
        "metadata": call.metadata,
        "ring_timeout_s": call.ring_timeout_s,
        "max_duration_s": call.max_duration_s,
        "record": call.record,
    }
    return {name: value for name, value in order.items() if value}
