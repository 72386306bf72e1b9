"""The browser as a phone: a provider that is a wire only, for the page at `/`.

Nobody announces such a call and no REST API can reach it: it begins at `start` and ends when its
socket closes. This package promises not to know who may talk to the service (the socket's endpoint
asks for loopback or an API key); it refuses web pages of other origins and finds the key.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from providers.base import Provider, WebhookRequest
from providers.browser.wire import BrowserWire, announce
from service.core.errors import SignatureInvalid

NAME = "browser"
SUBPROTOCOL = "callbridge"
"""What a page offers, and what the socket is to be accepted with when it was offered."""

_KEY_PREFIX = "callbridge.key."
_MAX_OFFER_BYTES = 1024
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_DEFAULT_PORTS = {"http": 80, "https": 443}

Origin = tuple[str, str, int]  # scheme, host, port (RFC 6454, 4)


def browser(public_url: str) -> Provider:
    """The provider. Pages of `public_url` may dial, and those that this machine got from itself."""
    return Provider(
        name=NAME,
        open_wire=BrowserWire,
        check_upgrade=_same_origin(public_url),
        tells_end=False,
        api_key=key_from,
        subprotocol=subprotocol_for,
        announce=announce,
    )


def key_from(upgrade: WebhookRequest) -> str | None:
    """The API key that a page sent with its upgrade, if any.

    A page cannot set `Authorization` on a WebSocket, and a key in the URL would end up in access
    logs, so it travels as an offered subprotocol: `callbridge.key.<base64url of the key>`, without
    padding. The socket is to be accepted with `subprotocol_for`, which never repeats the key.
    """
    keys = [p.removeprefix(_KEY_PREFIX) for p in _offered(upgrade) if p.startswith(_KEY_PREFIX)]
    if len(keys) != 1 or not _BASE64URL.fullmatch(keys[0]):
        return None
    try:
        return base64.urlsafe_b64decode(keys[0] + "=" * (-len(keys[0]) % 4)).decode() or None
    except (binascii.Error, UnicodeDecodeError):
        return None


def subprotocol_for(upgrade: WebhookRequest) -> str | None:
    """What to accept the upgrade with; None when nothing we speak was offered.

    Browsers break off a socket whose offer is not answered; other clients, one that is.
    """
    return SUBPROTOCOL if SUBPROTOCOL in _offered(upgrade) else None


def _offered(upgrade: WebhookRequest) -> list[str]:
    offer = upgrade.headers.get("sec-websocket-protocol", "")
    if len(offer) > _MAX_OFFER_BYTES:
        return []
    return [protocol.strip() for protocol in offer.split(",")]


def _same_origin(public_url: str) -> Callable[[WebhookRequest, bool], None]:
    ours = _origin(public_url)

    def check_upgrade(upgrade: WebhookRequest, _has_token: bool) -> None:
        sent = upgrade.headers.get("origin")
        if sent is None:  # not a browser: those always tell (RFC 6455, 4.1)
            return
        origin = _origin(sent)
        if origin is None or origin not in (ours, _loopback_origin(upgrade, origin[0])):
            raise SignatureInvalid(
                "browser.foreign_origin", "the page that opened this socket is not ours"
            )

    return check_upgrade


def _loopback_origin(upgrade: WebhookRequest, scheme: str) -> Origin | None:
    """Where the request went, when that is this machine.

    Only then is `Host` to be believed: a name that someone else's DNS points at 127.0.0.1 would
    otherwise make a foreign page look like ours.
    """
    host = _origin(f"{scheme}://{upgrade.headers.get('host', '')}")
    return host if host is not None and _is_loopback(host[1]) else None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _origin(url: str) -> Origin | None:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.username is not None:
        return None
    return parts.scheme, parts.hostname, port or _DEFAULT_PORTS[parts.scheme]
