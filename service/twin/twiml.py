"""TwiML as Twilio reads it, and stricter: an unknown verb or attribute is a fault, not a shrug.

Follows Twilio's "TwiML for Programmable Voice", as far as a bridge answers with it. The rule that
media streams need `wss` is relaxed for loopback addresses alone.
"""

import ipaddress
import re
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree

from msgspec import Struct

_MAX_PARAMETER_CHARS = 500
_BOOLS = ("true", "false")
_PROGRESS = ("initiated", "ringing", "answered", "completed")
_KEYS = frozenset("0123456789*#ABCDwW")
_CALLER_ID = re.compile(r"\+[1-9]\d{6,14}|(?:client|sip):\S+")


class TwimlFault(Exception):
    """The document cannot be carried out; `code` is Twilio's."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class Stream(Struct, frozen=True, kw_only=True):
    """<Connect><Stream>: a bidirectional media stream."""

    url: str
    name: str = ""
    status_callback: str = ""
    status_method: str = "POST"
    parameters: dict[str, str] = {}
    action: str = ""  # of the <Connect>
    method: str = "POST"


class Reject(Struct, frozen=True):
    """Decline the call: busy or rejected."""

    reason: str = "rejected"


class Hangup(Struct, frozen=True):
    """End the call."""


class Pause(Struct, frozen=True):
    """Wait."""

    seconds: int = 1


class Spoken(Struct, frozen=True):
    """<Say>: Twilio's own voice. The twin writes it down and does not voice it."""

    text: str


class Dial(Struct, frozen=True, kw_only=True):
    """<Dial><Number>: connect the person with somebody else."""

    number: str
    caller_id: str = ""
    ring_s: int = 30
    limit_s: int = 14_400
    answer_on_bridge: bool = False
    action: str = ""
    method: str = "POST"
    status_url: str = ""  # of the <Number>
    status_method: str = "POST"
    status_events: tuple[str, ...] = ("completed",)


class Press(Struct, frozen=True):
    """<Play digits>: keys to the line; w waits half a second."""

    digits: str


class Played(Struct, frozen=True):
    """<Play>: a sound. The twin writes its address down and does not voice it."""

    url: str


class Redirect(Struct, frozen=True):
    """Go on with another document."""

    url: str
    method: str = "POST"


Verb = Stream | Dial | Reject | Hangup | Pause | Press | Played | Spoken | Redirect


def parse(body: bytes, base_url: str) -> list[Verb]:
    """The verbs of a document fetched from `base_url`; TwimlFault for what breaks the rules."""
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise TwimlFault("12100", "a document type is not allowed")
    try:
        # No entities are left after the check above, so expansion attacks have nothing to expand.
        root = ElementTree.fromstring(body)  # noqa: S314
    except ElementTree.ParseError as error:
        raise TwimlFault("12100", f"not XML: {error}") from None
    if root.tag != "Response":
        raise TwimlFault("12100", f"the root is <{root.tag}>, not <Response>")
    _attributes(root, {})
    return [_verb(element, base_url) for element in root]


def _verb(element: ElementTree.Element, base_url: str) -> Verb:
    match element.tag:
        case "Connect":
            return _connect(element, base_url)
        case "Dial":
            return _dial(element, base_url)
        case "Play":
            return _play(element, base_url)
        case "Reject":
            reason = _attributes(element, {"reason": "rejected"})["reason"]
            return Reject(_one_of(reason, ("rejected", "busy"), "Reject reason"))
        case "Hangup":
            _attributes(element, {})
            return Hangup()
        case "Pause":
            return Pause(_whole(_attributes(element, {"length": "1"})["length"]))
        case "Say":
            _attributes(element, {"voice": "", "language": "", "loop": "1"})
            return Spoken((element.text or "").strip())
        case "Redirect":
            method = _attributes(element, {"method": "POST"})["method"]
            url = urljoin(base_url, (element.text or "").strip())
            return Redirect(_web_url(url, "12100"), _method(method))
        case other:
            raise TwimlFault("12200", f"<{other}> is not a verb that this twin knows")


def _dial(element: ElementTree.Element, base_url: str) -> Dial:
    defaults = {
        "action": "",
        "method": "POST",
        "timeout": "30",
        "timeLimit": "14400",
        "answerOnBridge": "false",
        "callerId": "",
    }
    dial = _attributes(element, defaults)
    number, status = _dialled(element, base_url)
    return Dial(
        number=number,
        caller_id=_caller_id(dial["callerId"]),
        ring_s=_whole(dial["timeout"]),
        limit_s=_whole(dial["timeLimit"]),
        answer_on_bridge=_one_of(dial["answerOnBridge"], _BOOLS, "answerOnBridge") == "true",
        action=_web_url(urljoin(base_url, dial["action"])) if dial["action"] else "",
        method=_method(dial["method"]),
        status_url=_web_url(status["statusCallback"]) if status["statusCallback"] else "",
        status_method=_method(status["statusCallbackMethod"]),
        status_events=tuple(
            _one_of(event, _PROGRESS, "statusCallbackEvent")
            for event in status["statusCallbackEvent"].split()
        ),
    )


def _caller_id(text: str) -> str:
    if text and not _CALLER_ID.fullmatch(text):
        raise TwimlFault("13214", "callerId is neither a telephone number nor a client")
    return text


def _dialled(element: ElementTree.Element, base_url: str) -> tuple[str, dict[str, str]]:
    """The one number, as text or as a <Number>, and what its callbacks are to be."""
    status = {
        "statusCallback": "",
        "statusCallbackMethod": "POST",
        "statusCallbackEvent": "completed",
    }
    nouns = list(element)
    if not nouns:
        return (element.text or "").strip(), status
    if len(nouns) != 1 or nouns[0].tag != "Number":
        raise TwimlFault("12200", "this twin's <Dial> dials one <Number>")
    status = _attributes(nouns[0], status)
    if status["statusCallback"]:
        status["statusCallback"] = urljoin(base_url, status["statusCallback"])
    return (nouns[0].text or "").strip(), status


def _play(element: ElementTree.Element, base_url: str) -> Press | Played:
    play = _attributes(element, {"digits": "", "loop": "1"})
    url = (element.text or "").strip()
    if bool(play["digits"]) == bool(url):
        raise TwimlFault("12200", "<Play> needs either digits or an address")
    if not play["digits"]:
        return Played(_web_url(urljoin(base_url, url)))
    if not set(play["digits"]) <= _KEYS:
        raise TwimlFault("12200", "<Play digits> takes 0-9, A-D, *, #, w and W")
    return Press(play["digits"])


def _connect(element: ElementTree.Element, base_url: str) -> Stream:
    connect = _attributes(element, {"action": "", "method": "POST"})
    nouns = list(element)
    if len(nouns) != 1 or nouns[0].tag != "Stream":
        raise TwimlFault("12200", "<Connect> needs exactly one <Stream>")
    defaults = {
        "url": "",
        "name": "",
        "track": "inbound_track",
        "statusCallback": "",
        "statusCallbackMethod": "POST",
    }
    stream = _attributes(nouns[0], defaults)
    if stream["track"] != "inbound_track":
        raise TwimlFault("31941", "under <Connect> the track can only be inbound_track")
    return Stream(
        url=_stream_url(urljoin(_as_socket(base_url), stream["url"]) if stream["url"] else ""),
        name=stream["name"],
        status_callback=_web_url(stream["statusCallback"]) if stream["statusCallback"] else "",
        status_method=_method(stream["statusCallbackMethod"]),
        parameters=_parameters(nouns[0]),
        action=_web_url(urljoin(base_url, connect["action"])) if connect["action"] else "",
        method=_method(connect["method"]),
    )


def _parameters(stream: ElementTree.Element) -> dict[str, str]:
    found: dict[str, str] = {}
    for element in stream:
        if element.tag != "Parameter":
            raise TwimlFault("12200", f"<{element.tag}> is not allowed in <Stream>")
        given = _attributes(element, {"name": "", "value": ""})
        if not given["name"]:
            raise TwimlFault("12200", "a <Parameter> needs a name")
        if len(given["name"]) + len(given["value"]) >= _MAX_PARAMETER_CHARS:
            raise TwimlFault("12200", "a <Parameter> must stay under 500 characters")
        found[given["name"]] = given["value"]
    return found


def _stream_url(url: str) -> str:
    if not url:
        raise TwimlFault("31923", "a <Stream> needs a url")
    parts = urlsplit(url)
    if not parts.hostname:
        raise TwimlFault("31923", "the stream's url has no host")
    if parts.scheme != "wss" and not (parts.scheme == "ws" and is_loopback(parts.hostname)):
        raise TwimlFault("31922", f"a stream's url begins with wss://, not {parts.scheme}://")
    if parts.query or parts.fragment:
        raise TwimlFault("31920", "a stream's url must not have a query or a fragment")
    return url


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _as_socket(base_url: str) -> str:
    return "ws" + base_url.removeprefix("http")


def _web_url(url: str, code: str = "12200") -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise TwimlFault(code, "a callback needs an absolute http or https URL")
    return url


def _attributes(element: ElementTree.Element, known: dict[str, str]) -> dict[str, str]:
    for name in element.attrib:
        if name not in known:
            raise TwimlFault("12200", f"<{element.tag}> has no attribute {name}")
    return {**known, **element.attrib}


def _one_of(value: str, known: tuple[str, ...], what: str) -> str:
    if value not in known:
        raise TwimlFault("12200", f"{what} must be one of {', '.join(known)}")
    return value


def _method(value: str) -> str:
    return _one_of(value, ("POST", "GET"), "a method")


def _whole(value: str) -> int:
    if not value.isascii() or not value.isdigit():
        raise TwimlFault("12200", "a length is a whole number of seconds")
    return int(value)
