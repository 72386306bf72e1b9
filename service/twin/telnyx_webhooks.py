"""Telnyx's webhooks to the bridge: JSON, signed with Ed25519, tried again when they fail.

Follows Telnyx's "Webhook Fundamentals"; nothing of the bridge's own check is used here.
"""

import asyncio
import base64
import contextlib
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from service.twin.behaviour import Signing
from service.twin.record import CallRecord, Receipt

_TIMEOUT_S = 2.0
_OLD_S = 600  # twice what Telnyx's own check allows
_BACK_OFF_S = (1.0, 2.0)  # before the second and the third attempt
_RETRIED = (408, 429)  # and 5xx, and no answer; other 4xx are final


class Webhooks:
    """Sends events and writes them into a call's record. `seed`: 32 bytes."""

    def __init__(self, http: httpx.AsyncClient, seed: bytes, utc: Callable[[], datetime]) -> None:
        self._http = http
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._utc = utc

    @property
    def public_key(self) -> str:
        """As the portal shows it: base64 of 32 bytes."""
        return base64.b64encode(self._key.public_key().public_bytes_raw()).decode()

    async def send(
        self, record: CallRecord, url: str, event: dict[str, Any], *, signing: Signing = "good"
    ) -> None:
        """Deliver `event` (what stands under `data`), in up to three attempts."""
        for attempt, pause_s in enumerate((*_BACK_OFF_S, None), start=1):
            status = await self._attempt(record, url, event, attempt, signing=signing)
            if 200 <= status < 300:
                return
            if pause_s is None or (0 < status < 500 and status not in _RETRIED):
                record.warn("webhook", f"{event['event_type']} was answered with {status}")
                return
            await asyncio.sleep(pause_s)

    async def _attempt(
        self,
        record: CallRecord,
        url: str,
        event: dict[str, Any],
        attempt: int,
        *,
        signing: Signing,
    ) -> int:
        body = {"data": event, "meta": {"attempt": attempt, "delivered_to": url}}
        raw = msgspec.json.encode(body)
        parts = urlsplit(url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        what = {"method": "POST", "path": path, "headers": {}, "json": body}
        record.log("webhook", "carrier", request=what)
        headers = self.headers(raw, signing)
        raw += b" " if signing == "changed" else b""
        began_ms = record.now_ms()
        response = None
        with contextlib.suppress(TimeoutError, httpx.TransportError):
            async with asyncio.timeout(_TIMEOUT_S):
                response = await self._http.post(url, content=raw, headers=headers)
        took_ms = round(record.now_ms() - began_ms)
        status = 0 if response is None else response.status_code
        record.receipts.append(Receipt(record.at_ms(), event["event_type"], status, took_ms))
        if response is None:
            record.log("webhook", "bridge", response={"status": 0, "body": ""})
            return 0
        answer = {"status": response.status_code, "body": response.text}
        record.log("webhook", "bridge", response=answer)
        return response.status_code

    def headers(self, raw: bytes, signing: Signing = "good") -> dict[str, str]:
        """The headers of a request with this body, signed now."""
        headers = {"content-type": "application/json", "user-agent": "telnyx-webhooks"}
        if signing == "missing":
            return headers
        age_s = _OLD_S if signing == "old" else 0
        timestamp = str(int(self._utc().timestamp()) - age_s)
        key = Ed25519PrivateKey.generate() if signing == "wrong_key" else self._key
        signed = key.sign(timestamp.encode() + b"|" + raw)
        return headers | {
            "telnyx-timestamp": timestamp,
            "telnyx-signature-ed25519": base64.b64encode(signed).decode(),
        }
