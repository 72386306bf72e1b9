"""Twilio's REST API for calls (2010-04-01): dial, hand over, hang up.

Flows only: no I/O, no clock, no sleeping, and no request is ever sent twice from here. An error's
detail is a text of ours, since Twilio's own texts hold the numbers dialled.
Twilio documentation: "Call resource", "REST API: Modifying Live Calls", "Error and Warning
Dictionary".
"""

import re
from base64 import b64encode
from collections.abc import Callable
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from providers.base import Flow, HttpRequest, HttpResponse
from providers.twilio import twiml
from service.core.calls import Call, CallId
from service.core.errors import (
    CallGone,
    CarrierDown,
    CarrierSilent,
    CredentialsRefused,
    NumberRefused,
    RateLimited,
    RestError,
    UnknownCall,
)

RING_TIMEOUT_S = (1, 600)  # Timeout
TIME_LIMIT_S = (60, 86_400)  # TimeLimit
RETRY_AFTER_MS = 1000  # Twilio names no time as a rule; its accounts dial one call a second
RETRY_AFTER_MAX_S = 3600

GONE = frozenset({"20404", "21220"})  # no such call any more; not in a state to be changed
NUMBER_REFUSED = frozenset(
    {
        "21201",  # no number to dial
        "21210",  # caller id is not ours
        "21211",  # not a number
        "21212",  # caller id is not a number
        "21214",  # cannot be reached
        "21215",  # a country we may not dial
        "21216",  # blocked
        "21217",  # not a number
        "21219",  # trial account: not verified
        "573005",  # trial account: not verified
    }
)

_SID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,32}")


class _Call(Struct):
    sid: str


class _Fault(Struct):
    """An error of either style: Twilio's own, or RFC 9457."""

    code: int | str


class TwilioRest:
    """The calls of one account."""

    def __init__(
        self,
        *,
        account_sid: str,
        credentials: tuple[str, str],
        api_base: str,
        callback: Callable[[str, CallId], str],
    ) -> None:
        self._account = f"{api_base.rstrip('/')}/2010-04-01/Accounts/{quote(account_sid, safe='')}"
        self._callback = callback
        self._headers = {
            "authorization": "Basic " + b64encode(":".join(credentials).encode()).decode(),
            "content-type": "application/x-www-form-urlencoded",
            "accept": "application/json",
        }

    def place(self, call: Call, stream_url: str) -> Flow[str]:  # noqa: ARG002
        """Dial, and have /voice asked for the media socket on the answer; returns the CallSid.

        Nothing that goes wrong here is marked retryable but a rate limit: Twilio may have dialled.
        """
        response = yield self._post("/Calls.json", self._order(call))
        return _sid(response, retryable=False)

    def hang_up(self, call: Call) -> Flow[None]:
        """End the call, ringing or answered; CallGone when it had ended before."""
        response = yield self._change(call, ("Status", "completed"))
        _changed(response, retryable=True)

    def transfer(self, call: Call, to: str) -> Flow[None]:
        """Put a `<Dial>` in the place of the media stream, which ends with that.

        An order that got no answer, or a 5xx, may have been carried out: given again, it would
        ring anew.
        """
        limit_s = call.max_duration_s
        dial = twiml.dial(
            to,
            caller_id=call.our_number,
            done_url=self._callback("dial-done", call.call_id),
            leg_url=self._callback("dial-status", call.call_id),
            limit_s=None if limit_s is None else min(limit_s, TIME_LIMIT_S[1]),
        )
        response = yield self._change(call, ("Twiml", twiml.response(dial).decode()))
        _changed(response, retryable=False)

    def send_digits(self, call: Call, digits: str) -> None:  # noqa: ARG002
        """None: over a live stream Twilio has no way but tones in the media."""
        return

    def _order(self, call: Call) -> list[tuple[str, str]]:
        order = [
            ("To", call.to),
            ("From", call.from_),
            ("Url", self._callback("voice", call.call_id)),
            ("Method", "POST"),
            ("StatusCallback", self._callback("status", call.call_id)),
            ("StatusCallbackMethod", "POST"),
            ("StatusCallbackEvent", "initiated"),
            ("StatusCallbackEvent", "ringing"),
            ("StatusCallbackEvent", "answered"),
            ("StatusCallbackEvent", "completed"),
        ]
        if call.ring_timeout_s is not None:
            order.append(("Timeout", _clamped(call.ring_timeout_s, RING_TIMEOUT_S)))
        if call.max_duration_s is not None:
            order.append(("TimeLimit", _clamped(call.max_duration_s, TIME_LIMIT_S)))
        if call.detect_machine:  # while the agent talks on: a person is not kept waiting
            order += [
                ("MachineDetection", "DetectMessageEnd"),
                ("AsyncAmd", "true"),
                ("AsyncAmdStatusCallback", self._callback("amd", call.call_id)),
                ("AsyncAmdStatusCallbackMethod", "POST"),
            ]
        if call.record:
            order += [
                ("Record", "true"),
                ("RecordingChannels", "dual"),
                ("RecordingStatusCallback", self._callback("recording", call.call_id)),
                ("RecordingStatusCallbackMethod", "POST"),
                ("RecordingStatusCallbackEvent", "completed absent"),
            ]
        return order

    def _change(self, call: Call, field: tuple[str, str]) -> HttpRequest:
        if not call.provider_call_id:
            raise UnknownCall("twilio.not_placed", "Twilio has not named this call yet")
        return self._post(f"/Calls/{quote(call.provider_call_id, safe='')}.json", [field])

    def _post(self, path: str, fields: list[tuple[str, str]]) -> HttpRequest:
        return HttpRequest("POST", self._account + path, self._headers, urlencode(fields).encode())


def _clamped(value: int, limits: tuple[int, int]) -> str:
    low, high = limits
    return str(min(max(value, low), high))


# What the answers mean -------------------------------------------------------------------------


def _changed(response: HttpResponse, *, retryable: bool) -> None:
    """Raise unless a live call was changed."""
    if (code := _code(response)) in GONE:
        raise CallGone(f"twilio.{code}", "the call had already ended", status=response.status)
    _sid(response, retryable=retryable)


def _sid(response: HttpResponse, *, retryable: bool) -> str:
    """The name of the call that the answer is about; raises when it is about none."""
    if not 200 <= response.status < 300:
        raise _failure(response, retryable=retryable)
    try:
        sid = msgspec.json.decode(response.body, type=_Call).sid
    except (msgspec.DecodeError, RecursionError):
        raise _unreadable(response, retryable=retryable) from None
    if not _SID.fullmatch(sid):
        raise _unreadable(response, retryable=retryable)
    return sid


def _failure(response: HttpResponse, *, retryable: bool) -> RestError:
    status = response.status
    if status == 0:
        return CarrierSilent("twilio.timeout", "no answer in time", retryable=retryable)
    theirs = _code(response)
    code = f"twilio.{theirs}" if theirs else "twilio.unreadable"
    if status == 429:
        return RateLimited(code, "too many requests", retry_after_ms=_retry_after_ms(response))
    if status >= 500:
        return CarrierDown(code, "Twilio failed", status=status, retryable=retryable)
    if status in (401, 403):
        return CredentialsRefused(
            code, "the credentials are refused, or may not do this", status=status
        )
    if theirs is None:
        return _unreadable(response, retryable=retryable)
    if theirs in NUMBER_REFUSED:
        return NumberRefused(code, "a number is refused", status=status)
    return RestError(code, "Twilio refused the request", status=status)


def _unreadable(response: HttpResponse, *, retryable: bool) -> CarrierDown:
    return CarrierDown(
        "twilio.unreadable",
        "the answer is none of the API's",
        status=response.status,
        retryable=retryable,
    )


def _code(response: HttpResponse) -> str | None:
    try:
        code = str(msgspec.json.decode(response.body, type=_Fault).code)
    except (msgspec.DecodeError, RecursionError):
        return None
    return code if _CODE.fullmatch(code) else None


def _retry_after_ms(response: HttpResponse) -> int:
    seconds = response.headers.get("retry-after", "")
    if not (seconds.isascii() and seconds.isdecimal() and len(seconds) < 10):
        return RETRY_AFTER_MS
    return min(max(int(seconds), 1), RETRY_AFTER_MAX_S) * 1000
