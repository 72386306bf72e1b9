"""Every error the bridge raises on purpose.

A `code` is stable and may be matched on by users; a `detail` is safe to log: it never holds a
number dialled, a transcript or a secret. Whoever raises decides once whether a retry may help.
"""


class BridgeError(Exception):
    """An expected failure with a stable code."""

    def __init__(self, code: str, detail: str = "", *, retryable: bool = False) -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail
        self.retryable = retryable


class ConfigError(BridgeError):
    """The settings, or an agent file, cannot be used."""


class ProviderError(BridgeError):
    """A carrier did something we cannot go along with."""


class ProtocolError(ProviderError):
    """A carrier's message breaks the carrier's own rules, or is of a kind nobody knows."""


class SignatureInvalid(ProviderError):
    """A webhook or an upgrade is not signed by the carrier."""


class RestError(ProviderError):
    """The carrier's REST API said no. `status` is its HTTP status, 0 when there was no answer."""

    def __init__(
        self, code: str, detail: str = "", *, status: int = 0, retryable: bool = False
    ) -> None:
        super().__init__(code, detail, retryable=retryable)
        self.status = status


class NumberRefused(RestError):
    """The carrier will not dial this number, or not from this one."""


class CredentialsRefused(RestError):
    """The carrier does not accept our key, or the key may not do this."""


class RateLimited(RestError):
    """Too many requests; `retry_after_ms` is the carrier's hint, or our guess."""

    def __init__(self, code: str, detail: str = "", *, retry_after_ms: int = 1000) -> None:
        super().__init__(code, detail, status=429, retryable=True)
        self.retry_after_ms = retry_after_ms


class CallGone(RestError):
    """The call had already ended. Who wanted it ended has what they wanted."""


class CarrierDown(RestError):
    """The carrier answered 5xx or with something that is no answer."""


class CarrierSilent(RestError):
    """The carrier did not answer in time: whether it acted is unknown."""


class EngineError(BridgeError):
    """An AI engine cannot go on."""


class TextRefused(EngineError):
    """A voice cannot say this text; it can say others."""


class MediaError(BridgeError):
    """Sound in a form that cannot be used."""


class CallError(BridgeError):
    """A call cannot do what was asked of it."""


class UnknownCall(CallError):
    """No such call."""


class StaleCall(CallError):
    """The call changed under us more often than we were ready to try again."""


class AccessDenied(BridgeError):
    """Nobody we know, or from where we let nobody in."""


class StoreAway(BridgeError):
    """Redis does not answer."""
