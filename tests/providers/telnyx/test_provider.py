import base64

import pytest

from providers.base import Provider, WebhookRequest
from providers.telnyx import telnyx
from service.core.errors import ConfigError, SignatureInvalid


def provider(stream_auth_token: str = "", public_key: bytes = bytes(range(32))) -> Provider:
    return telnyx(
        public_url="https://bridge.example/",
        api_key="KEY0",
        public_key=base64.b64encode(public_key).decode(),
        connection_id="1000000000000000001",
        stream_auth_token=stream_auth_token,
        api_base="https://api.telnyx.com/v2",
    )


def upgrade(**headers: str) -> WebhookRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return WebhookRequest("GET", "/telnyx/stream", "", named)


def test_a_socket_with_a_live_calls_token_needs_no_header() -> None:
    provider().check_upgrade(upgrade(), True)
    provider("s3cret").check_upgrade(upgrade(), True)


def test_a_socket_that_nobody_announced_needs_the_tokens_header() -> None:
    provider("s3cret").check_upgrade(upgrade(x_telnyx_streaming_auth_token="s3cret"), False)


@pytest.mark.parametrize("given", ["", "s3cre", "s3cret ", "Bearer s3cret", "é"])
def test_a_wrong_token_is_refused(given: str) -> None:
    with pytest.raises(SignatureInvalid) as caught:
        provider("s3cret").check_upgrade(upgrade(x_telnyx_streaming_auth_token=given), False)
    assert "s3cret" not in str(caught.value)


def test_no_header_is_refused() -> None:
    with pytest.raises(SignatureInvalid):
        provider("s3cret").check_upgrade(upgrade(), False)


@pytest.mark.parametrize("headers", [{}, {"x_telnyx_streaming_auth_token": ""}])
def test_an_empty_setting_matches_nothing(headers: dict[str, str]) -> None:
    with pytest.raises(SignatureInvalid):
        provider("").check_upgrade(upgrade(**headers), False)


def test_a_public_key_of_the_wrong_length_stops_the_start() -> None:
    with pytest.raises(ConfigError):
        provider(public_key=bytes(31))


def test_the_carrier_is_complete_and_wants_a_command_to_hang_up() -> None:
    complete = provider()
    assert complete.name == "telnyx"
    assert complete.rest is not None
    assert complete.webhooks is not None
    assert complete.webhooks.paths == ("/webhook",)
    assert complete.open_wire() is not complete.open_wire()
    assert complete.tells_end
