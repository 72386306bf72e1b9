"""One call leg at the Telnyx twin: from `call.initiated` to its last webhook.

REST commands steer it; its media socket comes and goes meanwhile. A socket that the bridge closes
leaves the person in silence; one that the carrier loses is dialled again.
"""

import asyncio
import contextlib
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from service.core.audio import Encoding, MediaFormat
from service.twin.behaviour import NOVELTY, Courier, Outcome, forged
from service.twin.caller import Caller
from service.twin.line import Line, LineEnd, await_close, drain, send
from service.twin.playback import Playback
from service.twin.record import CallRecord, StreamRecord
from service.twin.socket import DeadAir, Socket, UpgradeRefused
from service.twin.telnyx_deeds import Deeds
from service.twin.telnyx_events import Account, Cause, Events, new_control_id, new_uuid
from service.twin.telnyx_media import TelnyxMedia, connected
from service.twin.telnyx_params import Body, Streaming

_PATIENCE_S = 30.0  # with a bridge that waits for a `start` which never comes
_OUTCOMES = {
    "busy": Cause("user_busy", "486", "callee"),
    "no-answer": Cause("timeout", "487"),
    "rejected": Cause("call_rejected", "603", "callee"),
    "not-found": Cause("not_found", "404"),
    "failed": Cause("unspecified", "unspecified"),
}
_REJECTS = {
    "CALL_REJECTED": Cause("call_rejected", "603", "callee"),
    "USER_BUSY": Cause("user_busy", "486", "callee"),
    "NOT_FOUND": Cause("not_found", "404", "callee"),
    "TEMPORARILY_UNAVAILABLE": Cause("call_rejected", "480", "callee"),
}


class TelnyxCall:
    """A call leg; `state` is ringing, answered or ended."""

    def __init__(
        self,
        account: Account,
        record: CallRecord,
        caller: Caller,
        *,
        order: Body,
        courier: Courier,
        session_id: str = "",
    ) -> None:
        self.control_id = record.call_id
        self.record = record
        self.state = "ringing"
        self.streaming: Streaming | None = None
        self.command_ids: dict[str, float] = {}
        self._account = account
        self._caller = caller
        self._order = order  # Dial's body; an inbound call has its webhook_url alone
        self.events = Events(account, record, order, courier, session_id=session_id)
        self.deeds = Deeds(self.events, account.chance)
        self.peer: TelnyxCall | None = None  # the leg that it is bridged with, or is to be
        self._records = "record" in order
        self._news = asyncio.Event()  # a command came
        self._cause: Cause | None = None
        self._line: Line | None = None
        self._replaced: list[tuple[Socket, asyncio.Task[None]]] = []

    @property
    def inbound(self) -> bool:
        """The person called us."""
        return self.record.direction == "inbound"

    def times(self) -> Body:
        """When it began and ended, and how long it lasted in seconds, as far as that is known."""
        ended_ms, answered_ms = self.record.ended_at_ms, self.record.answered_at_ms
        times: Body = {"start_time": self.events.stamp_of(0)}
        if ended_ms is not None:
            talked_ms = 0 if answered_ms is None else ended_ms - answered_ms
            times |= {
                "end_time": self.events.stamp_of(ended_ms),
                "call_duration": -(-talked_ms // 1000),
            }
        return times

    # What REST may do

    def answer(self, body: Body, streaming: Streaming | None) -> None:
        """`answer`."""
        self.state = "answered"
        self.streaming = streaming
        self.events.url = body.get("webhook_url", self.events.url)
        self._records = "record" in body
        self._news.set()

    def stream(self, streaming: Streaming | None) -> None:
        """`streaming_start`, or with None `streaming_stop`."""
        self.streaming = streaming
        self._wake()

    def join(self, peer: "TelnyxCall") -> None:
        """`transfer` and `bridge`: when one of the two legs ends, so does the other."""
        self.peer, peer.peer = peer, self

    def reject(self, cause: str) -> None:
        """`reject`."""
        self._end(_REJECTS[cause])

    def hang_up(self) -> None:
        """`hangup`."""
        if self.inbound:
            self._end(Cause("normal_clearing", "200", "callee"))
        elif self.state == "answered":
            self._end(Cause("normal_clearing", "200", "caller"))
        else:
            self._end(Cause("originator_cancel", "487", "caller"))

    def _end(self, cause: Cause) -> None:
        self._cause = self._cause or cause
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        if self._line is not None:
            self._line.stop()

    # Its life

    async def ring_in(self, patience_ms: int) -> None:
        """An inbound call; the person gives up when nobody answers for `patience_ms`."""
        await self.events.initiated("incoming", "parked")
        await self._ring(patience_ms)
        if self.state == "answered" or self._cause is not None:
            await self._converse()
        else:
            await self._finish(Cause("originator_cancel", "487", "caller"))

    async def ring_out(self, outcome: Outcome, streaming: Streaming | None) -> None:
        """A call that Dial placed."""
        self.streaming = streaming
        await self.events.initiated("outgoing", "bridging")
        early = streaming is not None and self._account.habits.socket_while_ringing
        socket = await self._open(streaming) if streaming is not None and early else None
        patience_ms = self._order.get("timeout_secs", 30) * 1000
        await self._ring(min(outcome.ring_ms, patience_ms))
        if self._cause is None and outcome.ring_ms > patience_ms:
            retried = self._order.get("retry_on_timeout", True)
            self._cause = Cause("timeout" if retried else "no_answer", "487")
        if self._cause is None and outcome.result != "answered":
            self._cause = _OUTCOMES[outcome.result]
        if self._cause is None:
            self.state = "answered"
            mode = self._order.get("answering_machine_detection", "disabled")
            if mode != "disabled":
                self.events.detected(outcome, mode)
        elif socket is not None:
            self.record.log("stream", "carrier", close={"code": 1000})
            await socket.close()
        await self._converse(socket)

    async def _ring(self, ms: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ms / 1000):
                await self._news.wait()
        self._news.clear()

    async def _converse(self, socket: Socket | None = None) -> None:
        if self._cause is None:
            self.record.answered_at_ms = self.record.at_ms()
            await self.events.answered()
            if self.peer is not None:
                await self.bridge()
            if self._account.faults.novelties:
                self.events.post("call.novelty")
            limit_s = self._order.get("time_limit_secs", 14_400)
            over = Cause("time_limit", "200")
            timer = asyncio.get_running_loop().call_later(limit_s, self._end, over)
            try:
                while self._cause is None:
                    await self._next_stream(socket)
                    socket = None
            finally:
                timer.cancel()
        await self._finish(self._cause or Cause("unspecified", "unspecified"))

    async def bridge(self) -> None:
        """Both legs are told that they are connected."""
        for leg in (self.peer, self):
            if leg is not None and leg.state == "answered":
                await leg.events.bridged()

    def _part(self) -> None:
        """A leg that ends takes its peer with it, save one that it never was connected with."""
        peer, self.peer = self.peer, None
        if peer is None:
            return
        peer.peer = None
        if peer.state == "ringing":
            peer._end(Cause("originator_cancel", "487", "caller"))
        elif self.record.answered_at_ms is not None:
            peer._end(Cause("normal_clearing", "200", "callee"))

    async def _finish(self, cause: Cause) -> None:
        await self._tell_hangup(cause)
        self.record.ended_at_ms = self.record.at_ms()
        if self._records and self.record.answered_at_ms is not None:
            await self.events.recorded()
        await self.events.settle()
        for socket, watching in self._replaced:
            watching.cancel()
            await socket.close()

    # Its media

    async def _next_stream(self, socket: Socket | None) -> None:
        """One socket's life, or silence until something changes."""
        self._news.clear()
        streaming = self.streaming
        if streaming is not None and socket is None:
            socket = await self._open(streaming)
            if socket is None:
                await self.events.stream_failed(streaming.url)
                self.streaming = streaming = None
        if streaming is None or socket is None:
            end = await self._silence()
        else:
            end = await self._run_stream(socket, streaming)
        if end.kind == "hangup":
            source = "caller" if self.inbound else "callee"
            self._cause = Cause("normal_clearing", "200", source)
        elif end.kind == "closed":
            self.streaming = None
        elif end.kind == "dropped":
            if not self._account.habits.redials:
                self.streaming = None
            await self._ring(self._account.habits.redial_ms)

    async def _silence(self) -> LineEnd:
        stream = StreamRecord("", Playback(self.record.now_ms()), self.record.at_ms())
        return await self._run_line(DeadAir(), Encoding.PCMU, stream)

    async def _run_stream(self, socket: Socket, streaming: Streaming) -> LineEnd:
        playback = Playback(self.record.now_ms(), MediaFormat(streaming.send_codec))
        stream = StreamRecord(
            new_uuid(self._account.chance),
            playback,
            self.record.at_ms(),
            audible=streaming.audible,
        )
        self.record.streams.append(stream)
        if streaming.muted_because:
            self.record.warn("never_heard", streaming.muted_because)
        self.events.post("streaming.started", stream_url=streaming.url)
        habits = self._account.habits
        asked = streaming.codec if habits.obeys_stream_codec else None
        end = await self._run_line(socket, asked or habits.line_codec, stream)
        if end.kind == "redial":
            self._watch(socket, stream)
        else:
            self.events.post("streaming.stopped", stream_url=streaming.url)
        return end

    async def _run_line(self, socket: Socket, encoding: Encoding, stream: StreamRecord) -> LineEnd:
        dialect = TelnyxMedia(
            stream_id=stream.stream_id,
            encoding=encoding,
            call=self._start_ids(),
            utc=self._account.utc,
            more=NOVELTY if self._account.faults.novelties else None,
        )
        silent = isinstance(socket, DeadAir)
        line = self._line = Line(
            socket,
            dialect,
            self._caller,
            record=self.record,
            stream=stream,
            on_key=self._tell_key,
            before_stop=self._hangup_first,
        )
        if self._news.is_set():
            line.stop()
        if self._account.faults.start == "never" and not silent:
            end = await await_close(socket, self.record, patience_s=_PATIENCE_S)
        else:
            end = await line.run(*(() if silent else (dialect.start(),)))
        self._line = None
        return end

    async def _open(self, streaming: Streaming) -> Socket | None:
        token, url = streaming.auth_token, streaming.url
        if self._account.faults.socket == "unsigned":
            token = ""
        elif self._account.faults.socket == "forged":
            parts = urlsplit(url)
            path, query = forged(parts.path), forged(parts.query)
            token, url = forged(token), urlunsplit(parts._replace(path=path, query=query))
        headers = {"x-telnyx-streaming-auth-token": token} if token else {}
        self.record.log("stream", "carrier", open={"path": urlsplit(url).path})
        try:
            socket = await self._account.dial(url, headers)
        except UpgradeRefused as refused:
            self.record.log("stream", "bridge", refused={"status": refused.status})
            self.record.warn("connection_failed", f"the upgrade got {refused.status}")
            return None
        await send(socket, self.record, connected(token))
        return socket

    def _watch(self, socket: Socket, stream: StreamRecord) -> None:
        watching = drain(socket, self.record, stream)
        task = asyncio.create_task(watching, name="twin old socket")
        self._replaced.append((socket, task))

    def _start_ids(self) -> dict[str, Any]:
        call: dict[str, Any] = {
            "user_id": self._account.user_id,
            "call_control_id": self.control_id,
            "call_session_id": self.events.session_id,
            "from": self.record.from_,
            "to": self.record.to,
        }
        if self.events.client_state is not None:
            call["client_state"] = self.events.client_state
        faults = self._account.faults
        if faults.start == "foreign":
            call["call_control_id"] = new_control_id(self._account.chance)
        if self.streaming is not None and self.streaming.parameters:
            given = self.streaming.parameters
            if faults.socket == "forged":
                given = {name: forged(value) for name, value in given.items()}
            call["custom_parameters"] = given
        return call

    def _tell_key(self, digit: str) -> None:
        self.deeds.press(digit)
        if self._account.habits.digit_webhooks:
            self.events.post("call.dtmf.received", digit=digit)

    async def _hangup_first(self) -> None:
        if self._account.habits.hangup_first and (self._cause or not self._news.is_set()):
            source = "caller" if self.inbound else "callee"
            await self._tell_hangup(self._cause or Cause("normal_clearing", "200", source))

    async def _tell_hangup(self, cause: Cause) -> None:
        if self.state == "ended":
            return
        self.state = "ended"
        self.record.status = cause.hangup_cause
        self.deeds.hang_up()
        self._part()
        await self.events.hangup(cause, answered=self.record.answered_at_ms is not None)
