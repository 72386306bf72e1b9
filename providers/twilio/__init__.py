"""Twilio: Programmable Voice with bidirectional Media Streams.

Puts the carrier together from its parts; no I/O happens here or in them. Official documentation:
https://www.twilio.com/docs/voice
"""

from providers.base import Provider, WebhookRequest
from providers.twilio.doctor import TwilioDoctor
from providers.twilio.rest import TwilioRest
from providers.twilio.signature import SignatureCheck
from providers.twilio.webhooks import TwilioWebhooks
from providers.twilio.wire import TwilioWire

API_BASE = "https://api.twilio.com"


def twilio(
    *,
    public_url: str,
    account_sid: str,
    auth_tokens: tuple[str, ...],
    api_key: tuple[str, str] | None = None,
    api_base: str = API_BASE,
) -> Provider:
    """Twilio for one account.

    `auth_tokens`: the primary first, then the one that takes its place, while they rotate; webhooks
    are signed with either. `api_key` (SID and secret) is used for REST instead, where given.
    """
    check = SignatureCheck(public_url, auth_tokens)
    webhooks = TwilioWebhooks(public_url=public_url, check=check)

    def check_upgrade(request: WebhookRequest, has_token: bool) -> None:  # noqa: ARG001
        check.upgrade(request)  # a token in the path does not make up for a missing signature

    return Provider(
        name="twilio",
        open_wire=TwilioWire,
        check_upgrade=check_upgrade,
        webhooks=webhooks,
        rest=TwilioRest(
            account_sid=account_sid,
            credentials=api_key or (account_sid, auth_tokens[0]),
            api_base=api_base,
            callback=webhooks.callback,
        ),
        tells_end=True,
        examine=TwilioDoctor(
            account_sid=account_sid,
            auth_tokens=auth_tokens,
            api_key=api_key,
            api_base=api_base,
            public_url=public_url,
        ).examine,
    )
