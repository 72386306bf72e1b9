"""The leg that a `<Dial>` makes at the Twilio twin: with a CallSid and callbacks of its own.

It rings, is answered or not, and is bridged with its parent until one of the two hangs up. No sound
goes between them: each side's person goes on with their script and hears silence.
Twilio documentation: "TwiML Voice: <Dial>", "<Number>".
"""

import asyncio
import re
from collections.abc import Awaitable, Callable

from msgspec import Struct

from service.twin.behaviour import Courier, Outcome, talk
from service.twin.caller import Caller
from service.twin.holding import hold
from service.twin.record import CallRecord
from service.twin.twilio_callbacks import OUTCOMES, SETUP_MS, Account, Callbacks, Plan
from service.twin.twilio_webhooks import Form
from service.twin.twiml import Dial

NUMBER = re.compile(r"\+[1-9]\d{6,14}")


class Dialled(Struct, frozen=True):
    """How a `<Dial>` ended: what its action is told. `sid` "": nothing could be dialled."""

    status: str
    sid: str = ""
    duration_s: int = 0
    bridged: bool = False

    def form(self) -> Form:
        """The fields of the action's request."""
        form = {"DialCallStatus": self.status, "DialBridged": str(self.bridged).lower()}
        if self.sid:
            form["DialCallSid"] = self.sid
        return form | ({"DialCallDuration": str(self.duration_s)} if self.bridged else {})


class DialledLeg:
    """One child leg; `status` is Twilio's word for where it is."""

    def __init__(
        self,
        account: Account,
        record: CallRecord,
        dial: Dial,
        *,
        parent_sid: str,
        outcome: Outcome,
        courier: Courier,
    ) -> None:
        self.sid = record.call_id
        self.record = record
        self.parent_sid = parent_sid
        self.status = "queued"
        self.duration_s: int | None = None
        plan = Plan(
            status_url=dial.status_url,
            status_method=dial.status_method,
            status_events=dial.status_events,
        )
        self.callbacks = Callbacks(account, record, plan, courier, parent_sid=parent_sid)
        self._dial = dial
        self._outcome = outcome
        self._ended = asyncio.Event()

    def order_end(self) -> None:
        """REST, the parent or its document says so."""
        self._ended.set()

    async def run(self, on_bridge: Callable[[], Awaitable[None]]) -> Dialled:
        """From its first ring to its last callback; `on_bridge` is awaited at the answer."""
        status = await self._ring()
        if status == "answered":
            self.record.answered_at_ms = self.record.at_ms()
            await self._reach("in-progress", "answered")
            await on_bridge()
            await self._talk()
            status = "completed"
        return await self._finish(status)

    async def _ring(self) -> str:
        await self._reach("initiated")
        await self._wait(SETUP_MS)
        await self._reach("ringing")
        patience_ms = self._dial.ring_s * 1000
        await self._wait(min(self._outcome.ring_ms, patience_ms))
        if self._ended.is_set():
            return "canceled"
        if self._outcome.ring_ms > patience_ms:
            return "no-answer"
        result = self._outcome.result
        return "answered" if result == "answered" else OUTCOMES[result]

    async def _talk(self) -> None:
        person = asyncio.create_task(
            hold(Caller(talk(self._outcome)), self.record), name="twin dialled person"
        )
        ended = asyncio.create_task(self._ended.wait(), name="twin dialled leg ends")
        try:
            await asyncio.wait(
                (person, ended),
                timeout=self._dial.limit_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            person.cancel()
            ended.cancel()

    async def _finish(self, status: str) -> Dialled:
        answered_at_ms = self.record.answered_at_ms
        self.record.status = status
        self.record.ended_at_ms = self.record.at_ms()
        bridged = answered_at_ms is not None
        talked_ms = self.record.ended_at_ms - (answered_at_ms or self.record.ended_at_ms)
        self.status, self.duration_s = status, -(-talked_ms // 1000)
        await self.callbacks.completed(status, self.duration_s)
        await self.callbacks.settle()
        return Dialled(status, self.sid, self.duration_s, bridged)

    async def _reach(self, status: str, event: str = "") -> None:
        self.status = status
        await self.callbacks.progress(status, event or status)

    async def _wait(self, ms: int) -> None:
        try:
            async with asyncio.timeout(ms / 1000):
                await self._ended.wait()
        except TimeoutError:
            return
