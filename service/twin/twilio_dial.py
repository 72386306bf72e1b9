"""What a `<Dial>` does at the Twilio twin: another leg, rung and talked with, and how that went.

The person on the line waits meanwhile. Follows "TwiML for Programmable Voice: <Dial>, <Number>".
"""

from collections.abc import Awaitable, Callable

from msgspec import Struct

from service.twin.behaviour import Outcome
from service.twin.twilio_callbacks import Callbacks
from service.twin.twilio_webhooks import Form
from service.twin.twiml import Dial

NOT_TAKEN = {
    "busy": "busy",
    "no-answer": "no-answer",
    "rejected": "busy",
    "not-found": "failed",
    "failed": "failed",
}

Wait = Callable[[int], Awaitable[bool]]
"""Milliseconds go by; False: an order put an end to it before that."""


class Dialled(Struct, frozen=True):
    """How a `<Dial>` went; `status` is DialCallStatus."""

    sid: str
    status: str
    talked_ms: int = 0

    def fields(self) -> Form:
        """What the request to the `action` says of it."""
        taken = self.status == "completed"
        form = {
            "DialCallStatus": self.status,
            "DialCallSid": self.sid,
            "DialBridged": "true" if taken else "false",
        }
        return form | ({"DialCallDuration": str(-(-self.talked_ms // 1000))} if taken else {})


class Leg:
    """The other leg, from its first ring to its end."""

    def __init__(self, verb: Dial, sid: str, callbacks: Callbacks) -> None:
        self._verb = verb
        self._sid = sid
        self._callbacks = callbacks
        self._sequence = 0

    async def run(self, outcome: Outcome, wait: Wait) -> Dialled:
        """Ring, and let them talk."""
        self._tell("initiated", "initiated")
        self._tell("ringing", "ringing")
        patience_ms = self._verb.timeout_s * 1000
        if not await wait(min(outcome.ring_ms, patience_ms)):
            return self._over("canceled")
        if outcome.ring_ms > patience_ms:
            return self._over("no-answer")
        if outcome.result != "answered":
            return self._over(NOT_TAKEN[outcome.result])
        self._tell("answered", "in-progress")
        talk_ms = min(outcome.talk_ms, self._verb.time_limit_s * 1000)
        await wait(talk_ms)
        return self._over("completed", talk_ms)

    def _over(self, status: str, talked_ms: int = 0) -> Dialled:
        self._tell("completed", status)
        return Dialled(self._sid, status, talked_ms)

    def _tell(self, event: str, status: str) -> None:
        """To the `<Number statusCallback>`, if it asks for this event."""
        if not self._verb.status_callback or event not in self._verb.status_events:
            return
        form = {
            "ParentCallSid": self._callbacks.call_sid,
            "CallSid": self._sid,
            "CallStatus": status,
            "Direction": "outbound-dial",
            "To": self._verb.number,
            "From": self._verb.caller_id,
            "CallbackSource": "call-progress-events",
            "SequenceNumber": str(self._sequence),
        }
        self._sequence += 1
        self._callbacks.post(self._verb.status_callback, form, self._verb.status_method)
