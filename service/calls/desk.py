"""Where calls begin, whoever began them: a webhook, the API, or a socket that nobody announced."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from providers.base import Offer, Provider
from service.agents import AgentBook
from service.calls.metrics import Metrics
from service.calls.records import opening
from service.calls.store import Applied, CallStore
from service.calls.transcript import turns
from service.clock import Clock, Ids
from service.core.calls import Call, CallId, CallState, Direction, Entry
from service.core.errors import UnknownCall
from service.core.events import StreamStarted
from service.core.turns import PastTurn


class Order(Struct, frozen=True, kw_only=True):
    """A call to be placed."""

    provider: str
    to: str
    from_: str
    agent: str
    variables: Mapping[str, str] = {}
    overrides: Mapping[str, Any] = {}  # as `Agent.overridden` takes them
    metadata: Mapping[str, str] = {}
    ring_timeout_s: int
    max_duration_s: int
    record: bool = False
    record_cassette: bool = False
    detect_machine: bool = False


class Desk:
    """Opens calls and knows what their sockets need."""

    def __init__(
        self,
        store: CallStore,
        *,
        agents: AgentBook,
        clock: Clock,
        ids: Ids,
        metrics: Metrics,
        stream_base: str,
        max_call_s: int,
    ) -> None:
        self.store = store
        self._agents = agents
        self._clock = clock
        self._ids = ids
        self._metrics = metrics
        self._stream_base = stream_base
        self._max_call_s = max_call_s

    async def open_offered(self, provider: str, offer: Offer, asked: str | None) -> Applied:
        """The call that a carrier offers: new, or the one it offered before."""
        return await self._open_inbound(
            provider, offer.provider_call_id, asked=asked, to=offer.to, from_=offer.from_
        )

    async def open_unannounced(self, provider: Provider, started: StreamStarted) -> Call:
        """The call of a socket that no webhook announced. UnknownCall when it is over.

        Who called whom is known if the carrier tells it, or the user's own TwiML passes it on.
        """
        variables = dict(started.parameters)
        applied = await self._open_inbound(
            provider.name,
            started.provider_call_id,
            asked=variables.pop("agent", None),
            to=variables.pop("to", ""),
            from_=variables.pop("from", ""),
            variables=variables,
        )
        if applied.call.state is CallState.ENDED:
            raise UnknownCall("call.ended", "the call of this stream has ended")
        return applied.call

    async def open_ordered(self, order: Order) -> Call:
        """A call to be placed; nothing has been dialled yet."""
        call = self._call(
            provider=order.provider,
            provider_call_id=None,
            direction=Direction.OUTBOUND,
            state=CallState.QUEUED,
            to=order.to,
            from_=order.from_,
            agent=order.agent,
            variables=dict(order.variables),
            overrides=dict(order.overrides),
            metadata=dict(order.metadata),
            ring_timeout_s=order.ring_timeout_s,
            max_duration_s=order.max_duration_s,
            record=order.record,
            record_cassette=order.record_cassette,
            detect_machine=order.detect_machine,
        )
        return (await self._keep(call)).call

    async def stream_url(self, call: Call) -> str:
        """Where the carrier is to open the call's media socket."""
        token = await self.store.token(call.call_id)
        return f"{self._stream_base}/{call.provider}/stream/{token}"

    async def history(self, call: Call) -> tuple[PastTurn, ...]:
        """What was said in this call so far, as far as it was heard."""
        if call.stream_started_at is None:
            return ()
        said = turns(await self.store.record(call.call_id))
        heard = [
            (turn["who"], turn["text"] if turn["heard_text"] is None else turn["heard_text"])
            for turn in said
        ]
        return tuple(PastTurn(who, text) for who, text in heard if text)

    async def _open_inbound(
        self, provider: str, provider_call_id: str, *, asked: str | None, to: str, **facts: Any
    ) -> Applied:
        agent, known = self._agents.choose(asked=asked, dialled=to)
        call = self._call(
            provider=provider,
            provider_call_id=provider_call_id,
            direction=Direction.INBOUND,
            state=CallState.RINGING,
            agent=agent.name,
            max_duration_s=min(agent.max_duration_s or self._max_call_s, self._max_call_s),
            record_cassette=agent.record_cassette,
            to=to,
            **facts,
        )
        fault = {"code": "agent.unknown", "detail": "the agent asked for does not exist"}
        faults = [] if known else [Entry("fault", call.created_at, fault)]
        return await self._keep(call, *faults)

    def _call(self, **facts: Any) -> Call:
        return Call(call_id=CallId(self._ids.new("call")), created_at=self._clock.utc(), **facts)

    async def _keep(self, call: Call, *entries: Entry) -> Applied:
        applied = await self.store.create(call, opening(call), *entries)
        if applied.fresh:
            self._metrics.calls_opened.labels(call.provider, str(call.direction)).inc()
        return applied
