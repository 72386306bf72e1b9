"""Twilio's request signature: who may call our webhooks and open our media sockets.

Follows Twilio's "Validating requests": base64(HMAC-SHA1(auth token, URL + sorted form fields)).
The URL is rebuilt from the configured public URL and the raw request line, never from headers that
a client could write. Work is linear in the size of the body; its size is bounded by who reads it.
"""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import parse_qsl, urlsplit

from providers.base import WebhookRequest
from service.core.errors import SignatureInvalid

HEADER = "x-twilio-signature"
FORM = "application/x-www-form-urlencoded"
BODY_HASH = "bodySHA256"
DEFAULT_PORT = {"http": 80, "https": 443, "ws": 80, "wss": 443}

Fields = Sequence[tuple[str, str]]


def sign(auth_token: str, url: str, fields: Fields = ()) -> str:
    """The signature of a request to exactly `url` with these form fields, in any order."""
    return _hmac(auth_token, url, _signed_fields(fields))


def form_fields(text: str) -> list[tuple[str, str]]:
    """The fields of a form or a query: blanks and repeated names kept, nothing trimmed."""
    return parse_qsl(text, keep_blank_values=True)


def _is_form(request: WebhookRequest) -> bool:
    return request.headers.get("content-type", "").lower().startswith(FORM)


class SignatureCheck:
    """Checks requests to one public URL against the tokens in use: two while they rotate."""

    def __init__(self, public_url: str, auth_tokens: Iterable[str]) -> None:
        parts = urlsplit(public_url.rstrip("/"))
        self._host = _without_port(parts.netloc)
        self._port = parts.port
        self._scheme = parts.scheme
        self._prefix = parts.path
        self._tokens = tuple(token for token in auth_tokens if token)

    def webhook(self, request: WebhookRequest) -> None:
        """Raise SignatureInvalid unless Twilio signed this request, body and all."""
        if HEADER not in request.headers:
            raise SignatureInvalid("twilio.signature_missing")
        fields: Fields = ()
        if request.method == "POST" and not _hash_covers_body(request) and request.body:
            if not _is_form(request):  # nothing would vouch for what such a body says
                raise SignatureInvalid("twilio.body_unsigned")
            fields = form_fields(request.body.decode("utf-8", "replace"))
        self._check(request.headers, self._urls(request, self._scheme), fields)

    def upgrade(self, request: WebhookRequest) -> None:
        """Raise SignatureInvalid unless Twilio signed this WebSocket upgrade.

        Twilio signs the address with or without a slash at its end. The address is ws:// or wss://
        as the TwiML has it: a signature of its http spelling is another request's.
        """
        scheme = self._scheme.replace("http", "ws", 1)
        self._check(request.headers, self._urls(request, scheme, any_slash=True), ())

    def _check(self, headers: Mapping[str, str], urls: Iterator[str], fields: Fields) -> None:
        given = headers.get(HEADER)
        if not given:
            raise SignatureInvalid("twilio.signature_missing")
        told = given.encode("utf-8", "replace")
        signed_fields = _signed_fields(fields)
        for url in urls:
            for token in self._tokens:
                if hmac.compare_digest(_hmac(token, url, signed_fields).encode(), told):
                    return
        raise SignatureInvalid("twilio.signature_invalid")

    def _urls(
        self, request: WebhookRequest, scheme: str, *, any_slash: bool = False
    ) -> Iterator[str]:
        query = f"?{request.query}" if request.query else ""
        for path in self._paths(request.path, any_slash=any_slash):
            for host in self._hosts(scheme):
                yield f"{scheme}://{host}{path}{query}"

    def _hosts(self, scheme: str) -> tuple[str, str]:
        """Twilio signs with or without the port, by rules that have changed: both are ours."""
        port = self._port or DEFAULT_PORT[scheme]
        return self._host, f"{self._host}:{port}"

    def _paths(self, path: str, *, any_slash: bool) -> Iterator[str]:
        """A proxy may have cut the public URL's path prefix off, or not."""
        paths = [self._prefix + path]
        if self._prefix and path.startswith(self._prefix + "/"):
            paths.append(path)
        for known in paths:
            yield known
            if any_slash:
                yield known.rstrip("/") if known.endswith("/") else known + "/"


def _hash_covers_body(request: WebhookRequest) -> bool:
    """Whether the signed URL holds the body's hash, as it does for JSON; raises when it is wrong.

    A form is never signed that way: its fields are signed themselves.
    """
    told = dict(form_fields(request.query)).get(BODY_HASH)
    is_form = request.headers.get("content-type", "").startswith(
        "application/x-www-form-urlencoded"
    )
    if told is None or is_form:
        return False
    if not hmac.compare_digest(
        hashlib.sha256(request.body).hexdigest().encode(), told.lower().encode("utf-8", "replace")
    ):
        raise SignatureInvalid("twilio.body_changed")
    return True


def _signed_fields(fields: Fields) -> str:
    return "".join(name + value for name, value in sorted(set(fields)))


def _hmac(auth_token: str, url: str, signed_fields: str) -> str:
    text = (url + signed_fields).encode("utf-8", "surrogatepass")
    return b64encode(hmac.digest(auth_token.encode(), text, "sha1")).decode()


def _without_port(netloc: str) -> str:
    host, colon, port = netloc.rpartition(":")
    return host if colon and port.isdigit() else netloc
