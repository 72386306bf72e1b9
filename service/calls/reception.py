"""What a webhook's news mean: a call taken, refused, connected again, let go, or moved on.

A carrier that is answered in the reply and one that is answered by a REST call look the same from
here: an Answer may have a flow, which runs after the reply, once per call.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import structlog
from msgspec.structs import replace

from providers.base import Answer, Flow, Notice, Offer, Provider, WebhookRequest, Webhooks
from service.calls.admission import Admission
from service.calls.control import Control
from service.calls.desk import Desk
from service.calls.detection import Detection
from service.calls.errands import Errands
from service.calls.journal import Journal
from service.calls.mailbox import Mailbox
from service.calls.metrics import Metrics
from service.calls.phases import Phase, phase
from service.clock import Clock
from service.core.calls import (
    Call,
    CallAnswered,
    CallEnd,
    CallEnded,
    CallEvent,
    CallPlaced,
    CallReturned,
    CallState,
    Outcome,
)
from service.core.errors import CallGone, RestError, StaleCall, StoreAway, UnknownCall
from service.core.events import DtmfReceived, HangUpRequested

HANDING_OVER_S = 1.0
HANDING_OVER_LOOK_S = 0.02

log = structlog.get_logger(__name__)


class Reception:
    """Takes the news of all carriers."""

    def __init__(
        self,
        *,
        desk: Desk,
        control: Control,
        journal: Journal,
        mailbox: Mailbox,
        errands: Errands,
        admission: Admission,
        clock: Clock,
        metrics: Metrics,
        attach_ms: int,
        reattach_ms: int,
    ) -> None:
        self.metrics = metrics
        self._desk = desk
        self._store = desk.store
        self._control = control
        self._journal = journal
        self._mailbox = mailbox
        self._errands = errands
        self._detection = Detection(desk.store, mailbox, errands)
        self._admission = admission
        self._clock = clock
        self._attach_ms = attach_ms
        self._reattach = timedelta(milliseconds=reattach_ms)

    async def take(self, provider: Provider, webhook: WebhookRequest) -> Answer:
        """Do what a verified webhook asks for. StoreAway when that cannot be done or kept."""
        hooks = provider.webhooks
        if hooks is None:
            return Answer()
        notice = hooks.parse(webhook)
        try:
            answer = await self._answer(provider, hooks, notice)
        except StoreAway:
            if notice.call_id is None or notice.offer is not None or notice.asks_stream:
                raise  # the carrier comes again
            for event in notice.events:
                self._journal.note(notice.call_id, event)
            answer = hooks.acknowledge(notice)
        return self._after_reply(answer)

    async def _answer(self, provider: Provider, hooks: Webhooks, notice: Notice) -> Answer:
        call = await self._known(provider, notice)
        if call is None:
            if notice.offer is None:
                return Answer(204)
            reason = self._admission.refusal(notice.offer.provider_call_id)
            # What fills the house may be this very call, let in by a copy of this webhook.
            call = await self._known(provider, notice) if reason else None
            if reason and call is None:
                self.metrics.calls_refused.labels(reason).inc()
                return hooks.refuse(notice)
            call = call or await self._let_in(provider, notice.offer, notice.agent)
        if notice.returns:
            call = await self._handed_over(call)
        for event in notice.events:
            call = await self._apply(call, event)
        if notice.machine is not None and notice.event_id is not None:
            await self._detection.tell(call, notice.event_id, notice.machine)
        if notice.digit is not None:
            await self._press(call, notice, notice.digit)
        if notice.offer is None and not notice.asks_stream:
            self._hang_up_ghost(call, notice)
            return hooks.acknowledge(notice)
        if self._may_stream(call, offered=notice.offer is not None):
            with suppress(UnknownCall):  # it ended this very moment
                return await self._connect(hooks, call, notice)
        if phase(call) is Phase.TRANSFERRED:
            return hooks.acknowledge(notice)  # of the stream before it: the carrier has its orders
        return await self._let_go(hooks, notice, call)

    async def _let_in(self, provider: Provider, offer: Offer, asked: str | None) -> Call:
        with self._admission.arriving(offer.provider_call_id):
            call = (await self._desk.open_offered(provider.name, offer, asked)).call
            self._admission.expect(call.call_id, for_ms=self._attach_ms)
        return call

    async def _known(self, provider: Provider, notice: Notice) -> Call | None:
        """The call that the notice is about; what it says of two calls at once is not believed."""
        call = None
        if notice.call_id is not None:
            call = await self._store.get(notice.call_id)
        if call is None and notice.provider_call_id is not None:
            call = await self._store.find(provider.name, notice.provider_call_id)
        if call is None or call.provider != provider.name:
            return None
        if notice.provider_call_id in (None, call.provider_call_id):
            return call
        if notice.provider_call_id is None:
            return None
        if call.provider_call_id is not None and not provider.renames_calls:
            return None
        if call.stream_started_at is not None:
            return None  # its name is known for good: this is another leg, as transfers have it
        # The carrier's first webhook may overtake its answer to our order to dial, and some
        # carriers call the same leg by another name in webhooks than in that answer.
        placed = CallPlaced(
            event_id=f"placed.{notice.provider_call_id}",
            occurred_at=self._clock.utc(),
            provider_call_id=notice.provider_call_id,
            renames=provider.renames_calls,
        )
        return await self._apply(call, placed)

    async def _apply(self, call: Call, event: CallEvent) -> Call:
        try:
            applied = await self._store.apply(call.call_id, event)
        except (StoreAway, StaleCall):
            self._journal.note(call.call_id, event)
            return call
        if applied.entries and isinstance(event, CallReturned):
            self.metrics.transfers.labels(applied.call.provider, "returned").inc()
        if applied.call.state is CallState.ENDED:
            self._admission.forget(call.call_id)
        told_end = isinstance(event, CallEnded) and applied.fresh
        if told_end and applied.call.state is not CallState.ENDED:
            await self._tell_bridge(applied.call)
        return applied.call

    async def _tell_bridge(self, call: Call) -> None:
        """The carrier says that the call is over: whoever holds its socket is to finish."""
        cause = call.pending_end.cause if call.pending_end else "hangup"
        await self._mailbox.send(call, HangUpRequested(cause, "carrier"))

    async def _press(self, call: Call, notice: Notice, digit: str) -> None:
        if call.state is CallState.ENDED or notice.event_id is None:
            return
        if await self._store.once(call.call_id, f"digit.{notice.event_id}"):
            await self._mailbox.send(call, DtmfReceived(digit, channel="webhook"))

    # Streams -----------------------------------------------------------------------------------

    def _may_stream(self, call: Call, *, offered: bool) -> bool:
        """Whether the carrier is to open a media socket, for the first time or once more."""
        if call.pending_end is not None:
            return False  # also while its socket is still open: it is being ended
        match phase(call):
            case Phase.DIALLING | Phase.WAITING:
                return True
            case Phase.ATTACHED:
                # Offered twice; or its stream broke off and our end of it has not noticed yet.
                return offered or bool(self._reattach)
            case Phase.LOST:
                lost_at = call.stream_lost_at or call.created_at
                return self._clock.utc() <= lost_at + self._reattach
            case Phase.TRANSFERRED | Phase.STOPPED | Phase.ENDING | Phase.OVER:
                return False

    async def _handed_over(self, call: Call) -> Call:
        """A transfer may fail before who ordered it has written down that it was taken."""
        with suppress(TimeoutError):
            async with asyncio.timeout(HANDING_OVER_S):
                while phase(call) is Phase.ATTACHED:
                    await asyncio.sleep(HANDING_OVER_LOOK_S)
                    call = await self._store.get(call.call_id) or call
        return call

    async def _connect(self, hooks: Webhooks, call: Call, notice: Notice) -> Answer:
        url = await self._desk.stream_url(call)
        answer = hooks.take_back(call, url) if notice.returns else hooks.connect(call, url)
        if answer.flow is None:
            return answer
        if notice.returns:
            if await self._store.once(call.call_id, f"take_back.{notice.event_id}"):
                return answer  # should it fail, the call is swept as any whose stream was lost
        elif await self._store.once(call.call_id, "connect"):
            self._errands.send(self._connect_by_flow(call, answer.flow))
        return replace(answer, flow=None)

    async def _let_go(self, hooks: Webhooks, notice: Notice, call: Call) -> Answer:
        answer = hooks.let_go(notice)
        if answer.flow is None or await self._store.once(call.call_id, "let_go"):
            return answer
        return replace(answer, flow=None)

    async def _connect_by_flow(self, call: Call, flow: Callable[[], Flow[None]]) -> None:
        try:
            await self._control.persist(flow)
        except CallGone:
            await self._fail(call, CallEnd(Outcome.CANCELED, "gone_before_answer", "caller"))
        except RestError as error:
            log.warning("answer refused", call_id=call.call_id, code=error.code)
            cause = error.code.replace(".", "_")
            await self._fail(call, CallEnd(Outcome.CARRIER_FAILED, cause, "carrier"))
            await self._control.try_hang_up(call)

    async def _fail(self, call: Call, end: CallEnd) -> None:
        ended = CallEnded(
            event_id=f"connect.{call.call_id}", occurred_at=self._clock.utc(), end=end
        )
        await self._apply(call, ended)

    # After the reply ---------------------------------------------------------------------------

    def _after_reply(self, answer: Answer) -> Answer:
        """Refusing and letting go by REST: the carrier is not kept waiting for it."""
        if answer.flow is not None:
            self._errands.send(self._run_quietly(answer.flow))
        return replace(answer, flow=None)

    async def _run_quietly(self, flow: Callable[[], Flow[None]]) -> None:
        try:
            await self._control.persist(flow)
        except RestError as error:
            if not isinstance(error, CallGone):
                log.warning("carrier refused", code=error.code)

    def _hang_up_ghost(self, call: Call, notice: Notice) -> None:
        """A call that is over for us lives on at the carrier: it is not to cost for hours."""
        if call.ended_at is None:
            return
        for event in notice.events:
            if isinstance(event, CallAnswered) and event.occurred_at > call.ended_at:
                self._errands.send(self._control.try_hang_up(call))
