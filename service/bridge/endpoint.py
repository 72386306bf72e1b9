"""Where a media socket knocks: token or key -> call -> `start` in time -> its bridge.

Raw ASGI. Who is not let in gets 403 before the upgrade; who is let in and then speaks for another
call, or not at all, is closed with 1008 (interface: What carriers dial).
"""

import asyncio
from contextlib import nullcontext, suppress

import structlog
from starlette.types import Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from providers.base import Provider, WebhookRequest, Wire
from service.bridge.exchange import Exchange
from service.bridge.link import NORMAL, POLICY_VIOLATION, Link, SocketLink, upgrade_request
from service.bridge.tape import TapedSocket
from service.calls.access import Access, forwarded
from service.calls.admission import Admission
from service.calls.desk import Desk
from service.calls.mailbox import Mailbox
from service.core.calls import Call, CallId, CallState, Direction
from service.core.errors import BridgeError, ProtocolError, SignatureInvalid, StoreAway
from service.core.events import StreamStarted, TakenOver

TAKEN_UP_MS = 10_000
"""From a call's opening to its bridge: longer than the store may take to answer in between."""

RELEASE_S = 0.5
"""How long a call waits for the instance that held it, which may be dead, to let go."""
RELEASE_LOOK_S = 0.02

log = structlog.get_logger()


class MediaEndpoint:
    """The ASGI application behind a provider's media sockets."""

    def __init__(
        self,
        provider: Provider,
        *,
        exchange: Exchange,
        desk: Desk,
        access: Access,
        admission: Admission,
        mailbox: Mailbox,
        start_timeout_ms: int,
        insecure: bool,
    ) -> None:
        self._provider = provider
        self._exchange = exchange
        self._desk = desk
        self._access = access
        self._admission = admission
        self._mailbox = mailbox
        self._start_timeout_s = start_timeout_ms / 1000
        self._insecure = insecure
        self._unannounced: set[CallId] = set()  # began here, with their socket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Carry one socket from its upgrade to its close."""
        link = SocketLink(receive, send)
        upgrade = upgrade_request(scope)
        socket = TapedSocket(link, self._exchange.recorder, upgrade.path)
        try:
            await self._meet(link, socket, upgrade, scope)
        finally:
            socket.leave()

    async def _meet(
        self, link: SocketLink, socket: TapedSocket, upgrade: WebhookRequest, scope: Scope
    ) -> None:
        token: str | None = scope["path_params"].get("token")
        try:
            call = await self._announced(token)
            if call is not None:
                socket.belongs_to(call)
            full = self._check(upgrade, scope, announced=call is not None)
        except BridgeError as refusal:
            log.warning(
                "Socket refused",
                provider=self._provider.name,
                code=refusal.code,
                detail=refusal.detail,
            )
            await socket.refuse()
            return
        subprotocol = self._provider.subprotocol
        await link.accept(subprotocol(upgrade) if subprotocol is not None else None)
        try:
            await self._carry(socket, call, full)
        except BridgeError as error:
            log.warning("Socket closed", provider=self._provider.name, code=error.code)
            await socket.close(POLICY_VIOLATION)
        await socket.close(NORMAL)

    async def _announced(self, token: str | None) -> Call | None:
        if token is None:
            return None
        call = await self._desk.store.by_token(token)
        if call is None or call.provider != self._provider.name or call.stream_stopped_at:
            raise SignatureInvalid("stream.unknown_token", "no live call has this token")
        return call

    def _check(self, upgrade: WebhookRequest, scope: Scope, *, announced: bool) -> str | None:
        """BridgeError for who is not let in. Returns why none but a call that goes on here is."""
        full = None if announced else self._admission.refusal()
        if full is not None and not self._may_return():
            raise self._house_full(full)
        if self._insecure and self._provider.webhooks is not None:
            # A carrier's signature may be missing; a foreign web page may still not come in.
            return full
        self._provider.check_upgrade(upgrade, announced)
        if self._provider.api_key is not None:
            client: str = (scope.get("client") or ("", 0))[0]
            key = self._provider.api_key(upgrade)
            self._access.check(key, client, forwarded=forwarded(upgrade.headers))
        return full

    def _may_return(self) -> bool:
        """Whether a socket that nobody announced may be the next of a call that goes on here."""
        self._unannounced.intersection_update(self._exchange.live_ids())
        return bool(self._unannounced)

    def _house_full(self, reason: str) -> BridgeError:
        self._exchange.shared.metrics.calls_refused.labels(reason).inc()
        return BridgeError("stream.house_full", reason)

    async def _carry(self, socket: TapedSocket, call: Call | None, full: str | None) -> None:
        wire = self._provider.open_wire()
        with nullcontext() if call is not None else self._admission.arriving():
            started = await self._await_start(socket, wire, call)
            if started is None:
                return
            if call is None:
                call = await self._open(started, full)
            elif not await self._is_for(call, started):
                raise ProtocolError("stream.foreign_start", "the start names another call")
        with bound_contextvars(call_id=call.call_id, provider=self._provider.name):
            await self._serve(call, socket.belongs_to(call), wire, started)

    async def _open(self, started: StreamStarted, full: str | None) -> Call:
        if full is not None:
            call = await self._desk.store.find(self._provider.name, started.provider_call_id)
            if call is None or call.call_id not in self._exchange.live_ids():
                raise self._house_full(full)
        call = await self._desk.open_unannounced(self._provider, started)
        self._admission.expect(call.call_id, for_ms=TAKEN_UP_MS)
        self._unannounced.add(call.call_id)
        return call

    async def _serve(self, call: Call, link: Link, wire: Wire, started: StreamStarted) -> None:
        bridge = self._exchange.find(call.call_id)
        if bridge is None:
            await self._take_over(call)
            history = await self._desk.history(call)
            bridge = self._exchange.find(call.call_id) or self._exchange.open(
                call, self._provider, history
            )
            self._admission.forget(call.call_id)  # from here on it counts as live
        if self._provider.announce is not None:
            await link.send(self._provider.announce(call.call_id))
        try:
            await bridge.serve(link, wire, started)
        except Exception:
            log.exception("Socket failed")
            bridge.fail()

    async def _take_over(self, call: Call) -> None:
        """Whoever held the call's last socket lets go of it, and writes down what was heard."""
        fresh = await self._desk.store.get(call.call_id)
        if fresh is None or fresh.owner in (None, self._exchange.shared.instance):
            return
        if await self._mailbox.send(fresh, TakenOver()):
            await self._await_release(fresh)

    async def _await_release(self, call: Call) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(RELEASE_S):
                fresh: Call | None = call
                while fresh is not None and fresh.attached:
                    await asyncio.sleep(RELEASE_LOOK_S)
                    fresh = await self._desk.store.get(call.call_id)

    async def _await_start(self, link: Link, wire: Wire, call: Call | None) -> StreamStarted | None:
        """The stream's start; None when the peer goes first. ProtocolError when it takes too long.

        While an outbound call still rings its socket may be open already: the time runs from the
        answer (Telnyx dials at once, and starts when somebody picks up).
        """
        left_s = self._start_timeout_s
        while left_s > 0:
            try:
                async with asyncio.timeout(left_s):
                    return await self._next_start(link, wire)
            except TimeoutError:
                left_s = await self._left_s(call)
        raise ProtocolError("stream.no_start", "no start in time")

    async def _left_s(self, call: Call | None) -> float:
        """How long `start` may still take, now that the time since the socket opened is over."""
        if call is None or call.direction is not Direction.OUTBOUND:
            return 0.0
        try:
            fresh = await self._desk.store.get(call.call_id)
        except StoreAway:
            return self._start_timeout_s  # whether it still rings nobody can say now
        if fresh is None or fresh.state is CallState.ENDED:
            return 0.0
        if fresh.answered_at is None:
            return self._start_timeout_s
        waited = self._exchange.shared.clock.utc() - fresh.answered_at
        return self._start_timeout_s - waited.total_seconds()

    async def _next_start(self, link: Link, wire: Wire) -> StreamStarted | None:
        first = True
        while (message := await link.receive()) is not None:
            try:
                events = wire.parse(message, self._exchange.shared.clock.now_ms())
            except ProtocolError as error:
                self._exchange.shared.metrics.malformed_messages.labels(self._provider.name).inc()
                if first:
                    log.warning(
                        "Malformed message before the start",
                        provider=self._provider.name,
                        code=error.code,
                        detail=error.detail,
                    )
                first = False
                continue
            for event in events:
                if isinstance(event, StreamStarted):
                    return event
        return None

    async def _is_for(self, call: Call, started: StreamStarted) -> bool:
        if call.provider_call_id in (None, started.provider_call_id):
            return True
        # A carrier may have renamed the call since its token was looked up.
        fresh = await self._desk.store.get(call.call_id)
        return fresh is not None and fresh.provider_call_id == started.provider_call_id
