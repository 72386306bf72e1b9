"""Everything Twilio tells a bridge about a call beside the media: status, stream, machine,
recording.

Forms with their blank fields; a callback's copies share one idempotency token. When each is sent
is the call's business, how it travels the courier's.
"""

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime
from email.utils import format_datetime
from typing import Literal

from msgspec import Struct

from service.twin.behaviour import Courier, Faults, Outcome
from service.twin.record import CallRecord
from service.twin.socket import Dial
from service.twin.twilio_webhooks import Form, Webhooks
from service.twin.twiml import Stream

TERMINAL = ("completed", "busy", "no-answer", "failed", "canceled")
_SIP = {"completed": "200", "busy": "486", "no-answer": "487", "failed": "404", "canceled": "487"}
OUTCOMES = {
    "busy": "busy",
    "no-answer": "no-answer",
    "rejected": "busy",
    "not-found": "failed",
    "failed": "failed",
}
"""What a person's result is in Twilio's words."""
SETUP_MS = 100  # between two steps of setting up a call
_DETECTION_MS = 1840  # as long as a "hello" and the silence after it
_PARTIES = ("From", "To", "Caller", "Called")
_GEO = [f"{who}{what}" for who in _PARTIES for what in ("City", "State", "Zip", "Country")]


class Plan(Struct, frozen=True, kw_only=True):
    """What the REST request that placed a call asked for; the defaults are an inbound call's."""

    url: str = ""
    method: str = "POST"
    document: str = ""
    status_url: str = ""
    status_method: str = "POST"
    status_events: tuple[str, ...] = ("completed",)
    ring_timeout_s: int = 60
    time_limit_s: int = 14_400
    detection: Literal["", "Enable", "DetectMessageEnd"] = ""
    detects_while_talking: bool = False  # AsyncAmd
    amd_url: str = ""
    amd_method: str = "POST"
    record: bool = False
    recording_url: str = ""


class Account(Struct, frozen=True):
    """The account, and what its calls share; `faults` are a call's own."""

    account_sid: str
    auth_token: str
    webhooks: Webhooks
    dial: Dial
    chance: random.Random
    utc: Callable[[], datetime]
    action_after_hangup: bool
    faults: Faults = Faults()


class Callbacks:
    """One call's callbacks."""

    def __init__(
        self,
        account: Account,
        record: CallRecord,
        plan: Plan,
        courier: Courier,
        *,
        parent_sid: str = "",
    ) -> None:
        self._parent_sid = parent_sid
        self._account = account
        self._record = record
        self._plan = plan
        self._courier = courier
        self._sequence = 0

    async def progress(self, status: str, event: str) -> None:
        """The call has reached a status, if somebody asked to be told of this event."""
        await self._status(status, event, {})

    async def completed(self, status: str, duration_s: int) -> None:
        """The call is over."""
        end = {"CallDuration": str(duration_s), "SipResponseCode": _SIP[status]}
        if duration_s:
            end["Duration"] = str(-(-duration_s // 60))
        await self._status(status, "completed", end)

    async def _status(self, status: str, event: str, more: Form) -> None:
        if not self._plan.status_url or event not in self._plan.status_events:
            return
        progress = {
            "CallbackSource": "call-progress-events",
            "SequenceNumber": str(self._sequence),
            "Timestamp": format_datetime(self._account.utc()),
        }
        self._sequence += 1
        form = self.form(status) | progress | more
        await self._courier.deliver(
            self._send(self._plan.status_url, form, self._plan.status_method)
        )

    def of_stream(self, stream: Stream, sid: str) -> "StreamCallbacks":
        """Those that a `<Stream statusCallback>` asks for."""
        return StreamCallbacks(self, stream, sid)

    def post(self, url: str, form: Form, method: str = "POST") -> None:
        """A callback that nothing waits for."""
        self._courier.post(self._send(url, self._ids() | form, method))

    async def tell(self, url: str, status: str, more: Form) -> None:
        """Any callback about the call, with fields of the sender's own."""
        await self._courier.deliver(self._send(url, self.form(status) | more, "POST"))

    async def detected(self, outcome: Outcome) -> Form:
        """Answering machine detection: what the document's request is to carry, if it waits."""
        plan = self._plan
        if not plan.detection:
            return {}
        word, took_ms = _picked_up(outcome, plan.detection)
        form = {"AnsweredBy": word, "MachineDetectionDuration": str(took_ms)}
        if not plan.detects_while_talking:
            await asyncio.sleep(took_ms / 1000)
            return form
        if not plan.amd_url:
            self._record.warn("21262", "AsyncAmd without a callback: nobody is told")
            return {}
        tell = self._send(plan.amd_url, self._ids() | form, plan.amd_method)

        async def later() -> None:
            await asyncio.sleep(took_ms / 1000)
            if self._record.ended_at_ms is None:
                await tell()

        self._courier.post(later)
        return {}

    def recorded(self, duration_s: int) -> None:
        """A recording is there."""
        if not self._plan.recording_url:
            return
        sid = new_sid(self._account.chance, "RE")
        account = f"/2010-04-01/Accounts/{self._account.account_sid}"
        recording = {
            "RecordingSid": sid,
            "RecordingUrl": f"https://api.twilio.com{account}/Recordings/{sid}",
            "RecordingStatus": "completed",
            "RecordingDuration": str(duration_s),
            "RecordingChannels": "1",
            "RecordingSource": "OutboundAPI",
            "RecordingStartTime": format_datetime(self._account.utc()),
        }
        self.post(self._plan.recording_url, recording)

    async def settle(self) -> None:
        """Until all have been delivered."""
        await self._courier.settle()

    def form(self, status: str) -> Form:
        """What every request about the call itself carries."""
        to, from_ = self._record.to, self._record.from_
        inbound = self._record.direction == "inbound"
        form = self._ids() | {
            "ApiVersion": "2010-04-01",
            "From": from_,
            "To": to,
            "Caller": from_,
            "Called": to,
            "CallStatus": status,
            "Direction": "inbound" if inbound else "outbound-api",
        }
        if self._parent_sid:
            form |= {"Direction": "outbound-dial", "ParentCallSid": self._parent_sid}
        if inbound:
            form |= {"CallToken": '{"parentCallInfoToken":"x"}', "StirVerstat": "No-TN-Validation"}
        if self._account.faults.novelties:
            form |= {"Novelty": "", "NoveltySince": "2027 \u2713"}
        return form | dict.fromkeys(_GEO, "")

    def token(self) -> str:
        """A new idempotency token."""
        return str(uuid.UUID(int=self._account.chance.getrandbits(128), version=4))

    def nanosecond_stamp(self) -> str:
        """Now, as stream callbacks write it: nine fractional digits."""
        now = self._account.utc()
        return f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond:06}000Z"

    def _ids(self) -> Form:
        return {"AccountSid": self._account.account_sid, "CallSid": self._record.call_id}

    def _send(self, url: str, form: Form, method: str) -> Callable[[], Awaitable[None]]:
        token = self.token()

        async def send() -> None:
            await self._account.webhooks.request(
                self._record,
                method=method,
                url=url,
                form=form,
                token=token,
                signing=self._account.faults.signature,
            )

        return send


class StreamCallbacks:
    """One stream's callbacks."""

    def __init__(self, callbacks: Callbacks, stream: Stream, sid: str) -> None:
        self._callbacks = callbacks
        self._stream = stream
        self._sid = sid

    def tell(self, event: str, error: str = "") -> None:
        """stream-started, stream-stopped or stream-error."""
        if not self._stream.status_callback:
            return
        form = {
            "StreamSid": self._sid,
            "StreamName": self._stream.name or self._sid,
            "StreamEvent": event,
            "Timestamp": self._callbacks.nanosecond_stamp(),
        }
        if error:
            form["StreamError"] = error
        self._callbacks.post(self._stream.status_callback, form, self._stream.status_method)


def _picked_up(outcome: Outcome, detection: str) -> tuple[str, int]:
    """AnsweredBy, and how long it took; a machine's end of greeting is waited for only if asked."""
    if outcome.machine != "machine":
        return outcome.machine, _DETECTION_MS
    if detection == "Enable":
        return "machine_start", _DETECTION_MS
    return f"machine_end_{'beep' if outcome.beep else 'silence'}", outcome.greeting_ms


def new_sid(chance: random.Random, prefix: str) -> str:
    """A SID: two letters and 32 hexadecimal digits."""
    return f"{prefix}{chance.getrandbits(128):032x}"
