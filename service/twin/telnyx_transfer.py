"""What `transfer` does at the Telnyx twin: a leg of its own, rung and connected with the person's.

Both legs hang up together once they have been connected; when nobody takes the new one, the
person's stays as it was. Follows Telnyx's "Transfer call" and "call.bridged".
"""

from collections.abc import Awaitable, Callable

from service.twin.behaviour import Courier, Outcome
from service.twin.record import CallRecord
from service.twin.telnyx_events import Account, Cause, Events
from service.twin.telnyx_params import Body

NOT_TAKEN = {
    "busy": Cause("user_busy", "486", "callee"),
    "no-answer": Cause("timeout", "487"),
    "rejected": Cause("call_rejected", "603", "callee"),
    "not-found": Cause("not_found", "404"),
    "failed": Cause("unspecified", "unspecified"),
}
HUNG_UP = Cause("normal_clearing", "200", "callee")

Wait = Callable[[int], Awaitable[bool]]
"""Milliseconds go by; False: the person's leg ended before that."""


class TransferLeg:
    """The leg to whom a call is handed."""

    def __init__(
        self, account: Account, record: CallRecord, body: Body, *, of: Events, courier: Courier
    ) -> None:
        order = {"webhook_url": body.get("webhook_url", of.url)}
        if "target_leg_client_state" in body:
            order["client_state"] = body["target_leg_client_state"]
        self.record = record
        self._events = Events(account, record, order, courier)
        self._events.session_id = of.session_id
        self._persons = of
        self._patience_ms = body.get("timeout_secs", 30) * 1000
        self._limit_ms = body.get("time_limit_secs", 14_400) * 1000

    async def run(self, outcome: Outcome, wait: Wait) -> bool:
        """Ring, and let them talk. True: they did, and the person's leg ends with that."""
        not_taken = await self._ring(outcome, wait)
        if not_taken is None:
            await self._talk(outcome, wait)
        cause = not_taken or HUNG_UP
        self.record.status = cause.hangup_cause
        self.record.ended_at_ms = self.record.at_ms()
        await self._events.hangup(cause, answered=not_taken is None)
        await self._events.settle()
        return not_taken is None

    async def _ring(self, outcome: Outcome, wait: Wait) -> Cause | None:
        """Why nobody took it, if so."""
        await self._events.initiated("outgoing", "bridging")
        if not await wait(min(outcome.ring_ms, self._patience_ms)):
            return Cause("originator_cancel", "487", "caller")
        if outcome.ring_ms > self._patience_ms:
            return NOT_TAKEN["no-answer"]
        return None if outcome.result == "answered" else NOT_TAKEN[outcome.result]

    async def _talk(self, outcome: Outcome, wait: Wait) -> None:
        self.record.answered_at_ms = self.record.at_ms()
        await self._events.answered()
        await self._events.tell("call.bridged")
        await self._persons.tell("call.bridged")
        await wait(min(outcome.talk_ms, self._limit_ms))
