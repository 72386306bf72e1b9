"""One call at the Twilio twin: from ringing to its last callback.

It fetches and carries out TwiML, dials media streams, and yields to what REST commands: an update
with TwiML abandons the running document, `completed` ends the call.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit, urlunsplit

from service.twin import twiml
from service.twin.behaviour import NOVELTY, Courier, Outcome, forged
from service.twin.caller import Caller
from service.twin.holding import hold
from service.twin.line import Line, LineEnd, await_close, send
from service.twin.playback import Playback
from service.twin.record import CallRecord, StreamRecord
from service.twin.socket import Socket, UpgradeRefused
from service.twin.twilio_callbacks import (
    OUTCOMES,
    SETUP_MS,
    TERMINAL,
    Account,
    Callbacks,
    Plan,
    new_sid,
)
from service.twin.twilio_dial import NUMBER, Dialled, DialledLeg
from service.twin.twilio_media import TwilioMedia
from service.twin.twilio_webhooks import Form, signature

_TWIML_TYPES = ("text/xml", "application/xml", "text/html")
_PATIENCE_S = 30.0  # with a bridge that waits for a `start` which never comes
_DIGIT_MS = 200
_PRESS_MS = {"w": 500, "W": 1000}


class _Over(Exception):
    """The call ends in this state."""

    def __init__(self, status: str = "completed") -> None:
        super().__init__(status)
        self.status = status


class TwilioCall:
    """A call leg; `status` is Twilio's word for where it is."""

    def __init__(
        self,
        account: Account,
        record: CallRecord,
        caller: Caller,
        *,
        plan: Plan,
        courier: Courier,
        new_leg: Callable[[str, twiml.Dial], DialledLeg],
    ) -> None:
        """`new_leg`: makes the leg that a <Dial> of the call with this sid asks for."""
        self.sid = record.call_id
        self.record = record
        self.status = "queued" if record.direction == "outbound" else "ringing"
        self.duration_s: int | None = None
        self.callbacks = Callbacks(account, record, plan, courier)
        self._shared = account
        self._caller = caller
        self._plan = plan
        self._new_leg = new_leg
        self._line: Line | None = None
        self._time_limit: asyncio.TimerHandle | None = None
        self._ordered = asyncio.Event()
        self._order: twiml.Redirect | list[twiml.Verb] | None = None  # None: end the call

    # What REST may do

    def order_end(self) -> None:
        """Status=completed or canceled."""
        self._order = None
        self._obey()

    def order_document(self, order: twiml.Redirect | list[twiml.Verb]) -> None:
        """Twiml=… or Url=…: the running document is abandoned."""
        self._order = order
        self._obey()

    def _obey(self) -> None:
        self._ordered.set()
        if self._line is not None:
            self._line.stop()

    # Its life

    async def ring_in(self, *, abandon: bool) -> None:
        """An inbound call; with `abandon` the person gives up while the bridge still answers."""
        await self._live(self._ring_in(abandon))

    async def ring_out(self, outcome: Outcome) -> None:
        """A call that REST placed."""
        await self._live(self._ring_out(outcome))

    async def _live(self, life: Awaitable[None]) -> None:
        try:
            await life
            await self._finish("completed")
        except _Over as over:
            await self._finish(over.status)

    async def _ring_in(self, abandon: bool) -> None:
        verbs = await self._fetch(self._plan.url, self._plan.method)
        if abandon:
            raise _Over("no-answer")
        await self._follow(verbs)

    async def _ring_out(self, outcome: Outcome) -> None:
        await self._reach("initiated")
        await self._ring(SETUP_MS)
        await self._reach("ringing")
        patience_ms = self._plan.ring_timeout_s * 1000
        await self._ring(min(outcome.ring_ms, patience_ms))
        if outcome.ring_ms > patience_ms:
            raise _Over("no-answer")
        if outcome.result != "answered":
            raise _Over(OUTCOMES[outcome.result])
        await self._answer()
        found = await self.callbacks.detected(outcome)
        if self._plan.url:
            await self._follow(await self._fetch(self._plan.url, self._plan.method, more=found))
        else:
            await self._follow(self._parse(self._plan.document.encode(), "http://localhost/"))

    async def _ring(self, ms: int) -> None:
        await self._wait(ms)
        if self._ordered.is_set():
            raise _Over("canceled")

    async def _answer(self) -> None:
        if self.status in ("in-progress", *TERMINAL):
            return
        self.record.answered_at_ms = self.record.at_ms()
        loop = asyncio.get_running_loop()
        self._time_limit = loop.call_later(self._plan.time_limit_s, self.order_end)
        await self._reach("in-progress", "answered")

    async def _finish(self, status: str) -> None:
        if self._time_limit is not None:
            self._time_limit.cancel()
        answered = self.record.answered_at_ms
        self.record.status = status
        self.record.ended_at_ms = self.record.at_ms()
        talked_ms = 0 if answered is None else self.record.ended_at_ms - answered
        self.status, self.duration_s = status, -(-talked_ms // 1000)
        await self.callbacks.completed(status, self.duration_s)
        if self._plan.record and answered is not None:
            self.callbacks.recorded(self.duration_s)
        await self.callbacks.settle()

    async def _reach(self, status: str, event: str = "") -> None:
        self.status = status
        await self.callbacks.progress(status, event or status)

    # Documents

    async def _follow(self, verbs: list[twiml.Verb] | None) -> None:
        while verbs is not None:
            verbs = await self._carry_out(verbs)

    async def _carry_out(self, verbs: list[twiml.Verb]) -> list[twiml.Verb] | None:
        for verb in verbs:
            replaced = await self._do(verb)
            if self._ordered.is_set():
                return await self._take_order()
            if replaced is not None:
                return replaced
        return None

    async def _take_order(self) -> list[twiml.Verb]:
        self._ordered.clear()
        match self._order:
            case None:
                raise _Over
            case twiml.Redirect(url, method):
                return await self._fetch(url, method)
            case verbs:
                return verbs

    async def _do(self, verb: twiml.Verb) -> list[twiml.Verb] | None:
        if isinstance(verb, twiml.Reject) and self.status == "ringing":
            raise _Over("busy" if verb.reason == "busy" else "failed")
        if not isinstance(verb, twiml.Dial) or not verb.answer_on_bridge:
            await self._answer()
        match verb:
            case twiml.Stream():
                return await self._connect(verb)
            case twiml.Redirect(url, method):
                return await self._fetch(url, method)
            case twiml.Dial():
                return await self._dial(verb)
            case twiml.Press(digits):
                self.record.digits_sent.append(digits)
                await self._wait(sum(_PRESS_MS.get(digit, _DIGIT_MS) for digit in digits))
            case twiml.Played(url):
                self.record.remark("hears_play", url)
            case twiml.Pause(seconds):
                await self._wait(seconds * 1000)
            case twiml.Spoken(text):
                self.record.remark("hears_say", text)
            case twiml.Hangup() | twiml.Reject():
                raise _Over
        return None

    async def _connect(self, stream: twiml.Stream) -> list[twiml.Verb] | None:
        end = await self._stream(stream)
        if self._shared.faults.socket != "good" or self._shared.faults.start != "good":
            raise _Over  # it was never Twilio who called
        if self._ordered.is_set():
            return None
        if end.kind == "hangup":
            if stream.action and self._shared.action_after_hangup:
                self.status = "completed"
                await self._fetch(stream.action, stream.method)
            raise _Over
        if stream.action:
            return await self._fetch(stream.action, stream.method)
        return None

    async def _dial(self, dial: twiml.Dial) -> list[twiml.Verb] | None:
        dialled = await self._connect_with(dial)
        if self._ordered.is_set():
            return None
        if dial.action:
            return await self._fetch(dial.action, dial.method, more=dialled.form())
        return None

    async def _connect_with(self, dial: twiml.Dial) -> Dialled:
        """Until either side hangs up, or REST says otherwise. Raises _Over when the person does."""
        if not NUMBER.fullmatch(dial.number):
            self.record.warn("13224", "<Dial>: not a phone number")
            return Dialled("failed")
        self.record.remark("is_connected", dial.number)
        leg = self._new_leg(self.sid, dial)
        dialling = asyncio.create_task(leg.run(self._answer), name="twin dial")
        person = asyncio.create_task(hold(self._caller, self.record), name="twin person")
        ordered = asyncio.create_task(self._ordered.wait(), name="twin order")
        try:
            await asyncio.wait((dialling, person, ordered), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            dialling.cancel()
            raise
        finally:
            person.cancel()
            ordered.cancel()
        leg.order_end()
        dialled = await dialling
        if person.done() and not person.cancelled():
            answered = self.record.answered_at_ms is not None
            self.status = "completed" if answered else "no-answer"
            if dial.action and self._shared.action_after_hangup:
                await self._fetch(dial.action, dial.method, more=dialled.form())
            raise _Over(self.status)
        return dialled

    async def _fetch(self, url: str, method: str, *, more: Form | None = None) -> list[twiml.Verb]:
        form, token = self.callbacks.form(self.status) | (more or {}), self.callbacks.token()
        response = None
        for _ in range(2 if self._shared.faults.voice_twice else 1):
            response = await self._shared.webhooks.request(
                self.record,
                method=method,
                url=url,
                form=form,
                token=token,
                signing=self._shared.faults.signature,
            )
        if response is None:
            raise self._application_error()
        if not response.is_success:
            self.record.warn("11200", f"{urlsplit(url).path} answered {response.status_code}")
            raise self._application_error()
        kind = response.headers.get("content-type", "").partition(";")[0].strip()
        if response.content and kind not in _TWIML_TYPES:
            self.record.warn("12300", f"{urlsplit(url).path} answered with {kind or 'no type'}")
            raise self._application_error()
        return self._parse(response.content, url)

    def _parse(self, document: bytes, base_url: str) -> list[twiml.Verb]:
        try:
            return twiml.parse(document, base_url)
        except twiml.TwimlFault as fault:
            self.record.warn(fault.code, fault.detail)
            raise self._application_error() from None

    def _application_error(self) -> _Over:
        return _Over("completed" if self.record.answered_at_ms is not None else "failed")

    # The media stream

    async def _stream(self, verb: twiml.Stream) -> LineEnd:
        if (
            self.record.streams
        ):  # a bridge that asks for streams in a circle must not stop the clock
            await self._wait(SETUP_MS)
        sid = new_sid(self._shared.chance, "MZ")
        events = self.callbacks.of_stream(verb, sid)
        socket = await self._open(verb.url)
        if socket is None:
            events.tell("stream-error", "31920: the upgrade was refused")
            return LineEnd("refused")
        faults = self._shared.faults
        named = new_sid(self._shared.chance, "CA") if faults.start == "foreign" else self.sid
        dialect = TwilioMedia(
            account_sid=self._shared.account_sid,
            call_sid=named,
            stream_sid=sid,
            more=NOVELTY if faults.novelties else None,
        )
        parameters = verb.parameters
        if faults.socket == "forged":
            parameters = {name: forged(value) for name, value in parameters.items()}
        connected, start = dialect.opening(parameters)
        if faults.start == "never":
            await send(socket, self.record, connected)
            return await await_close(socket, self.record, patience_s=_PATIENCE_S)
        record = StreamRecord(sid, Playback(self.record.now_ms()), self.record.at_ms())
        self.record.streams.append(record)
        events.tell("stream-started")
        line = self._line = Line(socket, dialect, self._caller, record=self.record, stream=record)
        if self._ordered.is_set():
            line.stop()
        end = await line.run(connected, start)
        self._line = None
        if end.kind == "dropped":
            events.tell("stream-error", "31903: broken pipe")
        else:
            events.tell("stream-stopped")
        return end

    async def _open(self, url: str) -> Socket | None:
        headers = {"user-agent": "Twilio.TmeWs/1.0"}
        if self._shared.faults.socket == "good":
            headers["x-twilio-signature"] = signature(self._shared.auth_token, url)
        elif self._shared.faults.socket == "forged":
            parts = urlsplit(url)
            url = urlunsplit(parts._replace(path=forged(parts.path)))
        self.record.log("stream", "carrier", open={"path": urlsplit(url).path})
        try:
            return await self._shared.dial(url, headers)
        except UpgradeRefused as refused:
            self.record.log("stream", "bridge", refused={"status": refused.status})
            self.record.warn("31920", f"the upgrade was answered with {refused.status}")
            return None

    async def _wait(self, ms: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ms / 1000):
                await self._ordered.wait()
