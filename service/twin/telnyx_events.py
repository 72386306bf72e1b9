"""Everything Telnyx tells a bridge by webhook about one call leg.

Each event has its own id, the same in all its copies and attempts. When an event is due is the
call's business, how it travels the courier's.
"""

import asyncio
import base64
import random
import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from service.core.audio import Encoding
from service.twin.behaviour import NOVELTY, Courier, Faults, Outcome
from service.twin.record import CallRecord
from service.twin.socket import Dial
from service.twin.telnyx_media import stamp
from service.twin.telnyx_params import Body
from service.twin.telnyx_webhooks import Webhooks

_RECORDING_SAVED_S = 1.0
_DETECTION_S = 1.5
_PREMIUM = {"human": "human_residence"}
"""What premium detection calls what `Outcome.machine` says; other words are its own."""
_HEARS_OUT = ("premium", "greeting_end", "detect_beep", "detect_words")
"""The modes that tell the end of a machine's greeting, too."""
_QUALITY = {
    "inbound": {"mos": "4.50", "jitter_max_variance": "0.00", "packet_count": "1200"},
    "outbound": {"packet_count": "1100", "skip_packet_count": "0"},
}


class Habits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ways of Telnyx that its documents leave open: each test may choose."""

    line_codec: Encoding = Encoding.PCMU  # of the call itself; PCMA on European legs
    obeys_stream_codec: bool = True  # False: sound comes in the line's codec whatever was asked
    redials: bool = True  # a socket that was lost is dialled again
    redial_ms: int = 500
    socket_while_ringing: bool = True  # Dial's socket opens before the answer
    hangup_first: bool = False  # the webhook `call.hangup` before the socket's `stop`
    dial_answer_ms: int = 0  # how long Dial's response takes: webhooks may outrun it
    digit_webhooks: bool = True  # a key press is told by webhook, too


class Account(Struct, frozen=True):
    """The account, and what its calls share; `habits` and `faults` are a call's own."""

    user_id: str
    connection_id: str
    webhooks: Webhooks
    dial: Dial
    chance: random.Random
    utc: Callable[[], datetime]
    habits: Habits
    faults: Faults = Faults()


class Cause(Struct, frozen=True):
    """Why a call ended, in the words of `call.hangup`."""

    hangup_cause: str
    sip: str
    source: str = "unknown"


class Events:
    """One leg's events; `client_state` and `url` are what the last command made them."""

    def __init__(
        self,
        account: Account,
        record: CallRecord,
        order: Body,
        courier: Courier,
        *,
        session_id: str = "",
    ) -> None:
        """`session_id`: of the leg that this one belongs to; "": a session of its own."""
        self.leg_id = new_uuid(account.chance)
        self.session_id = session_id or new_uuid(account.chance)
        self.client_state: str | None = order.get("client_state")
        self.url: str = order["webhook_url"]
        self._account = account
        self._record = record
        self._courier = courier
        self._began = account.utc()

    def stamp_of(self, at_ms: int) -> str:
        """A moment of the call, as Telnyx writes it."""
        return stamp(self._began + timedelta(milliseconds=at_ms))

    async def tell(self, event_type: str, **extra: Any) -> None:
        """Send an event, and go on when it is received or seems to take long."""
        await self._courier.deliver(self._event(event_type, **extra))

    async def initiated(self, direction: str, state: str) -> None:
        """`call.initiated`: an inbound call waits for what the bridge does about it."""
        event = self._event("call.initiated", direction=direction, state=state)
        await self._courier.deliver(event, needed=direction == "incoming")

    def post(self, event_type: str, **extra: Any) -> None:
        """Send an event that nothing waits for."""
        self._courier.post(self._event(event_type, **extra))

    async def settle(self) -> None:
        """Until all have been delivered."""
        await self._courier.settle()

    async def bridged(self) -> None:
        """`call.bridged`: one for each of the two legs."""
        await self.tell("call.bridged", start_time=stamp(self._began))

    async def answered(self) -> None:
        """`call.answered`; live ones carry no direction."""
        await self.tell("call.answered", state="answered", start_time=stamp(self._began))

    async def hangup(self, cause: Cause, *, answered: bool) -> None:
        """`call.hangup`; its quality figures are strings."""
        await self.tell(
            "call.hangup",
            hangup_cause=cause.hangup_cause,
            hangup_source=cause.source,
            sip_hangup_cause=cause.sip,
            start_time=stamp(self._began),
            end_time=stamp(self._account.utc()),
            call_quality_stats=_QUALITY if answered else None,
        )

    async def recorded(self) -> None:
        """`call.recording.saved`, about a second after the end."""
        await asyncio.sleep(_RECORDING_SAVED_S)
        await self.tell(
            "call.recording.saved",
            recording_id=new_uuid(self._account.chance),
            channels="single",
            recording_started_at=stamp(self._began),
            recording_ended_at=stamp(self._account.utc()),
            recording_urls={"wav": f"https://recordings.example/{self.leg_id}.wav"},
        )

    async def stream_failed(self, stream_url: str) -> None:
        """`streaming.failed`: the socket could not be opened; the call goes on."""
        await self.tell(
            "streaming.failed",
            failure_reason="connection_failed",
            stream_id=new_uuid(self._account.chance),
            stream_params={"stream_url": stream_url, "track": "inbound_track"},
            stream_type="websocket",
        )

    def post_recorded(self) -> None:
        """The same for a recording that a command stopped, without waiting for it."""
        self._courier.post(self.recorded)

    def detected(self, outcome: Outcome, mode: str) -> None:
        """What detection finds in this mode (`answering_machine_detection`), each in its time."""
        kind = "call.machine.premium" if mode == "premium" else "call.machine"
        if mode == "premium":
            self.post(f"{kind}.detection.started")
        found = _PREMIUM.get(outcome.machine) if mode == "premium" else None
        self._post_later(_DETECTION_S, f"{kind}.detection.ended", result=found or outcome.machine)
        if outcome.machine == "machine" and mode in _HEARS_OUT:
            none = "no_beep_detected" if mode == "premium" else "ended"
            self._post_later(
                max(_DETECTION_S, outcome.greeting_ms / 1000),
                f"{kind}.greeting.ended",
                result="beep_detected" if outcome.beep else none,
            )

    def _post_later(self, seconds: float, event_type: str, **extra: Any) -> None:
        async def later() -> None:
            await asyncio.sleep(seconds)
            if not self._record.status:
                await self._event(event_type, **extra)()

        self._courier.post(later)

    def _event(self, event_type: str, **extra: Any) -> Callable[[], Awaitable[None]]:
        payload: dict[str, Any] = {
            "call_control_id": self._record.call_id,
            "call_leg_id": self.leg_id,
            "call_session_id": self.session_id,
            "connection_id": self._account.connection_id,
            "client_state": self.client_state,
            "from": self._record.from_,
            "to": self._record.to,
        }
        event: dict[str, Any] = {
            "record_type": "event",
            "event_type": event_type,
            "id": new_uuid(self._account.chance),
            "occurred_at": stamp(self._account.utc()),
            "payload": payload | extra,
        }
        if self._account.faults.novelties:
            event["payload"] |= NOVELTY
        url = self.url

        async def send() -> None:
            signing = self._account.faults.signature
            await self._account.webhooks.send(self._record, url, event, signing=signing)

        return send


def new_uuid(chance: random.Random) -> str:
    """A UUID from this chance."""
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))


def new_control_id(chance: random.Random) -> str:
    """A call_control_id: a version and URL-safe base64."""
    return f"v3:{base64.urlsafe_b64encode(chance.randbytes(24)).decode()}"
