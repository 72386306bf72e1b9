"""How each carrier signs what it sends: made anew for every replay, with the twins' own code.

Nothing of the bridge's own checks is used here.
"""

from urllib.parse import parse_qsl, urlencode

import msgspec

from service.cassettes.cassette import JsonObject, Request, Signature
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
            return agent | self._signed(url, [], request.signature), b""
        body = urlencode(request.form or {}, doseq=True)
        pairs = parse_qsl(body, keep_blank_values=True)
        form = {"content-type": "application/x-www-form-urlencoded; charset=UTF-8"}
        return agent | form | self._signed(url, pairs, request.signature), body.encode()

    def upgrade(self, url: str, token: str, signing: Signature) -> dict[str, str]:  # noqa: ARG002
        """Signed, too."""
        return {"user-agent": "Twilio.TmeWs/1.0"} | self._signed(url, [], signing)

    def _signed(self, url: str, pairs: list[tuple[str, str]], signing: Signature) -> dict[str, str]:
        key = self._auth_token
        match signing:
            case "missing":
                return {}
            case "wrong_key" | "old":
                key = key[::-1] + "x"
            case "changed":
                pairs = [*pairs, ("Extra", "1")]
            case "other_url":
                url += "/other"
            case "good":
                pass
        return {"x-twilio-signature": signature(key, url, pairs)}

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
        signing: Signature = "wrong_key" if request.signature == "other_url" else request.signature
        sent = raw + b" " if signing == "changed" else raw
        return self._webhooks.headers(raw, signing), sent

    def upgrade(self, url: str, token: str, signing: Signature) -> dict[str, str]:  # noqa: ARG002
        """The stream's token, as Dial asked for it."""
        return {} if signing == "missing" else {"x-telnyx-streaming-auth-token": token}

    def mark(self, start: JsonObject, name: str) -> JsonObject:
        """A mark that comes back."""
        return {"event": "mark", "stream_id": start.get("stream_id"), "mark": {"name": name}}
