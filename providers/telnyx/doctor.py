"""What can be wrong between these settings and a Telnyx account, and what to do about it.

Reads the Call Control application and the numbers connected to it; changes nothing. A flow only:
no I/O, no clock. The public key is not compared: it was read when the provider was made.
Telnyx documentation, "Retrieve a call control application", "List phone numbers".
"""

from collections.abc import Generator
from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from providers.base import Finding, Flow, HttpRequest, HttpResponse, examine_clock, explain
from providers.telnyx.signature import TOLERANCE_S

T = TypeVar("T")

PAGE_SIZE = 100
MOST_PAGES = 10


class _Outbound(Struct):
    outbound_voice_profile_id: str | None = None


class _Application(Struct):
    active: bool | None = None
    webhook_api_version: str | None = None
    webhook_event_url: str | None = None
    outbound: _Outbound | None = None


class _Number(Struct):
    phone_number: str
    status: str = "active"


class _Meta(Struct):
    total_pages: int = 1


class _One(Struct):
    data: _Application


class _Page(Struct):
    data: list[_Number]
    meta: _Meta | None = None


class TelnyxDoctor:
    """Examines one Call Control application."""

    def __init__(
        self, *, api_key: str, connection_id: str, api_base: str, webhook_url: str
    ) -> None:
        self._headers = {"authorization": f"Bearer {api_key}", "accept": "application/json"}
        self._connection_id = connection_id
        self._api_base = api_base.rstrip("/")
        self._webhook_url = webhook_url

    def examine(self, now_s: float) -> Flow[list[Finding]]:
        """The key, the clock, the application's settings, and its numbers."""
        response = yield self._get(
            f"/call_control_applications/{quote(self._connection_id, safe='')}"
        )
        findings = []
        if response.status:
            findings.append(examine_clock(response, now_s, tolerance_s=TOLERANCE_S))
        one = _decoded(response, _One)
        if one is None:
            what = f"the application cannot be read: {explain(response)}"
            return [Finding("fail", what, _advice(response)), *findings]
        findings += self._settings(one.data)
        findings += yield from self._examine_numbers()
        return [Finding("ok", "the API key and the connection are accepted"), *findings]

    def _settings(self, application: _Application) -> list[Finding]:
        """The application's settings that would leave calls unanswered or undialled."""
        profile = application.outbound and application.outbound.outbound_voice_profile_id
        webhook_url = (application.webhook_event_url or "").partition("?")[0]
        return [
            _settle(
                application.active is True,
                good="the application is active",
                bad="the application is not active",
                advice="activate it in the portal",
            ),
            _settle(
                webhook_url == self._webhook_url,
                good="the application's webhook URL is this service's",
                bad="the application's webhook URL is not this service's",
                advice=f"set it to {self._webhook_url}",
            ),
            _settle(
                application.webhook_api_version == "2",
                good="the application's webhooks are of API version 2",
                bad="the application's webhooks are not of API version 2",
                advice="choose API v2 in the application's settings",
            ),
            _settle(
                bool(profile),
                good="the application has an outbound voice profile",
                bad="the application has no outbound voice profile, so it places no calls",
                advice="choose one in the application's settings",
            ),
        ]

    def _examine_numbers(self) -> Flow[list[Finding]]:
        numbers, cut = yield from self._numbers()
        findings = [_number(number) for number in numbers]
        if cut:
            return [*findings, cut]
        advice = "assign a number to the application"
        return findings or [Finding("fail", "the application has no phone number", advice)]

    def _numbers(
        self,
    ) -> Generator[HttpRequest, HttpResponse, tuple[list[_Number], Finding | None]]:
        """The connection's numbers, and why these are not all of them."""
        numbers: list[_Number] = []
        for page_number in range(1, MOST_PAGES + 1):
            query = {
                "filter[connection_id]": self._connection_id,
                "page[number]": page_number,
                "page[size]": PAGE_SIZE,
            }
            response = yield self._get(f"/phone_numbers?{urlencode(query)}")
            page = _decoded(response, _Page)
            if page is None:
                what = f"the numbers cannot be read: {explain(response)}"
                return numbers, Finding("fail", what, _advice(response))
            numbers += page.data
            if page.meta is None or page.meta.total_pages <= page_number:
                return numbers, None
        return numbers, Finding("note", f"only the first {len(numbers)} numbers were looked at")

    def _get(self, path: str) -> HttpRequest:
        return HttpRequest("GET", self._api_base + path, self._headers)


# What the answers mean -------------------------------------------------------------------------


def _settle(is_so: bool, *, good: str, bad: str, advice: str) -> Finding:
    return Finding("ok", good) if is_so else Finding("fail", bad, advice)


def _number(number: _Number) -> Finding:
    if number.status != "active":
        return Finding("note", f"number {number.phone_number} is not active yet or any more")
    return Finding("ok", f"number {number.phone_number} comes here")


def _advice(response: HttpResponse) -> str:
    if response.status in (401, 403):
        return "check TELNYX_API_KEY"
    if response.status in (400, 404, 422):
        return "check TELNYX_CONNECTION_ID: it is the id of a Call Control application"
    return "check TELNYX_API_BASE and the way to it"


def _decoded(response: HttpResponse, kind: type[T]) -> T | None:
    if response.status != 200:
        return None
    try:
        return msgspec.json.decode(response.body, type=kind)
    except (msgspec.DecodeError, RecursionError):
        return None
