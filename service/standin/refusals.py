"""What the API says when it does not do what was asked: errors in OpenAI's words.

A refusal is an HTTP status with a JSON body on a request, and an `error` event on a socket.
https://platform.openai.com/docs/guides/error-codes
"""

from typing import Any, Final

from msgspec import Struct

KINDS: Final = {
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", "unsupported_country", "Country or region not supported."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    500: ("server_error", None, "The server had an error while processing your request."),
    502: ("server_error", None, "Bad gateway."),
    503: ("server_error", None, "The engine is currently overloaded, please try again later."),
}
"""Status to (type, code, message), for errors that are told to happen."""

_OF_CODES: Final = {
    "insufficient_quota": ("insufficient_quota", "You exceeded your current quota."),
    "rate_limit_exceeded": ("requests", "Rate limit reached for requests."),
    "server_error": ("server_error", "The server had an error while processing your request."),
}


class Refusal(Exception):
    """Something is not done, and why; `param` is the place in the request."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind
        self.code = code
        self.param = param
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """The JSON body of the answer."""
        return {"error": self.error()}

    def error(self) -> dict[str, Any]:
        """The error object, as bodies, streams and events have it."""
        return {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }


class Refused(Struct, frozen=True):
    """Something that was refused since it broke the API's rules; for tests to look at."""

    at: str  # where: "chat", "speech", "session.update", ...
    code: str | None
    param: str | None
    message: str


def told(status: int, code: str = "") -> Refusal:
    """The refusal for a status that was told to happen."""
    kind, usual, message = KINDS.get(status, ("invalid_request_error", None, "Refused."))
    if code:
        kind, message = _OF_CODES.get(code, (kind, message))
    return Refusal(message, status=status, kind=kind, code=code or usual)


def unknown_model(model: str) -> Refusal:
    """A model that is not there."""
    message = f"The model `{model}` does not exist or you do not have access to it."
    return Refusal(message, status=404, code="model_not_found")
