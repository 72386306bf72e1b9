"""What can be wrong between these settings and a Twilio account, and what to do about it.

Reads the account and its numbers; changes nothing. A flow only: no I/O, no clock.
Twilio documentation: "Account resource", "IncomingPhoneNumber resource", "REST API: Paging".
"""

from base64 import b64encode
from collections.abc import Generator
from typing import TypeVar
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Struct

from providers.base import Finding, Flow, HttpRequest, HttpResponse, examine_clock, explain

T = TypeVar("T")

CLOCK_TOLERANCE_S = 60
PAGE_SIZE = 100  # a page of the largest size, 1000, would not fit into one answer of ours
MOST_PAGES = 10
MOST_STRANGERS = 10
"""How many numbers that go elsewhere are listed one by one."""


class _Account(Struct):
    status: str
    type: str = ""


class _Number(Struct):
    phone_number: str
    voice_url: str | None = None
    voice_method: str | None = None
    voice_application_sid: str | None = None
    trunk_sid: str | None = None


class _Page(Struct):
    incoming_phone_numbers: list[_Number]
    next_page_uri: str | None = None


class TwilioDoctor:
    """Examines one account."""

    def __init__(
        self,
        *,
        account_sid: str,
        auth_tokens: tuple[str, ...],
        api_key: tuple[str, ...] | None,
        api_base: str,
        public_url: str,
    ) -> None:
        self._account = f"{api_base.rstrip('/')}/2010-04-01/Accounts/{quote(account_sid, safe='')}"
        self._tokens = [(account_sid, token) for token in auth_tokens]
        self._credentials = api_key or self._tokens[0]
        self._voice_url = f"{public_url.rstrip('/')}/twilio/voice"

    def examine(self, now_s: float) -> Flow[list[Finding]]:
        """The account, each of its tokens, the clock, and where the numbers' calls go."""
        # By token, since a token signs webhooks; an API key may not read the account anyway.
        response = yield _get(f"{self._account}.json", self._tokens[0])
        findings = [_account(response)]
        if response.status:
            findings.append(examine_clock(response, now_s, tolerance_s=CLOCK_TOLERANCE_S))
        for token in self._tokens[1:]:
            answer = yield _get(f"{self._account}.json", token)
            findings.append(_secondary(answer))
        if response.status:
            findings += yield from self._examine_numbers()
        return findings

    def _examine_numbers(self) -> Flow[list[Finding]]:
        numbers, cut = yield from self._numbers()
        if cut is not None and not numbers:
            return [cut]
        findings = [*self._routes(numbers), *([cut] if cut else [])]
        return findings or [Finding("fail", "the account has no phone number", "get one")]

    def _numbers(
        self,
    ) -> Generator[HttpRequest, HttpResponse, tuple[list[_Number], Finding | None]]:
        """The account's numbers, and why these are not all of them."""
        url = f"{self._account}/IncomingPhoneNumbers.json"
        numbers: list[_Number] = []
        page_url = f"{url}?PageSize={PAGE_SIZE}"
        for _ in range(MOST_PAGES):
            response = yield _get(page_url, self._credentials)
            page = _decoded(response, _Page)
            if page is None:
                return numbers, Finding(
                    "fail", f"the numbers cannot be read: {explain(response)}", _advice(response)
                )
            numbers += page.incoming_phone_numbers
            following = _beside(url, page.next_page_uri)
            if following is None:
                return numbers, None
            page_url = following
        return numbers, Finding("note", f"only the first {len(numbers)} numbers were looked at")

    def _routes(self, numbers: list[_Number]) -> list[Finding]:
        """Where calls to the numbers go; a fault when certainly none of them comes here."""
        ours = [number for number in numbers if self._comes_here(number)]
        elsewhere = [number for number in numbers if not self._comes_here(number)]
        findings = [_our_number(number) for number in ours]
        findings += [_stranger(number) for number in elsewhere[:MOST_STRANGERS]]
        if len(elsewhere) > MOST_STRANGERS:
            more = len(elsewhere) - MOST_STRANGERS
            findings.append(Finding("note", f"{more} more numbers go elsewhere"))
        if elsewhere and not ours and not any(n.voice_application_sid for n in elsewhere):
            advice = f"set a number's voice URL to {self._voice_url} (POST)"
            findings.append(Finding("fail", "no number's voice URL is this service's", advice))
        return findings

    def _comes_here(self, number: _Number) -> bool:
        # A SIP trunk or an application has the say over the number's own URL.
        if number.voice_application_sid or number.trunk_sid:
            return False
        return _bare(number.voice_url) == self._voice_url


def _get(url: str, credentials: tuple[str, ...]) -> HttpRequest:
    key = b64encode(":".join(credentials).encode()).decode()
    return HttpRequest("GET", url, {"authorization": f"Basic {key}", "accept": "application/json"})


def _beside(url: str, next_page_uri: str | None) -> str | None:
    """The next page's URL, only if it is of the same list: our credentials go there."""
    here = urlsplit(url)
    if next_page_uri is None or not next_page_uri.startswith(f"{here.path}?"):
        return None
    return f"{here.scheme}://{here.netloc}{next_page_uri}"


def _bare(url: str | None) -> str:
    """Without query, fragment and user: what may be shown and is compared."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an unreadable URL"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


# What the answers mean -------------------------------------------------------------------------


def _account(response: HttpResponse) -> Finding:
    account = _decoded(response, _Account)
    if account is None:
        return Finding(
            "fail", f"the account cannot be read: {explain(response)}", _advice(response)
        )
    if account.status != "active":
        return Finding("fail", "the account is not active", "see the console's first page")
    if account.type == "Trial":
        return Finding("note", "the account is a trial: it dials verified numbers only")
    return Finding("ok", "the account and its auth token are accepted")


def _secondary(response: HttpResponse) -> Finding:
    if _decoded(response, _Account) is not None:
        return Finding("ok", "the secondary auth token is accepted")
    what = f"the secondary auth token proves nothing: {explain(response)}"
    return Finding("note", what, "unset TWILIO_AUTH_TOKEN_SECONDARY when the rotation is over")


def _our_number(number: _Number) -> Finding:
    if number.voice_method == "GET":
        what = f"number {number.phone_number} asks its voice URL by GET"
        return Finding("fail", what, "choose HTTP POST beside the voice URL")
    return Finding("ok", f"number {number.phone_number} comes here")


def _stranger(number: _Number) -> Finding:
    where = _bare(number.voice_url) or "nowhere"
    if number.voice_application_sid:
        where = "to a TwiML application, whose voice URL was not looked at"
    elif number.trunk_sid:
        where = "to a SIP trunk"
    return Finding("note", f"number {number.phone_number} goes elsewhere: {where}")


def _advice(response: HttpResponse) -> str:
    if response.status in (401, 403):
        return "check TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and the TWILIO_API_KEY_ pair"
    if response.status == 404:
        return "check TWILIO_ACCOUNT_SID and TWILIO_API_BASE"
    return "check TWILIO_API_BASE and the way to it"


def _decoded(response: HttpResponse, kind: type[T]) -> T | None:
    if response.status != 200:
        return None
    try:
        return msgspec.json.decode(response.body, type=kind)
    except (msgspec.DecodeError, RecursionError):
        return None
