"""Which carriers this service speaks to: name -> Provider, as the settings switch them on."""

from providers.base import Provider
from providers.browser import browser
from providers.telnyx import telnyx
from providers.twilio import twilio
from service.settings import Settings


def catalog(settings: Settings) -> dict[str, Provider]:
    """The providers that are on. ConfigError when one's settings cannot be used."""
    providers = [browser(settings.callbridge_public_url)]
    if settings.twilio_account_sid:
        providers.append(_twilio(settings))
    if settings.telnyx_api_key:
        providers.append(_telnyx(settings))
    return {provider.name: provider for provider in providers}


def _twilio(settings: Settings) -> Provider:
    tokens = (settings.twilio_auth_token, settings.twilio_auth_token_secondary)
    key = (settings.twilio_api_key_sid, settings.twilio_api_key_secret)
    return twilio(
        public_url=settings.callbridge_public_url,
        account_sid=settings.twilio_account_sid,
        auth_tokens=tuple(token for token in tokens if token),
        api_key=key if all(key) else None,
        api_base=settings.twilio_api_base,
    )


def _telnyx(settings: Settings) -> Provider:
    return telnyx(
        public_url=settings.callbridge_public_url,
        api_key=settings.telnyx_api_key,
        public_key=settings.telnyx_public_key,
        connection_id=settings.telnyx_connection_id,
        stream_auth_token=settings.telnyx_stream_auth_token,
        api_base=settings.telnyx_api_base,
    )
