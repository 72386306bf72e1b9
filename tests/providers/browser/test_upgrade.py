"""Who may open a softphone's socket, and how a page says its key."""

import base64

import pytest

from providers.base import WebhookRequest
from providers.browser import browser, key_from, subprotocol_for
from service.core.errors import SignatureInvalid

PUBLIC_URL = "https://bridge.example.com"


def upgrade(**headers: str) -> WebhookRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return WebhookRequest(method="GET", path="/browser/stream", query="", headers=named)


def offering(*protocols: str) -> WebhookRequest:
    return upgrade(sec_websocket_protocol=", ".join(protocols))


def as_protocol(key: str) -> str:
    return "callbridge.key." + base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://bridge.example.com", "bridge.example.com"),
        ("https://bridge.example.com", "10.0.0.7:8080"),  # behind a proxy
        ("https://bridge.example.com:443", "bridge.example.com"),
        ("https://BRIDGE.example.com", "bridge.example.com"),
        ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://localhost:8080", "localhost:8080"),
        ("http://[::1]:8080", "[::1]:8080"),
        ("http://localhost", "localhost"),
    ],
)
def test_our_own_page_may_dial(origin: str, host: str) -> None:
    browser(PUBLIC_URL).check_upgrade(upgrade(origin=origin, host=host), False)


def test_a_client_that_is_no_browser_may_dial() -> None:
    browser(PUBLIC_URL).check_upgrade(upgrade(host="127.0.0.1:8080"), False)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.example", "127.0.0.1:8080"),
        ("http://bridge.example.com", "bridge.example.com"),
        ("https://bridge.example.com:8443", "bridge.example.com"),
        ("https://bridge.example.com.evil.example", "bridge.example.com"),
        ("http://127.0.0.1:9999", "127.0.0.1:8080"),
        ("http://localhost:8080", "127.0.0.1:8080"),
        ("http://rebound.evil.example:8080", "rebound.evil.example:8080"),
        ("null", "127.0.0.1:8080"),
        ("", "127.0.0.1:8080"),
        ("file://", "127.0.0.1:8080"),
        ("http://127.0.0.1:notaport", "127.0.0.1:8080"),
        ("http://me@127.0.0.1:8080", "127.0.0.1:8080"),
    ],
)
def test_a_page_from_elsewhere_may_not_dial(origin: str, host: str) -> None:
    with pytest.raises(SignatureInvalid) as refused:
        browser(PUBLIC_URL).check_upgrade(upgrade(origin=origin, host=host), False)
    assert refused.value.code == "browser.foreign_origin"


@pytest.mark.parametrize("key", ["secret", "s3cret/with+odd=signs?", "Schlüssel", "x" * 600])
def test_a_page_says_its_key_as_a_subprotocol(key: str) -> None:
    request = offering("callbridge", as_protocol(key))
    assert key_from(request) == key
    assert subprotocol_for(request) == "callbridge"


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(upgrade(), id="no offer"),
        pytest.param(offering("callbridge"), id="no key"),
        pytest.param(offering("callbridge", "callbridge.key."), id="empty"),
        pytest.param(offering("callbridge.key.a"), id="cut"),
        pytest.param(offering("callbridge.key.c2V!"), id="not base64url"),
        pytest.param(offering("callbridge.key._w"), id="not text"),
        pytest.param(offering(as_protocol("one"), as_protocol("two")), id="two keys"),
        pytest.param(offering(as_protocol("x" * 2000)), id="too long"),
    ],
)
def test_no_proper_key_is_no_key(request_: WebhookRequest) -> None:
    assert key_from(request_) is None


def test_nothing_is_chosen_where_nothing_we_speak_was_offered() -> None:
    assert subprotocol_for(upgrade()) is None
    assert subprotocol_for(offering("graphql-ws", as_protocol("secret"))) is None


def test_no_webhook_tells_how_such_a_call_ends() -> None:
    provider = browser(PUBLIC_URL)
    assert (provider.name, provider.webhooks, provider.tells_end) == ("browser", None, False)
    assert provider.webhooks is None
    assert provider.rest is None
