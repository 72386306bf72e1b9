"""What every check has at hand: a twin that calls the bridge, a voice, patience.

One Kit for a whole run; calls of several checks may be under way at once.
"""

import asyncio
import itertools

import httpx
from msgspec import Struct

from service.twin.behaviour import Delivery, Faults
from service.twin.caller import HangUp, InterruptAfter, Say, Silence, Step, WaitForAgent
from service.twin.record import CallRecord
from service.twin.telnyx import TelnyxTwin
from service.twin.telnyx_events import Habits
from service.twin.twilio import TwilioTwin

Twin = TwilioTwin | TelnyxTwin

TO = "+14155550123"
_FAR_ENDS_FROM = 140
_REFUSED_MS = 3000  # how long the kit waits for what must not come
_LONG_WORDS_MS = 20_000  # an agent may have much to say
_INTO_SPEECH_MS = 600
_AFTERWARDS_MS = 1500


class Limits(Struct, frozen=True, kw_only=True):
    """How much time and room a bridge is given."""

    answer_ms: int = 10_000  # until its agent speaks
    webhook_ms: int = 2000  # for an answer to a webhook
    start_ms: int = 10_000  # that a socket without `start` may stay open
    clear_ms: int = 2000  # from the caller's first word to silence
    ahead_ms: int = 3000  # of sound that waits at the carrier
    order_ms: int = 10_000  # from an order to the carrier's REST API


class Order(Struct, frozen=True, kw_only=True):
    """How the bridge is told to place a call: `{to}` in the body is the number."""

    url: str
    body: str
    headers: dict[str, str] = {}


class Kit:
    """A bridge under test, and what it takes to test it."""

    def __init__(
        self,
        twin: Twin,
        http: httpx.AsyncClient,
        *,
        webhook_url: str,
        speech: bytes,
        to: str = TO,
        from_: str = "+14155550100",
        limits: Limits | None = None,
        order: Order | None = None,
    ) -> None:
        self.twin = twin
        self.http = http
        self.webhook_url = webhook_url
        self.speech = speech  # PCMU: what the caller says to be heard
        self.limits = limits or Limits()
        self.order = order
        self._to = to
        self._from = from_
        self._far_ends = itertools.count(1)
        self._conversation: asyncio.Future[CallRecord] | None = None
        self._interruption: asyncio.Future[CallRecord] | None = None

    async def call(
        self,
        *steps: Step,
        faults: Faults | None = None,
        delivery: Delivery | None = None,
        habits: Habits | None = None,
    ) -> CallRecord:
        """Call the bridge and see the call through. `habits`: of Telnyx alone."""
        if isinstance(self.twin, TwilioTwin):
            return await self.twin.call(
                self._to, self._from, steps, faults=faults, delivery=delivery
            )
        patience_ms = self.limits.answer_ms
        if faults is not None and faults.signature != "good":
            patience_ms = _REFUSED_MS
        return await self.twin.call(
            self._to,
            self._from,
            steps,
            patience_ms=patience_ms,
            faults=faults,
            delivery=delivery,
            habits=habits,
        )

    async def conversation(self) -> CallRecord:
        """A call like any other, once for all checks: the agent speaks, the caller, the agent."""
        listen = WaitForAgent(timeout_ms=self.limits.answer_ms + _LONG_WORDS_MS)
        if self._conversation is None:
            talk = self.call(listen, Say(self.speech), listen, HangUp())
            self._conversation = asyncio.ensure_future(talk)
        return await asyncio.shield(self._conversation)

    async def interruption(self) -> CallRecord:
        """A call in which the caller speaks while the agent does, once for all checks."""
        if self._interruption is None:
            over = InterruptAfter(_INTO_SPEECH_MS, self.speech, timeout_ms=self.limits.answer_ms)
            talk = self.call(over, Silence(_AFTERWARDS_MS), HangUp())
            self._interruption = asyncio.ensure_future(talk)
        return await asyncio.shield(self._interruption)

    def far_end(self) -> str:
        """A number that no other check dials, and nobody has: 555-0100 to 0199 are fiction."""
        return f"+1415555{_FAR_ENDS_FROM + next(self._far_ends):04d}"
