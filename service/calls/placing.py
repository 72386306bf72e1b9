"""Placing a call for somebody: once, whatever happens, and kept whatever came of it."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import structlog
from starlette.responses import Response

from providers.base import Provider
from service.agents import Agent, AgentBook, faults_of
from service.calls.admission import Admission
from service.calls.control import Control
from service.calls.desk import Desk, Order
from service.calls.guard import invalid_request, pointer
from service.calls.journal import Journal
from service.calls.mailbox import Mailbox
from service.calls.models import PlaceCall
from service.calls.problems import RETRY_AFTER_S, from_error, problem
from service.calls.records import public
from service.calls.requests import Remembered, Requests
from service.clock import Clock
from service.core.calls import (
    Call,
    CallEnd,
    CallEnded,
    CallEvent,
    CallPlaced,
    CallState,
    Outcome,
    advance,
)
from service.core.errors import BridgeError, RestError, StaleCall, StoreAway
from service.core.events import HangUpRequested

log = structlog.get_logger(__name__)


class Placing:
    """Takes orders to dial."""

    def __init__(
        self,
        *,
        desk: Desk,
        control: Control,
        journal: Journal,
        providers: Mapping[str, Provider],
        agents: AgentBook,
        admission: Admission,
        mailbox: Mailbox,
        attach_ms: int,
        clock: Clock,
        max_call_s: int,
    ) -> None:
        self._desk = desk
        self._control = control
        self._journal = journal
        self._providers = providers
        self._agents = agents
        self._admission = admission
        self._mailbox = mailbox
        self._attach_ms = attach_ms
        self._clock = clock
        self._max_call_s = max_call_s

    async def place(self, wanted: PlaceCall) -> Response:
        """201 and the call, or why not."""
        order, faults = self._order(wanted)
        if order is None:
            return invalid_request(faults)
        if reason := self._admission.refusal():
            wait = {"Retry-After": str(RETRY_AFTER_S)}
            return problem(503, f"busy.{reason}", "no further call can be taken", headers=wait)
        with self._admission.arriving():
            call = await self._desk.open_ordered(order)
            for_ms = order.ring_timeout_s * 1000 + self._attach_ms
            self._admission.expect(call.call_id, for_ms=for_ms)
        try:
            name = await self._control.place(call, await self._desk.stream_url(call))
        except RestError as refusal:
            cause = refusal.code.replace(".", "_")
            await self._give_up(call, cause)
            return from_error(refusal, call_id=call.call_id)
        except Exception:
            await self._give_up(call, "internal_error")
            raise
        call = await self._note(call, self._placed(name))
        if call.state is CallState.ENDED or call.pending_end is not None:
            # Somebody wanted it ended while it was being placed.
            await self._control.try_hang_up(call)
        return Response(json.dumps(public(call)), 201, media_type="application/json")

    async def _give_up(self, call: Call, cause: str) -> None:
        """The call has failed for us; if the carrier dialled all the same, nobody is to talk."""
        self._admission.forget(call.call_id)
        call = await self._note(call, self._ended(call, cause))
        if call.attached:
            await self._mailbox.send(call, HangUpRequested(cause, "carrier"))
        if call.provider_call_id is not None:
            await self._control.try_hang_up(call)

    def _order(self, wanted: PlaceCall) -> tuple[Order | None, list[dict[str, str]]]:
        faults = []
        provider = self._providers.get(wanted.provider)
        if provider is None or provider.rest is None:
            faults.append(_fault("provider", "no carrier of this name can be asked to dial"))
        agent = self._agent(wanted.agent)
        if agent is None:
            faults.append(_fault("agent", "no such agent"))
        if wanted.max_duration_s is not None and wanted.max_duration_s > self._max_call_s:
            faults.append(_fault("max_duration_s", f"at most {self._max_call_s}"))
        overrides = wanted.overrides.model_dump(mode="json", exclude_unset=True)
        if agent is not None:
            agent = agent.overridden(overrides)
            faults += _of_overrides(agent, wanted)
        if faults or agent is None:
            return None, faults
        order = Order(
            provider=wanted.provider,
            to=wanted.to,
            from_=wanted.from_,
            agent=agent.name,
            variables=wanted.variables,
            overrides=overrides,
            metadata=wanted.metadata,
            ring_timeout_s=wanted.ring_timeout_s,
            max_duration_s=self._max_duration_s(wanted, agent),
            record=wanted.record,
            record_cassette=wanted.record_cassette or agent.record_cassette,
            detect_machine=agent.voicemail.policy != "talk",
        )
        return order, []

    def _max_duration_s(self, wanted: PlaceCall, agent: Agent) -> int:
        """As the order says, else as the agent does; the service's limit holds in any case."""
        asked = wanted.max_duration_s or agent.max_duration_s or self._max_call_s
        return min(asked, self._max_call_s)

    def _agent(self, name: str | None) -> Agent | None:
        if name is not None:
            return self._agents.get(name)
        return self._agents.choose(asked=None, dialled=None)[0]

    def _placed(self, name: str) -> CallPlaced:
        return CallPlaced(
            event_id=f"placed.{name}", occurred_at=self._clock.utc(), provider_call_id=name
        )

    def _ended(self, call: Call, cause: str) -> CallEnded:
        fault = cause == "internal_error"
        outcome = Outcome.OUR_FAULT if fault else Outcome.CARRIER_FAILED
        end = CallEnd(outcome, cause, "bridge" if fault else "carrier")
        return CallEnded(
            event_id=f"unplaced.{call.call_id}", occurred_at=self._clock.utc(), end=end
        )

    async def _note(self, call: Call, event: CallEvent) -> Call:
        """The call after the event; it is written later when it cannot be now."""
        try:
            return (await self._desk.store.apply(call.call_id, event)).call
        except (StoreAway, StaleCall):
            self._journal.note(call.call_id, event)
            return advance(call, event).call


async def once(
    requests: Requests, key: str, body: bytes, answer: Callable[[], Awaitable[Response]]
) -> Response:
    """Answer a request that may be repeated under the same key: done once, told as often."""
    digest = hashlib.sha256(_canonical(body)).hexdigest()
    known = await requests.begin(key, digest)
    if known is not None:
        return _known(known, digest)
    try:
        response = await answer()
    except BridgeError:
        await requests.forget(key)
        raise
    with suppress(StoreAway):  # what was done is told, even if it cannot be remembered
        if 200 <= response.status_code < 300:
            text = bytes(response.body).decode()
            await requests.remember(key, Remembered(digest, response.status_code, text))
        else:
            await requests.forget(key)
    return response


def _known(known: Remembered, digest: str) -> Response:
    if known.digest != digest:
        return problem(409, "idempotency.key_reused", "this key came with another request before")
    if known.status is None:
        wait = {"Retry-After": str(RETRY_AFTER_S)}
        return problem(409, "idempotency.in_progress", "the first is not done yet", headers=wait)
    return Response(known.body, known.status, media_type="application/json")


def _canonical(body: bytes) -> bytes:
    """The same bytes for the same JSON."""
    return json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")).encode()


def _of_overrides(agent: Agent, wanted: PlaceCall) -> list[dict[str, str]]:
    """What does not go together, with the agent or with the call's variables."""
    return [
        {"pointer": pointer(("overrides", *place)), "message": message}
        for place, message in faults_of(agent, given=wanted.variables)
        if place[0] in wanted.overrides.model_fields_set
    ]


def _fault(field: str, message: str) -> dict[str, str]:
    return {"pointer": f"/{field}", "message": message}
