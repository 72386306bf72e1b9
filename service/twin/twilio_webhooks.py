"""Twilio's HTTP requests to the bridge: forms, signed, with deadline and one retry.

Follows Twilio's "Webhooks security" and "Connection Overrides"; nothing of the bridge's own check
is used here.
"""

import asyncio
import base64
import hmac
from collections.abc import Iterable
from hashlib import sha1
from urllib.parse import urldefrag, urlencode, urlsplit

import httpx

from service.twin.behaviour import Signing
from service.twin.record import CallRecord, Receipt

_CONNECT_TIMEOUT_S = 5
_TOTAL_TIMEOUT_S = 15
_ATTEMPTS = 2  # the second only when no connection was made

Form = dict[str, str]


def signature(auth_token: str, url: str, form: Iterable[tuple[str, str]] = ()) -> str:
    """X-Twilio-Signature of a request to exactly this URL."""
    signed = url + "".join(name + value for name, value in sorted(set(form)))
    digest = hmac.new(auth_token.encode(), signed.encode(), sha1).digest()
    return base64.b64encode(digest).decode()


class Webhooks:
    """Sends callbacks and writes them into a call's record."""

    def __init__(self, http: httpx.AsyncClient, auth_token: str) -> None:
        self._http = http
        self._auth_token = auth_token

    async def request(
        self,
        record: CallRecord,
        *,
        method: str,
        url: str,
        form: Form,
        token: str,
        signing: Signing = "good",
    ) -> httpx.Response | None:
        """The bridge's answer; None when there was none in time. `token`: for idempotency."""
        url, _ = urldefrag(url)
        headers = {"user-agent": "TwilioProxy/1.1", "i-twilio-idempotency-token": token}
        if method == "GET":
            url += ("&" if urlsplit(url).query else "?") + urlencode(form)
            headers |= self._signed(signing, url, {})
            url += "&Extra=1" if signing == "changed" else ""
            body = b""
        else:
            headers["content-type"] = "application/x-www-form-urlencoded; charset=UTF-8"
            headers |= self._signed(signing, url, form)
            form = form | ({"Extra": "1"} if signing == "changed" else {})
            body = urlencode(form).encode()
        _log_request(record, method, url, form, token)
        began_ms = record.now_ms()
        response = await self._send(method, url, headers, body)
        took_ms = round(record.now_ms() - began_ms)
        status = 0 if response is None else response.status_code
        receipt = Receipt(record.at_ms(), urlsplit(url).path, status, took_ms)
        record.receipts.append(receipt)
        if response is None:
            record.log("webhook", "bridge", response={"status": 0, "body": ""})
            record.warn("11200", f"no answer from {urlsplit(url).path}")
        else:
            answer = {"status": response.status_code, "body": response.text}
            record.log("webhook", "bridge", response=answer)
        return response

    def _signed(self, signing: Signing, url: str, form: Form) -> dict[str, str]:
        if signing == "missing":
            return {}
        key = self._auth_token[::-1] + "x" if signing == "wrong_key" else self._auth_token
        url += "/" if signing == "other_url" else ""
        return {"x-twilio-signature": signature(key, url, form.items())}

    async def _send(
        self, method: str, url: str, headers: dict[str, str], body: bytes
    ) -> httpx.Response | None:
        timeout = httpx.Timeout(_TOTAL_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
        try:
            async with asyncio.timeout(_TOTAL_TIMEOUT_S):
                for attempt in range(_ATTEMPTS):
                    try:
                        return await self._http.request(
                            method, url, headers=headers, content=body, timeout=timeout
                        )
                    except (httpx.ConnectError, httpx.ConnectTimeout):
                        if attempt + 1 == _ATTEMPTS:
                            return None
        except (TimeoutError, httpx.TransportError):
            return None
        return None


def _log_request(record: CallRecord, method: str, url: str, form: Form, token: str) -> None:
    parts = urlsplit(url)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    headers = {"i-twilio-idempotency-token": token}
    what = {"method": method, "path": path, "headers": headers, "form": form}
    record.log("webhook", "carrier", request=what)
