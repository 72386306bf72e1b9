"""Telnyx webhook signatures: Ed25519 over timestamp, a bar, and the raw body.

Works on bytes as they came; never parses the body, never reads a clock. The URL and the other
headers are not signed, so nothing may be concluded from them.
Telnyx documentation, "Webhook Fundamentals", section Webhook signing.
"""

import base64
import binascii
import re
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from service.core.errors import ConfigError, SignatureInvalid

SIGNATURE_HEADER = "telnyx-signature-ed25519"
TIMESTAMP_HEADER = "telnyx-timestamp"

TOLERANCE_S = 300
"""How far a webhook's timestamp may be from our clock, either way, inclusive: the SDK's rule."""

_KEY_BYTES = 32
_SIGNATURE_BYTES = 64
_UNIX_SECONDS = re.compile(r"[0-9]{1,12}")


def load_public_key(text: str) -> Ed25519PublicKey:
    """The account's public key as the portal shows it: base64 of 32 bytes."""
    raw = _exact_base64(text.strip(), _KEY_BYTES)
    if raw is None:
        raise ConfigError(
            "settings.invalid", "TELNYX_PUBLIC_KEY: expected 32 bytes in base64 (44 characters)"
        )
    return Ed25519PublicKey.from_public_bytes(raw)


def verify(body: bytes, headers: Mapping[str, str], key: Ed25519PublicKey, now_s: float) -> None:
    """Raise SignatureInvalid unless Telnyx signed this body within the tolerance of `now_s`."""
    timestamp = headers.get(TIMESTAMP_HEADER, "")
    signature = _exact_base64(headers.get(SIGNATURE_HEADER, ""), _SIGNATURE_BYTES)
    if not _UNIX_SECONDS.fullmatch(timestamp) or signature is None:
        raise SignatureInvalid("telnyx.bad_signature", "signature headers missing or malformed")
    if abs(now_s - int(timestamp)) > TOLERANCE_S:
        raise SignatureInvalid("telnyx.stale_timestamp", "signed too long ago, or a clock is wrong")
    try:
        key.verify(signature, _signed_bytes(timestamp, body))
    except InvalidSignature:
        raise SignatureInvalid("telnyx.bad_signature", "not signed with this key") from None


def sign(body: bytes, key: Ed25519PrivateKey, timestamp_s: int) -> dict[str, str]:
    """The two headers that Telnyx would send with this body."""
    timestamp = str(timestamp_s)
    signature = key.sign(_signed_bytes(timestamp, body))
    return {
        SIGNATURE_HEADER: base64.b64encode(signature).decode("ascii"),
        TIMESTAMP_HEADER: timestamp,
    }


def _signed_bytes(timestamp: str, body: bytes) -> bytes:
    return timestamp.encode("ascii") + b"|" + body


def _exact_base64(text: str, size_bytes: int) -> bytes | None:
    """The bytes behind `text`, or None unless it is the one way to write that many bytes."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(raw) != size_bytes or base64.b64encode(raw).decode("ascii") != text:
        return None
    return raw
