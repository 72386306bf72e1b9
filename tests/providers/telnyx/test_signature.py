"""Webhook signatures: computed vectors, and the official SDK as the other opinion."""

import base64
import json

import pytest
import telnyx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from nacl.signing import SigningKey
from telnyx.lib.webhook_verification import WebhookVerificationError

from providers.telnyx.signature import (
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    load_public_key,
    sign,
    verify,
)
from service.core.errors import ConfigError, SignatureInvalid


class Vector(Struct, frozen=True):
    seed: bytes
    public_key: str
    timestamp: int
    body: bytes
    signature: str

    @property
    def headers(self) -> dict[str, str]:
        return {SIGNATURE_HEADER: self.signature, TIMESTAMP_HEADER: str(self.timestamp)}


COMPACT = Vector(
    seed=bytes(range(32)),
    public_key="A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
    timestamp=1767225600,
    body=b'{"data":{"event_type":"call.initiated","id":"7d1f0a52-3c64-4b0e-9a7e-2f5d0c9be001",'
    b'"occurred_at":"2026-01-01T00:00:00.000000Z","payload":{"call_control_id":"v3:demo-A",'
    b'"connection_id":"1000000000000000001","direction":"incoming","from":"+15550100001",'
    b'"state":"parked","to":"+15550100002"},"record_type":"event"},"meta":{"attempt":1,'
    b'"delivered_to":"https://bridge.example/telnyx"}}',
    signature="+saGiErG8cxGWGpdctn8302qzoR5gIeCWbAsF5EirQA+T+9xon6e9cpjfyYx116GSxml4tfENY11RTaoOSWGDw==",
)
SPACED = Vector(
    seed=bytes.fromhex("7a411af18acedf717e9a49c85bd065687731024b292d3b288227aa3a8eed7c9e"),
    public_key="KSDHSoa1iwJBsnw6LEqiyNqzVbCtiWsQAxNf6Sfu1TM=",
    timestamp=1767229200,
    body=base64.b64decode(
        "eyAiZGF0YSI6IHsiZXZlbnRfdHlwZSI6ICJjYWxsLmR0bWYucmVjZWl2ZWQiLCAiaWQiOiAiZTIiLCAicGF5bG9h"
        "ZCI6IHsiZGlnaXQiOiAiIyIsICJjYWxsZXJfaWRfbmFtZSI6ICJab8OrIMWBdWsifX0gfQo="
    ),
    signature="Ntqwb/XmahW5teCfJQM2BOn1sVhX6vnKGT6XPwGNiixgv567Zk5+CWXrcmlMBqUMC4QmVmRFn/ntUWmLHi2QBQ==",
)
VECTORS = [pytest.param(COMPACT, id="compact"), pytest.param(SPACED, id="spaced")]


def refused(vector: Vector, *, body: bytes | None = None, **headers: str) -> str:
    """The code that the vector, changed, is refused with."""
    changed = vector.headers | {name.replace("_", "-"): text for name, text in headers.items()}
    key = load_public_key(vector.public_key)
    with pytest.raises(SignatureInvalid) as caught:
        verify(vector.body if body is None else body, changed, key, vector.timestamp)
    return caught.value.code


@pytest.mark.parametrize("vector", VECTORS)
@pytest.mark.parametrize("skew_s", [0, 300, -300])
def test_a_signed_webhook_is_let_in_up_to_five_minutes_off(vector: Vector, skew_s: int) -> None:
    key = load_public_key(vector.public_key)
    verify(vector.body, vector.headers, key, vector.timestamp + skew_s)


@pytest.mark.parametrize("vector", VECTORS)
@pytest.mark.parametrize("skew_s", [301, -301, 300.001, -300.001])
def test_a_webhook_more_than_five_minutes_off_is_refused(vector: Vector, skew_s: float) -> None:
    with pytest.raises(SignatureInvalid) as caught:
        verify(
            vector.body,
            vector.headers,
            load_public_key(vector.public_key),
            vector.timestamp + skew_s,
        )
    assert caught.value.code == "telnyx.stale_timestamp"


@pytest.mark.parametrize("vector", VECTORS)
def test_our_own_signature_is_the_vectors(vector: Vector) -> None:
    key = Ed25519PrivateKey.from_private_bytes(vector.seed)
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert base64.b64encode(raw).decode() == vector.public_key
    assert sign(vector.body, key, vector.timestamp) == vector.headers


@pytest.mark.parametrize("vector", VECTORS)
def test_any_change_of_what_was_signed_is_refused(vector: Vector) -> None:
    reserialised = json.dumps(json.loads(vector.body)).encode()
    assert refused(vector, body=vector.body + b" ") == "telnyx.bad_signature"
    assert refused(vector, body=reserialised) == "telnyx.bad_signature"
    assert refused(vector, body=b"") == "telnyx.bad_signature"
    later = str(vector.timestamp + 1)
    assert refused(vector, telnyx_timestamp=later) == "telnyx.bad_signature"


def test_the_last_line_feed_is_signed_too() -> None:
    assert SPACED.body.endswith(b"\n")
    assert refused(SPACED, body=SPACED.body[:-1]) == "telnyx.bad_signature"


@pytest.mark.parametrize(
    "timestamp",
    ["", " 1767225600", "1767225600 ", "+1767225600", "1_767_225_600", "١٧٦٧٢٢٥٦٠٠", "1e9"],
)
def test_a_timestamp_is_plain_digits(timestamp: str) -> None:
    assert refused(COMPACT, telnyx_timestamp=timestamp) == "telnyx.bad_signature"


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "no base64",
        COMPACT.signature.rstrip("="),
        COMPACT.signature + "\n",
        COMPACT.signature[:44] + "\n" + COMPACT.signature[44:],
        COMPACT.signature.replace("+", "-"),
        COMPACT.signature.replace("w==", "x=="),  # other spare bits, the same 64 bytes
        base64.b64encode(bytes(63)).decode(),
        base64.b64encode(bytes(65)).decode(),
        base64.b64encode(bytes(64)).decode(),
        "é" * 88,
    ],
)
def test_a_signature_is_64_bytes_in_strict_base64(signature: str) -> None:
    assert refused(COMPACT, telnyx_signature_ed25519=signature) == "telnyx.bad_signature"


def test_a_webhook_without_signature_headers_is_refused() -> None:
    with pytest.raises(SignatureInvalid):
        verify(COMPACT.body, {}, load_public_key(COMPACT.public_key), COMPACT.timestamp)


def test_another_accounts_key_is_refused() -> None:
    with pytest.raises(SignatureInvalid):
        verify(COMPACT.body, COMPACT.headers, load_public_key(SPACED.public_key), COMPACT.timestamp)


@pytest.mark.parametrize(
    "key", ["", "-----BEGIN PUBLIC KEY-----", COMPACT.public_key[:-1], COMPACT.signature]
)
def test_a_public_key_that_is_none_stops_the_start(key: str) -> None:
    with pytest.raises(ConfigError, match="TELNYX_PUBLIC_KEY"):
        load_public_key(key)


# The official SDK ------------------------------------------------------------------------------


def sdk_accepts(vector: Vector, *, body: bytes, headers: dict[str, str]) -> bool:
    client = telnyx.Telnyx(api_key="KEY", public_key=vector.public_key)
    try:
        client.webhooks.unwrap(body.decode(), headers=headers)
    except (ValueError, WebhookVerificationError):
        return False
    finally:
        client.close()
    return True


def we_accept(vector: Vector, *, body: bytes, headers: dict[str, str], now_s: float) -> bool:
    try:
        verify(body, headers, load_public_key(vector.public_key), now_s)
    except SignatureInvalid:
        return False
    return True


@pytest.mark.parametrize("vector", VECTORS)
@pytest.mark.parametrize("skew_s", [0, 300, -300, 301, -301])
def test_the_sdk_and_we_agree_about_the_vectors(
    vector: Vector, skew_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = vector.timestamp + skew_s
    monkeypatch.setattr("time.time", lambda: float(now_s))
    for body in (vector.body, vector.body + b" ", vector.body.rstrip(b"\n")):
        sdk = sdk_accepts(vector, body=body, headers=vector.headers)
        assert we_accept(vector, body=body, headers=vector.headers, now_s=now_s) == sdk


@given(
    seed=st.binary(min_size=32, max_size=32),
    document=st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=4),
    ascii_only=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_what_we_sign_the_sdk_accepts(
    seed: bytes, document: dict[str, str], ascii_only: bool
) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    body = json.dumps({"data": document}, ensure_ascii=ascii_only).encode()
    raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    now_s = COMPACT.timestamp
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.time", lambda: float(now_s))
        client = telnyx.Telnyx(api_key="KEY", public_key=base64.b64encode(raw).decode())
        client.webhooks.unwrap(body.decode(), headers=sign(body, key, now_s))
        client.close()


@given(
    seed=st.binary(min_size=32, max_size=32),
    body=st.binary(max_size=200),
    now_s=st.integers(0, 4_000_000_000),
    flip=st.integers(min_value=0),
)
@settings(max_examples=60, deadline=None)
def test_what_the_sdks_library_signs_we_accept_and_nothing_next_to_it(
    seed: bytes, body: bytes, now_s: int, flip: int
) -> None:
    signer = SigningKey(seed)
    public_key = load_public_key(base64.b64encode(bytes(signer.verify_key)).decode())
    signature = signer.sign(f"{now_s}|".encode() + body).signature

    def headers(raw: bytes) -> dict[str, str]:
        text = base64.b64encode(raw).decode()
        return {SIGNATURE_HEADER: text, TIMESTAMP_HEADER: str(now_s)}

    verify(body, headers(signature), public_key, now_s)
    damaged = bytearray(signature)
    damaged[flip // 8 % 64] ^= 1 << flip % 8
    with pytest.raises(SignatureInvalid):
        verify(body, headers(bytes(damaged)), public_key, now_s)
