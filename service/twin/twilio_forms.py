"""The forms of Twilio's Calls REST API: every field known, every value checked.

Stricter than Twilio, which lets an unknown field pass: here it is an error.
"""

import re
from collections.abc import Mapping
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from service.twin.twilio_callbacks import Plan

_MAX_TWIML_CHARS = 4000
_NUMBER = re.compile(r"\+[1-9]\d{6,14}|(?:sip|client|sim):\S+")
_EVENTS = {"initiated", "ringing", "answered", "completed"}
_MAGIC = {  # test credentials' numbers
    "+15005550001": ("21211", "is not a valid phone number"),
    "+15005550002": ("21214", "cannot be reached"),
    "+15005550003": ("21215", "is in a country without permission"),
    "+15005550004": ("21216", "is blocked"),
}

_METHOD, _BOOL, _URL = re.compile("GET|POST"), re.compile("true|false"), re.compile(r"https?://.+")
_ANY, _WHOLE = re.compile(r"[\s\S]*"), re.compile(r"\d{1,5}")

_CREATE = {
    "To": _ANY,
    "From": _ANY,
    "Url": _ANY,
    "Twiml": _ANY,
    "Method": _METHOD,
    "FallbackUrl": _URL,
    "FallbackMethod": _METHOD,
    "StatusCallback": _URL,
    "StatusCallbackEvent": re.compile("|".join(_EVENTS)),
    "StatusCallbackMethod": _METHOD,
    "Timeout": _WHOLE,
    "TimeLimit": _WHOLE,
    "SendDigits": re.compile(r"[0-9A-D*#wW]{1,32}"),
    "MachineDetection": re.compile("Enable|DetectMessageEnd"),
    "AsyncAmd": _BOOL,
    "AsyncAmdStatusCallback": _URL,
    "AsyncAmdStatusCallbackMethod": _METHOD,
    "MachineDetectionTimeout": _WHOLE,
    "MachineDetectionSpeechThreshold": _WHOLE,
    "MachineDetectionSpeechEndThreshold": _WHOLE,
    "MachineDetectionSilenceTimeout": _WHOLE,
    "Record": _BOOL,
    "RecordingChannels": re.compile("mono|dual"),
    "RecordingTrack": re.compile("inbound|outbound|both"),
    "RecordingStatusCallback": _URL,
    "RecordingStatusCallbackMethod": _METHOD,
    "RecordingStatusCallbackEvent": re.compile(r"(?:in-progress|completed|absent)(?: \S+)*"),
    "Trim": re.compile("trim-silence|do-not-trim"),
    "CallerId": _ANY,
    "CallReason": _ANY,
    "CallToken": _ANY,
}
_UPDATE = {
    name: _CREATE[name]
    for name in (
        "Url",
        "Method",
        "Twiml",
        "FallbackUrl",
        "FallbackMethod",
        "StatusCallback",
        "StatusCallbackMethod",
        "TimeLimit",
    )
} | {"Status": re.compile("completed|canceled")}

Form = dict[str, list[str]]


class Refusal(Exception):
    """An error of the REST API."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def create_form(body: bytes) -> Form:
    """The fields of POST Calls.json."""
    return _read(body, _CREATE)


def update_form(body: bytes) -> Form:
    """The fields of POST Calls/{Sid}.json."""
    form = _read(body, _UPDATE)
    if len(form.keys() & {"Status", "Url", "Twiml"}) != 1:
        raise Refusal(400, 21200, "Exactly one of Status, Url and Twiml is needed.")
    if "Url" in form:
        _check_url(form["Url"][0])
    return form


def read_plan(form: Form) -> Plan:
    """What a create request asks for; Refusal for a number or URL that is none."""
    _check_numbers(form)
    url, document = first(form, "Url"), first(form, "Twiml")
    if not url and not document:
        raise Refusal(400, 21205, "Url parameter is required.")
    if url:
        _check_url(url)
    if len(document) > _MAX_TWIML_CHARS:
        raise Refusal(400, 21200, "Twiml must be at most 4000 characters.")
    return Plan(
        url=url,
        method=first(form, "Method", "POST"),
        document=document,
        status_url=first(form, "StatusCallback"),
        status_method=first(form, "StatusCallbackMethod", "POST"),
        status_events=tuple(form.get("StatusCallbackEvent", ["completed"])),
        ring_timeout_s=_within(form, "Timeout", 60, 1, 600),
        time_limit_s=_within(form, "TimeLimit", 14_400, 60, 86_400),
        detection=_detection(form),
        detects_while_talking=first(form, "AsyncAmd") == "true",
        amd_url=first(form, "AsyncAmdStatusCallback"),
        amd_method=first(form, "AsyncAmdStatusCallbackMethod", "POST"),
        record=first(form, "Record") == "true",
        recording_url=first(form, "RecordingStatusCallback"),
    )


def first(form: Mapping[str, list[str]], name: str, default: str = "") -> str:
    """A field's value."""
    return form.get(name, [default])[0]


def _read(body: bytes, known: Mapping[str, re.Pattern[str]]) -> Form:
    form: Form = {}
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body))
    except ValueError:
        raise Refusal(400, 21200, "The body is not a form.") from None
    for name, value in pairs:
        if name not in known:
            raise Refusal(400, 21200, f"{name} is not a parameter of this resource.")
        if not known[name].fullmatch(value):
            raise Refusal(400, 21200, f"{name} has a value that is not allowed.")
        form.setdefault(name, []).append(value)
    for name, values in form.items():
        if len(values) > 1 and name != "StatusCallbackEvent":
            raise Refusal(400, 21200, f"{name} is given twice.")
    return form


def _check_numbers(form: Form) -> None:
    to, from_ = first(form, "To"), first(form, "From")
    if not to:
        raise Refusal(400, 21201, "No 'To' number is specified")
    if to in _MAGIC:
        code, why = _MAGIC[to]
        raise Refusal(400, int(code), f"The 'To' number {to} {why}.")
    if not _NUMBER.fullmatch(to):
        raise Refusal(400, 21211, f"The 'To' number {to} is not a valid phone number.")
    if not _NUMBER.fullmatch(from_):
        raise Refusal(400, 21212, f"The 'From' number {from_} is not a valid phone number.")


def _detection(form: Form) -> Literal["", "Enable", "DetectMessageEnd"]:
    if "SendDigits" in form:
        return ""  # which switches detection off
    match first(form, "MachineDetection"):
        case "Enable" | "DetectMessageEnd" as wanted:
            return wanted
        case _:
            return ""


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refusal(400, 21205, "Url is not a valid URL")


def _within(form: Form, name: str, default: int, low: int, high: int) -> int:
    value = int(first(form, name, str(default)))
    if not low <= value <= high:
        raise Refusal(400, 21200, f"{name} must be between {low} and {high}.")
    return value
