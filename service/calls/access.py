"""Who may use the REST API: holders of a key or, when no key is set, this machine alone."""

import hashlib
import hmac
from collections.abc import Mapping

from service.core.errors import AccessDenied
from service.settings import is_loopback


class Access:
    """The API keys, by name."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = {name: _digest(secret) for name, secret in keys.items()}

    @property
    def open_to_loopback(self) -> bool:
        """No key is set."""
        return not self._keys

    def check(self, key: str | None, client: str, *, forwarded: bool) -> str:
        """The name of the key, "" for this machine. AccessDenied for anybody else.

        `forwarded`: a proxy passed the request on, so `client` is not who asks.
        """
        if not self._keys:
            if forwarded or not is_loopback(client):
                raise AccessDenied(
                    "access.loopback_only", "no API key is set, so only this machine may ask"
                )
            return ""
        given = _digest(key or "")
        # Every key is compared, so the time taken does not tell which one was close.
        matches = [name for name, ours in self._keys.items() if hmac.compare_digest(ours, given)]
        if key is None or not matches:
            raise AccessDenied("access.key_refused", "a valid API key is needed")
        return matches[0]


def forwarded(headers: Mapping[str, str]) -> bool:
    """Whether a proxy passed this request on and says so. Names in lower case."""
    return "x-forwarded-for" in headers or "forwarded" in headers


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).digest()
