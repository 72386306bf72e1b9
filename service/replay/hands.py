"""How each carrier signs what it sends: made anew for every replay, with the twins' own code.

Nothing of the bridge's own checks is used here.
"""

from urllib.parse import parse_qsl, urlencode

import msgspec

from service.cassettes.cassette import JsonObject, Request
from service.twin.telnyx_webhooks import Webhooks
from service.twin.twilio_webhooks import signature


class TwilioHand:
    """Twilio, for an account whose token is known."""

    def __init__(self, auth_token: str) -> None:
        self._auth_token = auth_token

    def webhook(self, url: str, request: Request) -> tuple[dict[str, str], bytes]:
        """A form, signed with the URL."""
        agent = {"user-agent": "TwilioProxy/1.1"}
        if request.method == "GET":
            return agent | {"x-twilio-signature": signature(self._auth_token, url)}, b""
        body = urlencode(request.form or {}, doseq=True)
        pairs = parse_qsl(body, keep_blank_values=True)
        return agent | {
            "content-type": "application/x-www-form-urlencoded; charset=UTF-8",
            "x-twilio-signature": signature(self._auth_token, url, pairs),
        }, body.encode()

    def upgrade(self, url: str, token: str) -> dict[str, str]:  # noqa: ARG002
        """Signed, too."""
        signed = signature(self._auth_token, url)
        return {"user-agent": "Twilio.TmeWs/1.0", "x-twilio-signature": signed}

    def mark(self, start: JsonObject, name: str) -> JsonObject:
        """A mark that comes back."""
        return {"event": "mark", "streamSid": start.get("streamSid"), "mark": {"name": name}}


class TelnyxHand:
    """Telnyx, with the twin's way of signing."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    def webhook(self, url: str, request: Request) -> tuple[dict[str, str], bytes]:  # noqa: ARG002
        """JSON, signed with the time."""
        raw = msgspec.json.encode(request.json or {})
        return self._webhooks.headers(raw), raw

    def upgrade(self, url: str, token: str) -> dict[str, str]:  # noqa: ARG002
        """The stream's token, as Dial asked for it."""
        return {"x-telnyx-streaming-auth-token": token}

    def mark(self, start: JsonObject, name: str) -> JsonObject:
        """A mark that comes back."""
        return {"event": "mark", "stream_id": start.get("stream_id"), "mark": {"name": name}}
