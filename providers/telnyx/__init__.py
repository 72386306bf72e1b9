"""Telnyx: Call Control webhooks, REST commands and media streaming, put together.

Closing the socket leaves the call up in silence: it takes `hangup`. How it ended is told by
webhook only. This package does no I/O.
"""

import hmac
from collections.abc import Callable

from providers.base import Provider, WebhookRequest
from providers.telnyx.doctor import TelnyxDoctor
from providers.telnyx.rest import TelnyxRest
from providers.telnyx.signature import load_public_key
from providers.telnyx.webhooks import TelnyxWebhooks
from providers.telnyx.wire import TelnyxWire
from service.core.errors import SignatureInvalid

NAME = "telnyx"
STREAM_AUTH_HEADER = "x-telnyx-streaming-auth-token"


def telnyx(
    *,
    public_url: str,
    api_key: str,
    public_key: str,
    connection_id: str,
    stream_auth_token: str = "",
    api_base: str = "https://api.telnyx.com/v2",
) -> Provider:
    """The provider. ConfigError when the public key is none.

    `stream_auth_token` lets sockets in that no webhook announced; empty: none of them.
    """
    webhook_url = f"{public_url.rstrip('/')}/{NAME}/webhook"
    rest = TelnyxRest(
        api_key=api_key,
        connection_id=connection_id,
        api_base=api_base,
        webhook_url=webhook_url,
    )
    return Provider(
        name=NAME,
        open_wire=TelnyxWire,
        check_upgrade=_key_check(stream_auth_token),
        webhooks=TelnyxWebhooks(load_public_key(public_key), rest),
        rest=rest,
        renames_calls=True,
        tells_end=True,
        examine=TelnyxDoctor(
            api_key=api_key,
            connection_id=connection_id,
            api_base=api_base,
            webhook_url=webhook_url,
        ).examine,
    )


def _key_check(stream_auth_token: str) -> Callable[[WebhookRequest, bool], None]:
    """Telnyx does not sign upgrades: a live call's token in the path, or the setting's, is the key.

    `answer` cannot set the header, so a token in the path needs none beside it.
    """
    expected = stream_auth_token.encode()

    def check_upgrade(request: WebhookRequest, announced: bool) -> None:
        given = request.headers.get(STREAM_AUTH_HEADER, "").encode()
        if announced or (expected and hmac.compare_digest(given, expected)):
            return
        raise SignatureInvalid("telnyx.bad_stream_token", "the socket brings no valid token")

    return check_upgrade
