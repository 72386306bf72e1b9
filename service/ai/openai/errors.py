"""What goes wrong at OpenAI's, as our errors: a stable code for each, whoever raised what.

A detail holds the stage it happened at, and a status or a code of theirs; never a message, since
servers like to repeat in it what was sent: a key, or what somebody said.
https://platform.openai.com/docs/guides/error-codes/api-errors
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx
import openai
from pydantic import ValidationError
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    WebSocketException,
)

from service.core.errors import EngineError

OPENING_S = 5.0
"""A session that is not there by then: the caller has waited through a ring and some more."""
RECOGNITION_S = 4.0
"""A sentence is recognised within one second; after four the caller asks whether we are there."""
FIRST_TOKEN_S = 5.0
"""Models begin within one second, slow ones within three."""
NEXT_TOKEN_S = 5.0
"""A stream that pauses so long does not go on."""
FIRST_AUDIO_S = 4.0
"""Speech begins within half a second."""
NEXT_AUDIO_S = 4.0
"""Sound is made faster than it is heard, so a gap of this length is heard as silence."""

RETRY_AFTER_MS = 1000
"""When to try again where the server does not say so."""

_QUOTA = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
_LIMITED = ("rate_limit_exceeded", "rate_limit_error", "too_many_requests", "tokens", "requests")
_KEY = ("invalid_api_key", "invalid_authentication", "account_deactivated", "missing_api_key")
_MODEL = ("model_not_found", "invalid_model", "unsupported_model")
_THEIRS = ("server_error", "internal_error", "api_error", "overloaded_error", "service_unavailable")
_EXPIRED = ("session_expired",)
_NAMES = (
    ("openai.no_quota", _QUOTA),
    ("openai.rate_limited", _LIMITED),
    ("openai.bad_key", _KEY),
    ("openai.unknown_model", _MODEL),
    ("openai.server_error", _THEIRS),
    ("openai.session_lost", _EXPIRED),
)
_STATUSES = {
    401: "openai.bad_key",
    403: "openai.bad_key",
    408: "openai.stalled",
    429: "openai.rate_limited",
}
_RETRYABLE = ("openai.rate_limited", "openai.server_error", "openai.unreachable")
_WORD = re.compile(r"[a-z0-9_.]{1,40}")


class OpenAIFault(EngineError):
    """EngineError with what only this room needs: when it is worth trying again."""

    def __init__(
        self, code: str, detail: str = "", *, retry_after_ms: int = RETRY_AFTER_MS
    ) -> None:
        super().__init__(code, detail, retryable=code in _RETRYABLE)
        self.retry_after_ms = retry_after_ms


@asynccontextmanager
async def stage(name: str, deadline_s: float | None) -> AsyncIterator[None]:
    """What goes wrong inside comes out as OpenAIFault; so does taking longer than the deadline."""
    try:
        async with asyncio.timeout(deadline_s):
            yield
    except _FOREIGN as fault:
        raise engine_error(fault, name) from None  # a chain would bring their message to the log


def engine_error(fault: Exception, stage: str) -> OpenAIFault:
    """An exception of openai's, httpx's or websockets', with our code for it."""
    match fault:
        case OpenAIFault():
            return fault
        case openai.APIStatusError():
            return _status_error(fault, stage)
        case openai.APITimeoutError() | httpx.TimeoutException() | TimeoutError():
            return OpenAIFault("openai.stalled", stage)
        case openai.APIResponseValidationError() | ValidationError() | ValueError():
            return OpenAIFault("openai.confused", stage)
        case openai.APIConnectionError() | httpx.TransportError() | OSError():
            return OpenAIFault("openai.unreachable", stage)
        case openai.APIError():  # an error inside a stream
            return named_error(fault.code, fault.type, stage)
        case WebSocketException():
            return _socket_error(fault, stage)
        case _:
            return OpenAIFault("openai.confused", stage)


def named_error(code: str | None, kind: str | None, stage: str) -> OpenAIFault:
    """An error that a stream or a socket tells of in an event, by its `code` and its `type`."""
    for name in (code, kind):
        for ours, theirs in _NAMES:
            if name in theirs:
                return OpenAIFault(ours, stage)
    return OpenAIFault("openai.refused", _detail(stage, code or kind))


def _status_error(fault: openai.APIStatusError, stage: str) -> OpenAIFault:
    return _by_status(
        fault.status_code, stage, name=fault.code or fault.type, headers=fault.response.headers
    )


def _by_status(
    status: int, stage: str, *, name: str | None, headers: Mapping[str, str]
) -> OpenAIFault:
    """Their name says more than the status: 429 is also an empty purse, 404 an unknown model."""
    detail = _detail(stage, str(status))
    for ours, theirs in _NAMES:
        if name in theirs:
            return OpenAIFault(ours, detail, retry_after_ms=_retry_after_ms(headers))
    if status >= 500:
        return OpenAIFault("openai.server_error", detail, retry_after_ms=_retry_after_ms(headers))
    code = _STATUSES.get(status, "openai.refused")
    return OpenAIFault(code, detail, retry_after_ms=_retry_after_ms(headers))


def _socket_error(fault: WebSocketException, stage: str) -> OpenAIFault:
    match fault:
        case InvalidStatus(response=response):
            found = re.search(rb'"code"\s*:\s*"(\w+)"', response.body or b"")
            name = found[1].decode() if found else None
            return _by_status(response.status_code, stage, name=name, headers=response.headers)
        case ConnectionClosed(rcvd=closed):
            said = _WORD.match(closed.reason.replace(" ", "_").lower()) if closed else None
            detail = _detail(stage, str(closed.code) if closed else "no close")
            codes = (ours for ours, theirs in _NAMES if said and said[0].split(".")[-1] in theirs)
            return OpenAIFault(next(codes, "openai.session_lost"), detail)
        case InvalidHandshake():
            return OpenAIFault("openai.confused", stage)
        case _:
            return OpenAIFault("openai.unreachable", stage)


def _retry_after_ms(headers: Mapping[str, str]) -> int:
    """`retry-after-ms`, else `retry-after` in seconds; a date is not worth reading for a call."""
    for name, unit_ms in (("retry-after-ms", 1), ("retry-after", 1000)):
        try:
            hint_ms = float(headers.get(name, "")) * unit_ms
        except ValueError:
            continue
        if 0 < hint_ms < 3_600_000:
            return round(hint_ms)
    return RETRY_AFTER_MS


def _detail(stage: str, word: str | None) -> str:
    """Their word beside the stage when it is one: what is longer may be somebody's."""
    return f"{stage}: {word}" if word and _WORD.fullmatch(word.lower()) else stage


_FOREIGN = (
    openai.OpenAIError,
    httpx.HTTPError,
    WebSocketException,
    TimeoutError,
    OSError,
    ValueError,
)
