"""Twilio put together: what its parts share, as the service sees it."""

from base64 import b64decode
from datetime import UTC, datetime

import pytest

from providers.base import Provider, WebhookRequest
from providers.twilio import twilio
from providers.twilio.signature import HEADER, sign
from service.core.calls import Call, CallId, CallState, Direction
from service.core.errors import SignatureInvalid

CALL = Call(
    call_id=CallId("call_1"),
    provider="twilio",
    provider_call_id=None,
    direction=Direction.OUTBOUND,
    state=CallState.QUEUED,
    to="+14155550199",
    from_="+14155550123",
    agent="default",
    created_at=datetime(2026, 9, 1, tzinfo=UTC),
)


def made(api_key: tuple[str, str] | None = None) -> Provider:
    return twilio(
        public_url="https://bridge.example.org/",
        account_sid="AC99",
        auth_tokens=("first", "second"),
        api_key=api_key,
    )


@pytest.mark.parametrize(
    ("api_key", "credentials"), [(None, b"AC99:first"), (("SK1", "secret"), b"SK1:secret")]
)
def test_the_api_key_is_used_where_there_is_one_and_the_path_keeps_the_account(
    api_key: tuple[str, str] | None, credentials: bytes
) -> None:
    rest = made(api_key).rest
    assert rest is not None
    request = next(rest.place(CALL, "wss://bridge.example.org/twilio/stream/t"))
    assert b64decode(request.headers["authorization"].removeprefix("Basic ")) == credentials
    assert request.url == "https://api.twilio.com/2010-04-01/Accounts/AC99/Calls.json"


def test_digits_go_as_tones_in_the_media() -> None:
    rest = made().rest
    assert rest is not None
    assert rest.send_digits(CALL, "12#") is None


@pytest.mark.parametrize("has_token", [True, False])
def test_a_token_in_the_path_does_not_make_up_for_a_missing_signature(has_token: bool) -> None:
    path = "/twilio/stream/t"
    good = sign("second", f"wss://bridge.example.org{path}")
    made().check_upgrade(WebhookRequest("GET", path, "", {HEADER: good}), has_token)
    with pytest.raises(SignatureInvalid):
        made().check_upgrade(WebhookRequest("GET", path, "", {}), has_token)


def test_webhooks_are_checked_with_the_same_tokens() -> None:
    webhooks = made().webhooks
    assert webhooks is not None
    good = sign("first", "https://bridge.example.org/twilio/voice")
    webhooks.verify(WebhookRequest("POST", "/twilio/voice", "", {HEADER: good}), 0.0)
    with pytest.raises(SignatureInvalid):
        webhooks.verify(WebhookRequest("POST", "/twilio/voice", "", {HEADER: good}, b"A=1"), 0.0)


def test_each_socket_has_a_wire_of_its_own() -> None:
    provider = made()
    assert provider.open_wire() is not provider.open_wire()


def test_no_secret_shows_in_the_provider() -> None:
    shown = repr(made(("SK1", "secret")))
    assert "first" not in shown
    assert "secret" not in shown
