"""Telnyx's Call Control REST API (v2): dial, answer, hand over, hang up, press keys.

Flows only: no I/O, no clock, no sleeping. Every command carries a `command_id` that is the same
whenever the same thing is asked again, so Telnyx ignores a repetition (within its 60 s).
What went wrong is told by HTTP status first, then by Telnyx's code: it uses codes twice.
Telnyx documentation, "Dial", "Sending Commands", "API error codes".
"""

import itertools
import re
from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import NAMESPACE_URL, uuid5

import msgspec
from msgspec import Struct

from providers.base import Flow, HttpRequest, HttpResponse
from providers.telnyx import client_state
from service.core.calls import Call
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

RING_TIMEOUT_S = (5, 600)  # timeout_secs
TIME_LIMIT_S = (60, 14_400)  # time_limit_secs: its page says 30, the table of error codes 60
TRANSFER_TIMEOUT_S = 30
DIGITS_PER_COMMAND = 64  # documented for send_digits_on_answer; send_dtmf names no limit

CALL_ENDED = "telnyx.90018"
NOT_E164 = "telnyx.10016"
CHANNEL_LIMITS = frozenset(
    {"telnyx.90041", "telnyx.90042", "telnyx.90043"}
)  # of the user, the profile, the connection
CHANNEL_RETRY_MS = 5000  # our guess: a channel is free when another call ends
RATE_RETRY_S = (1, 60)

_DIGITS = re.compile(r"[0-9A-D*#wW]+")
_CODE = re.compile(r"[A-Z]?[0-9]{1,8}")


class TelnyxRest:
    """The commands, with the account's key."""

    def __init__(
        self, *, api_key: str, connection_id: str, api_base: str, webhook_url: str
    ) -> None:
        self._headers = {
            "authorization": f"Bearer {api_key}",
            "content-type": "application/json",
            "accept": "application/json",
        }
        self._connection_id = connection_id
        self._api_base = api_base.rstrip("/")
        self._webhook_url = webhook_url
        self._orders = itertools.count()

    def place(self, call: Call, stream_url: str) -> Flow[str]:
        """Dial, with our media socket from the start; returns the call_control_id.

        Nothing that goes wrong here is marked retryable but a rate limit: Telnyx may have dialled.
        """
        body = {
            "connection_id": self._connection_id,
            "to": call.to,
            "from": call.from_,
            "client_state": client_state.pack(call.call_id),
            "command_id": _command_id(call.call_id, "dial"),
            "webhook_url": self._webhook_url,
            "webhook_url_method": "POST",
            **_streaming(stream_url),
            "send_silence_when_idle": True,
            "stream_bidirectional_sampling_rate": 8000,
            "stream_auth_token": urlsplit(stream_url).path.rpartition("/")[2],
            **_recording(call),
        }
        if call.detect_machine:
            body["answering_machine_detection"] = "greeting_end"
        if call.ring_timeout_s is not None:
            body["timeout_secs"] = _clamp(call.ring_timeout_s, RING_TIMEOUT_S)
        if call.max_duration_s is not None:
            body["time_limit_secs"] = _clamp(call.max_duration_s, TIME_LIMIT_S)
        response = yield self._post("/calls", body)
        if not 200 <= response.status < 300:
            raise _failure(response, retryable=False)
        control_id = _object(_object(_json(response)).get("data")).get("call_control_id")
        if not isinstance(control_id, str) or not control_id:
            raise _unreadable(response, retryable=False)
        return control_id

    def answer(self, call: Call, stream_url: str) -> Flow[None]:
        """Take an inbound call and have the media socket opened, in one step."""
        body = {
            "client_state": client_state.pack(call.call_id),
            "command_id": _command_id(call.call_id, "answer"),
            **_streaming(stream_url),
            "send_silence_when_idle": True,
            **_recording(call),
        }
        yield from self._command(_control_id(call), "answer", body)

    def stream(self, call: Call, stream_url: str) -> Flow[None]:
        """Open the media socket of a call that had one before."""
        body = {
            "client_state": client_state.pack(call.call_id),
            "command_id": _command_id(call.call_id, f"stream/{call.version}"),
            **_streaming(stream_url),
        }
        yield from self._command(_control_id(call), "streaming_start", body)

    def transfer(self, call: Call, to: str) -> Flow[None]:
        """Dial `to` and connect the two; our media socket has no part in that any more.

        Telnyx would leave the socket open; one that it does not close is closed by us.
        """
        order = self._new_order(call)
        body = {
            "to": to,
            "timeout_secs": TRANSFER_TIMEOUT_S,
            "client_state": client_state.pack(call.call_id),
            "target_leg_client_state": client_state.pack(call.call_id, client_state.TRANSFERRED),
            "command_id": _command_id(call.call_id, f"transfer/{order}"),
            "webhook_url": self._webhook_url,
            "webhook_url_method": "POST",
        }
        if call.our_number:
            body["from"] = call.our_number
        if call.max_duration_s is not None:
            body["time_limit_secs"] = _clamp(call.max_duration_s, TIME_LIMIT_S)
        yield from self._insist(self._action(_control_id(call), "transfer", body))
        stop = {"command_id": _command_id(call.call_id, f"stop/{order}")}
        yield self._action(_control_id(call), "streaming_stop", stop)

    def reject(self, control_id: str) -> Flow[None]:
        """Turn an inbound call away: the caller hears busy."""
        body = {"cause": "USER_BUSY", "command_id": _command_id(control_id, "reject")}
        yield from self._command(control_id, "reject", body)

    def hang_up(self, call: Call) -> Flow[None]:
        """End the call; CallGone when it had ended before."""
        yield from self.drop(_control_id(call))

    def drop(self, control_id: str) -> Flow[None]:
        """End a call that only the carrier knows; CallGone when it had ended before."""
        body = {"command_id": _command_id(control_id, "hangup")}
        yield from self._command(control_id, "hangup", body)

    def send_digits(self, call: Call, digits: str) -> Flow[None]:
        """Press keys: 0-9 * # A-D, w waits 0.5 s, W 1 s. Each call of this is a press of its own.

        The same keys twice are two presses, so their ids count.
        """
        if not _DIGITS.fullmatch(digits):
            raise RestError("telnyx.bad_digits", "expected 0-9, *, #, A-D, w or W")
        order = self._new_order(call)
        for start in range(0, len(digits), DIGITS_PER_COMMAND):
            body = {
                "digits": digits[start : start + DIGITS_PER_COMMAND],
                "command_id": _command_id(call.call_id, f"digits/{order}/{start}"),
            }
            yield from self._insist(self._action(_control_id(call), "send_dtmf", body))

    def _new_order(self, call: Call) -> str:
        """Tells one asking for the same thing from the next.

        The version keeps them apart when another instance takes over and counts anew.
        """
        return f"{call.version}/{next(self._orders)}"

    def _insist(self, request: HttpRequest) -> Generator[HttpRequest, HttpResponse, None]:
        """A command that nobody can ask for again by its id: repeated once if it may be lost."""
        response = yield request
        if response.status == 0 or response.status >= 500:
            response = yield request
        _check(response, retryable=False)

    def _command(
        self, control_id: str, action: str, body: Mapping[str, object]
    ) -> Generator[HttpRequest, HttpResponse, None]:
        response = yield self._action(control_id, action, body)
        _check(response, retryable=True)

    def _action(self, control_id: str, action: str, body: Mapping[str, object]) -> HttpRequest:
        return self._post(f"/calls/{quote(control_id, safe='')}/actions/{action}", body)

    def _post(self, path: str, body: Mapping[str, object]) -> HttpRequest:
        return HttpRequest("POST", self._api_base + path, self._headers, msgspec.json.encode(body))


def _streaming(stream_url: str) -> dict[str, object]:
    """8 kHz µ-law both ways, on this leg.

    The defaults of mode (mp3) and of target legs (opposite) would leave the person in silence.
    """
    return {
        "stream_url": stream_url,
        "stream_track": "inbound_track",
        "stream_codec": "PCMU",
        "stream_bidirectional_mode": "rtp",
        "stream_bidirectional_codec": "PCMU",
        "stream_bidirectional_target_legs": "self",
    }


def _recording(call: Call) -> dict[str, object]:
    if not call.record:
        return {}
    return {"record": "record-from-answer", "record_channels": "dual", "record_format": "wav"}


def _clamp(value: int, limits: tuple[int, int]) -> int:
    low, high = limits
    return min(max(value, low), high)


def _command_id(of: str, intent: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"callbridge:{of}/{intent}"))


def _control_id(call: Call) -> str:
    if not call.provider_call_id:
        raise UnknownCall("telnyx.not_placed", "Telnyx has not named this call yet")
    return call.provider_call_id


# What the answers mean -------------------------------------------------------------------------


class _Fault(Struct, frozen=True):
    """The first error of Telnyx's list, as far as it is understood."""

    code: str  # ours: "telnyx." and theirs
    field: str  # the request's field that it complains about, or ""


def _check(response: HttpResponse, *, retryable: bool) -> None:
    """Raise unless a command to a call was accepted."""
    if not 200 <= response.status < 300:
        failure = _failure(response, retryable=retryable)
        unknown = failure.status == 404 and not isinstance(failure, CarrierDown)
        if failure.code == CALL_ENDED or unknown:
            raise CallGone(failure.code, "the call had already ended", status=failure.status)
        raise failure
    if not isinstance(_json(response), dict):
        raise _unreadable(response, retryable=retryable)


def _failure(response: HttpResponse, *, retryable: bool) -> RestError:
    status = response.status
    if status == 0:
        return CarrierSilent("telnyx.timeout", "no answer in time", retryable=retryable)
    fault = _fault(response)
    if status == 429:
        code = fault.code if fault else "telnyx.http_429"
        return RateLimited(code, "too many requests", retry_after_ms=_retry_after_ms(response))
    if fault is None:
        return _unreadable(response, retryable=retryable)
    if status >= 500:
        return CarrierDown(fault.code, "Telnyx failed", status=status, retryable=retryable)
    return _refusal(status, fault)


def _refusal(status: int, fault: _Fault) -> RestError:
    if status in (401, 403):
        return CredentialsRefused(
            fault.code, "the key is refused, or may not do this", status=status
        )
    if fault.code in CHANNEL_LIMITS:
        return RateLimited(fault.code, "all channels are in use", retry_after_ms=CHANNEL_RETRY_MS)
    if fault.field in ("to", "from") or fault.code == NOT_E164:
        return NumberRefused(fault.code, "a number is refused", status=status)
    return RestError(fault.code, "Telnyx refused the request", status=status)


def _unreadable(response: HttpResponse, *, retryable: bool) -> CarrierDown:
    return CarrierDown(
        "telnyx.unreadable",
        "the answer is none of the API's",
        status=response.status,
        retryable=retryable and response.status >= 500,
    )


def _fault(response: HttpResponse) -> _Fault | None:
    errors = _object(_json(response)).get("errors")
    if not isinstance(errors, list):
        return None
    first = _object(errors[0]) if errors else {}
    code = str(first.get("code", ""))
    if not _CODE.fullmatch(code):
        code = f"http_{response.status}"
    pointer = str(_object(first.get("source")).get("pointer", ""))
    return _Fault(code=f"telnyx.{code}", field=pointer.removeprefix("/").partition("/")[0])


def _retry_after_ms(response: HttpResponse) -> int:
    seconds = response.headers.get("x-ratelimit-reset", "")
    known = seconds.isascii() and seconds.isdecimal() and len(seconds) < 7
    return _clamp(int(seconds) if known else 1, RATE_RETRY_S) * 1000


def _json(response: HttpResponse) -> object:
    try:
        return msgspec.json.decode(response.body)
    except (msgspec.DecodeError, RecursionError):
        return None


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
