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

from msgspec import Struct

from service.twin.behaviour import Courier, Faults, Outcome
from service.twin.record import CallRecord
from service.twin.socket import Dial
from service.twin.twilio_webhooks import Form, Webhooks
from service.twin.twiml import Stream

_DETECTION_MS = 1840
TERMINAL = ("completed", "busy", "no-answer", "failed", "canceled")
_SIP = {"completed": "200", "busy": "486", "no-answer": "487", "failed": "404", "canceled": "487"}
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
    amd_url: str = ""
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
    outcome_of: Callable[[str], Outcome]  # what becomes of a `<Dial>` to this number
    faults: Faults = Faults()


class Callbacks:
    """One call's callbacks."""

    def __init__(self, account: Account, record: CallRecord, plan: Plan, courier: Courier) -> None:
        self._account = account
        self._record = record
        self._plan = plan
        self._courier = courier
        self._sequence = 0

    @property
    def call_sid(self) -> str:
        """The call's own CallSid."""
        return self._record.call_id

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

    def detected(self, machine: str) -> None:
        """What asynchronous answering machine detection found."""
        if not self._plan.amd_url:
            return
        found = {"AnsweredBy": machine, "MachineDetectionDuration": str(_DETECTION_MS)}
        send = self._send(self._plan.amd_url, self._ids() | found, "POST")

        async def later() -> None:
            await asyncio.sleep(_DETECTION_MS / 1000)
            await send()

        self._courier.post(later)

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


def new_sid(chance: random.Random, prefix: str) -> str:
    """A SID: two letters and 32 hexadecimal digits."""
    return f"{prefix}{chance.getrandbits(128):032x}"
