"""What a carrier is to the bridge: a value put together from parts that do no I/O.

A part that a carrier lacks is None. HTTP is plain values; a conversation with a carrier's REST API
is a `Flow`: a generator that yields requests and is sent the responses (as httpx's auth flows are),
so that its steps read top to bottom and a test is a few `send`s without a network.
"""

from collections.abc import Callable, Generator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal, Protocol, TypeVar

from msgspec import Struct

from service.core.calls import Call, CallEvent, CallId
from service.core.commands import CarrierCommand
from service.core.events import MachineDetected, MediaEvent

T = TypeVar("T")


class HttpRequest(Struct, frozen=True):
    """A request to a carrier's REST API, complete with credentials."""

    method: str
    url: str
    headers: Mapping[str, str] = {}
    body: bytes = b""


class HttpResponse(Struct, frozen=True):
    """What came back. `status` 0: nothing did, in time (`detail` says what went wrong)."""

    status: int
    headers: Mapping[str, str] = {}  # names in lower case
    body: bytes = b""
    detail: str = ""


Flow = Generator[HttpRequest, HttpResponse, T]
"""Yields requests, is sent responses, returns a result or raises a RestError."""


class WebhookRequest(Struct, frozen=True):
    """A request as it came over the wire: nothing decoded, nothing trimmed."""

    method: str
    path: str  # raw, percent-encoding untouched
    query: str  # raw, without the question mark
    headers: Mapping[str, str]  # names in lower case
    body: bytes = b""
    received_s: float = 0.0  # Unix seconds when it came: some webhooks do not tell their own time


class Offer(Struct, frozen=True, kw_only=True):
    """A call that the carrier asks us to take."""

    provider_call_id: str
    to: str
    from_: str


class Notice(Struct, frozen=True, kw_only=True):
    """What one webhook says.

    `offer`: a new inbound call wants an answer. `asks_stream`: the carrier asks what to do next
    with a call that it already has (answered outbound call, or a stream that ended). `returns`:
    nobody took the call that was handed over, and the person is still on the line.
    """

    provider_call_id: str | None = None
    call_id: CallId | None = None  # as our own callback URL or state carries it
    agent: str | None = None  # as the user's webhook URL asks: ?agent=NAME
    offer: Offer | None = None
    asks_stream: bool = False
    returns: bool = False
    events: tuple[CallEvent, ...] = ()
    digit: str | None = None  # a key press told by webhook
    machine: MachineDetected | None = None  # who picked up, for the one who talks with them
    event_id: str | None = None  # the carrier's own, by which a repetition of these is known


class Answer(Struct, frozen=True):
    """A reply to a webhook and, where the carrier wants a REST call after it, that too."""

    status: int = 204
    headers: Mapping[str, str] = {}
    body: bytes = b""
    flow: Callable[[], Flow[None]] | None = None
    """Makes the REST call, anew for each attempt: it is safe to repeat."""


class Webhooks(Protocol):
    """A carrier's HTTP callbacks. `paths` are relative to /{provider}."""

    paths: tuple[str, ...]

    def verify(self, request: WebhookRequest, now_s: float) -> None:
        """Raise SignatureInvalid unless the carrier signed this. `now_s`: Unix seconds."""

    def parse(self, request: WebhookRequest) -> Notice:
        """What it says. Anything that is no event gives an empty Notice; never raises."""

    def connect(self, call: Call, stream_url: str) -> Answer:
        """Take the call: have the carrier open its media socket at `stream_url`."""

    def take_back(self, call: Call, stream_url: str) -> Answer:
        """Nobody took the call that was handed over: open its media socket once more."""

    def refuse(self, notice: Notice) -> Answer:
        """The house is full: the caller hears busy."""

    def let_go(self, notice: Notice) -> Answer:
        """Nothing is to happen with this call any more: hang up where an answer can do that."""

    def acknowledge(self, notice: Notice) -> Answer:
        """Heard, nothing to say."""


class Rest(Protocol):
    """A carrier's REST API."""

    def place(self, call: Call, stream_url: str) -> Flow[str]:
        """Dial `call.to`; returns the carrier's id of the call."""

    def hang_up(self, call: Call) -> Flow[None]:
        """End the call. CallGone is for the caller of this to take as success."""

    def transfer(self, call: Call, to: str) -> Flow[None]:
        """Connect the person on the line with `to` instead of us, from our own number.

        It returns when the order was taken: whether anybody picks up is told by webhook.
        """

    def send_digits(self, call: Call, digits: str) -> Flow[None] | None:
        """Press keys to the line; None: this carrier wants them as tones in the media."""


class Wire(Protocol):
    """One media socket's language. One per socket; it may remember ids, formats and counters."""

    def parse(self, message: str | bytes, now_ms: int) -> list[MediaEvent]:
        """None, one or several events. ProtocolError for what breaks the carrier's rules."""

    def render(self, command: CarrierCommand, now_ms: int) -> list[str | bytes]:
        """The messages that carry the command out; none where the wire has no word for it."""


class Finding(Struct, frozen=True):
    """One thing that an examination found, and for what should be changed what to do."""

    grade: Literal["ok", "note", "off", "fail"]
    what: str
    advice: str = ""


def examine_clock(response: HttpResponse, now_s: float, *, tolerance_s: int) -> Finding:
    """This machine's clock beside the one that answered (RFC 9110, Date: whole seconds)."""
    try:
        date = parsedate_to_datetime(response.headers.get("date", ""))
    except ValueError:
        return Finding("note", "the clock was not compared: the answer has no date")
    skew_s = round(now_s - date.replace(tzinfo=date.tzinfo or UTC).timestamp())
    if abs(skew_s) <= tolerance_s:
        return Finding("ok", f"the clock is right to within {tolerance_s} s")
    late = "ahead" if skew_s > 0 else "behind"
    return Finding("fail", f"the clock is {abs(skew_s)} s {late}", "set it by NTP")


def explain(response: HttpResponse) -> str:
    """Why an answer is of no use, in words without anything that it says."""
    if response.status == 0:
        return f"there was no answer ({response.detail})"
    if response.status in (401, 403):
        return f"the credentials are refused (HTTP {response.status})"
    return f"the answer is of no use (HTTP {response.status})"


class Provider(Struct, frozen=True, kw_only=True):
    """A carrier."""

    name: str
    open_wire: Callable[[], Wire]
    check_upgrade: Callable[[WebhookRequest, bool], None]
    """(upgrade request, its path holds a live call's token). Raises SignatureInvalid."""
    api_key: Callable[[WebhookRequest], str | None] | None = None
    """How one of our own API keys comes with an upgrade, for lines that no carrier vouches for:
    let in by key, or from loopback when no key is set. None: keys open nothing here."""
    subprotocol: Callable[[WebhookRequest], str | None] | None = None
    """What to accept an upgrade with that offers subprotocols; None: never with one."""
    announce: Callable[[CallId], str] | None = None
    """The message that tells the far end which call it is in; None: it need not know."""
    webhooks: Webhooks | None = None
    rest: Rest | None = None
    renames_calls: bool = False
    """Its webhooks may name a call otherwise than its answer to our order to dial did."""
    tells_end: bool = False
    """A webhook tells how the call ended, so a stream's stop is not the last word."""
    examine: Callable[[float], Flow[list[Finding]]] | None = None
    """Compares our settings with what the carrier has of us (Unix seconds now); asks, changes
    nothing, and tells trouble as findings. None: there is nothing to compare."""
