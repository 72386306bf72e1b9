"""Errors as RFC 9457 problem details: `application/problem+json` with a stable `code`."""

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from service.core.errors import (
    AccessDenied,
    BridgeError,
    CarrierSilent,
    NumberRefused,
    RateLimited,
    RestError,
    StaleCall,
    StoreAway,
    UnknownCall,
)

RETRY_AFTER_S = 1
MEDIA_TYPE = "application/problem+json"


def problem(
    status: int,
    code: str,
    detail: str = "",
    *,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Response:
    """A problem; `more` are its extension members, such as `errors`."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    body |= {"code": code} | ({"detail": detail} if detail else {}) | more
    return Response(json.dumps(body), status, headers=headers, media_type=MEDIA_TYPE)


def from_error(error: BridgeError, **more: Any) -> Response:
    """The problem that an error of ours is to whoever asked."""
    status, headers = _status(error), _headers(error)
    return problem(status, error.code, error.detail, headers=headers, **more)


def _status(error: BridgeError) -> int:
    match error:
        case AccessDenied():
            return 401
        case UnknownCall():
            return 404
        case NumberRefused():
            return 422
        case CarrierSilent():
            return 504
        case RateLimited() | StoreAway() | StaleCall():
            return 503
        case RestError():
            return 502
        case _:
            return 500


def _headers(error: BridgeError) -> dict[str, str]:
    match error:
        case AccessDenied():
            return {"WWW-Authenticate": "Bearer"}
        case RateLimited(retry_after_ms=wait_ms):
            return {"Retry-After": str(max(1, math.ceil(wait_ms / 1000)))}
        case StoreAway() | StaleCall():
            return {"Retry-After": str(RETRY_AFTER_S)}
        case _:
            return {}


async def http_problem(_request: Request, error: Exception) -> Response:
    """For Starlette's own errors, such as unknown paths and methods."""
    if not isinstance(error, HTTPException):
        return problem(500, "internal_error")
    code = HTTPStatus(error.status_code).name.lower()
    return problem(error.status_code, code, headers=error.headers)


exception_handlers: Mapping[Any, Any] = {HTTPException: http_problem, Exception: http_problem}
"""What the application answers where no route of ours did."""
