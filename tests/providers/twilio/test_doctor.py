"""An account examined by hand: what is asked, as the official SDK would, and what is found."""

import json
from base64 import b64decode
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from twilio.http.response import Response
from twilio.rest import Client

from providers.base import Finding, Flow, HttpRequest, HttpResponse
from providers.twilio.doctor import MOST_PAGES, TwilioDoctor

ACCOUNT = "AC99999999999999999999999999999999"
TOKEN = "t0k3n"
HERE = "https://bridge.example.org/twilio/voice"
DATE = "Tue, 01 Sep 2026 12:00:00 GMT"
NOW_S = 1_788_264_000.0  # the same moment
LIST = f"/2010-04-01/Accounts/{ACCOUNT}/IncomingPhoneNumbers.json"


def doctor(
    *, tokens: tuple[str, ...] = (TOKEN,), api_key: tuple[str, str] | None = None
) -> TwilioDoctor:
    return TwilioDoctor(
        account_sid=ACCOUNT,
        auth_tokens=tokens,
        api_key=api_key,
        api_base="https://api.twilio.com",
        public_url="https://bridge.example.org",
    )


def answer(body: object, status: int = 200, date: str = DATE) -> HttpResponse:
    return HttpResponse(status, {"date": date}, json.dumps(body).encode())


def account(status: str = "active", kind: str = "Full") -> HttpResponse:
    return answer({"sid": ACCOUNT, "status": status, "type": kind, "friendly_name": "Acme"})


def number(voice_url: str | None = HERE, **fields: object) -> dict[str, object]:
    defaults = {"phone_number": "+14155550123", "voice_url": voice_url, "voice_method": "POST"}
    return {"sid": "PN1", "voice_application_sid": None, "trunk_sid": None} | defaults | fields


def page(*numbers: dict[str, object], following: str | None = None) -> HttpResponse:
    return answer({"incoming_phone_numbers": numbers, "next_page_uri": following, "page": 0})


REFUSED = answer({"code": 20003, "message": "Authenticate", "status": 401}, 401)


def examine(
    flow: Flow[list[Finding]], *responses: HttpResponse
) -> tuple[list[HttpRequest], list[Finding]]:
    """What is asked when these are the answers, and what is found; they must be just enough."""
    requests = [next(flow)]
    for place, response in enumerate(responses):
        try:
            requests.append(flow.send(response))
        except StopIteration as done:
            assert place == len(responses) - 1
            return requests, done.value
    raise AssertionError("more was asked than is answered here")


def found(*responses: HttpResponse) -> list[Finding]:
    return examine(doctor().examine(NOW_S), *responses)[1]


def key_of(request: HttpRequest) -> bytes:
    return b64decode(request.headers["authorization"].removeprefix("Basic "))


def test_everything_is_right() -> None:
    findings = found(account(), page(number()))
    assert [finding.grade for finding in findings] == ["ok", "ok", "ok"]
    assert "+14155550123 comes here" in findings[2].what


class Recorder:
    """Answers the SDK like an account with one number, and keeps what it asks."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], tuple[str, str]]] = []

    def request(self, method: str, uri: str, **kwargs: Any) -> Response:
        params = {k: str(v) for k, v in (kwargs.get("params") or {}).items()}
        self.asked.append((method, uri, params, kwargs["auth"]))
        shown = page(number()) if "IncomingPhoneNumbers" in uri else account()
        return Response(200, shown.body.decode())


def test_the_requests_are_the_official_sdks() -> None:
    recorder = Recorder()
    client = Client(ACCOUNT, TOKEN, http_client=recorder)
    client.api.v2010.accounts(ACCOUNT).fetch()
    client.incoming_phone_numbers.page(page_size=100)
    requests, _ = examine(doctor().examine(NOW_S), account(), page(number()))
    asked = []
    for request in requests:
        name, _, secret = key_of(request).decode().partition(":")
        url = urlsplit(request.url)
        bare = f"{url.scheme}://{url.netloc}{url.path}"
        asked.append((request.method, bare, dict(parse_qsl(url.query)), (name, secret)))
    theirs = [
        (method, uri, {k: v for k, v in params.items() if v.isdecimal()}, auth)
        for method, uri, params, auth in recorder.asked
    ]
    assert asked == theirs


def test_the_token_is_tried_even_when_an_api_key_does_the_work() -> None:
    flow = doctor(api_key=("SK1", "secret")).examine(NOW_S)
    requests, _ = examine(flow, account(), page(number()))
    assert [key_of(request) for request in requests] == [
        f"{ACCOUNT}:{TOKEN}".encode(),
        b"SK1:secret",
    ]


def test_a_secondary_token_that_is_refused_is_worth_a_note() -> None:
    flow = doctor(tokens=(TOKEN, "second")).examine(NOW_S)
    requests, findings = examine(flow, account(), REFUSED, page(number()))
    assert key_of(requests[1]) == f"{ACCOUNT}:second".encode()
    assert [finding.grade for finding in findings] == ["ok", "ok", "note", "ok"]


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (REFUSED, "credentials are refused"),
        (answer({"code": 20404}, 404), "HTTP 404"),
        (HttpResponse(502, {"date": DATE}, b"<html>Bad gateway</html>"), "HTTP 502"),
        (HttpResponse(200, {"date": DATE}, b"<html>Log in</html>"), "HTTP 200"),
        (HttpResponse(200, {"date": DATE}, b"[" * 60_000), "HTTP 200"),
    ],
)
def test_an_account_that_cannot_be_read_is_a_fault_with_advice(
    response: HttpResponse, words: str
) -> None:
    first = found(response, page(number()))[0]
    assert first.grade == "fail"
    assert words in first.what
    assert first.advice


def test_without_any_answer_nothing_more_is_asked() -> None:
    (only,) = found(HttpResponse(0, detail="ConnectError"))
    assert only.grade == "fail"
    assert "ConnectError" in only.what


@pytest.mark.parametrize(("status", "grade"), [("suspended", "fail"), ("closed", "fail")])
def test_an_account_that_was_closed_is_a_fault(status: str, grade: str) -> None:
    assert found(account(status), page(number()))[0].grade == grade


def test_a_trial_account_is_told_about() -> None:
    first = found(account(kind="Trial"), page(number()))[0]
    assert first.grade == "note"
    assert "verified numbers" in first.what


@pytest.mark.parametrize(
    ("skew_s", "grade"), [(0, "ok"), (60, "ok"), (-60, "ok"), (61, "fail"), (-61, "fail")]
)
def test_a_clock_more_than_a_minute_off_is_a_fault(skew_s: int, grade: str) -> None:
    flow = doctor().examine(NOW_S + skew_s)
    assert examine(flow, account(), page(number()))[1][1].grade == grade


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_an_answer_without_a_date_proves_nothing_about_the_clock(date: str) -> None:
    response = HttpResponse(200, {"date": date}, account().body)
    assert found(response, page(number()))[1].grade == "note"


@pytest.mark.parametrize(
    "voice_url", [HERE, HERE + "?agent=receptionist", HERE + "#rc=2", HERE + "?agent=a#rt=5"]
)
def test_a_number_may_choose_an_agent_and_tune_the_connection(voice_url: str) -> None:
    assert found(account(), page(number(voice_url)))[2].grade == "ok"


@pytest.mark.parametrize(
    "fields",
    [
        {"voice_url": "https://demo.example.com/welcome"},
        {"voice_url": "http://bridge.example.org/twilio/voice"},
        {"voice_url": HERE + "/"},
        {"voice_url": HERE + "mail"},
        {"voice_url": ""},
        {"voice_url": None},
        {"voice_url": "http://[broken"},
        {"trunk_sid": "TK1"},
    ],
)
def test_a_number_that_goes_elsewhere_is_noted_and_none_left_is_a_fault(
    fields: dict[str, object],
) -> None:
    note, fault = found(account(), page(number() | fields))[2:]
    assert (note.grade, fault.grade) == ("note", "fail")
    assert HERE in fault.advice


def test_a_number_elsewhere_does_no_harm_beside_one_that_comes_here() -> None:
    elsewhere = number("https://user:s3cret@demo.example.com/a?key=s3cret")
    findings = found(account(), page(number(), elsewhere))[2:]
    assert [finding.grade for finding in findings] == ["ok", "note"]
    assert "https://demo.example.com/a" in findings[1].what
    assert "s3cret" not in findings[1].what


def test_what_an_application_does_is_not_known_so_it_is_no_fault() -> None:
    findings = found(account(), page(number(voice_application_sid="AP1")))[2:]
    assert [finding.grade for finding in findings] == ["note"]


def test_a_voice_url_asked_by_get_would_not_be_answered() -> None:
    assert found(account(), page(number(voice_method="GET")))[2].grade == "fail"


def test_an_account_without_a_number_is_a_fault() -> None:
    assert found(account(), page())[2].grade == "fail"


def test_numbers_that_cannot_be_read_are_a_fault() -> None:
    assert found(account(), REFUSED)[2].grade == "fail"


def test_the_pages_are_followed() -> None:
    following = f"{LIST}?PageSize=100&Page=1&PageToken=PAPN1"
    elsewhere = page(number("https://demo.example.com/"), following=following)
    requests, findings = examine(doctor().examine(NOW_S), account(), elsewhere, page(number()))
    assert requests[2].url == f"https://api.twilio.com{following}"
    assert [finding.grade for finding in findings[2:]] == ["ok", "note"]


@pytest.mark.parametrize(
    "following", ["@evil.example/", "//evil.example/", "https://evil.example/", "/2010-04-01/x?"]
)
def test_our_credentials_go_nowhere_but_to_the_list(following: str) -> None:
    requests, _ = examine(doctor().examine(NOW_S), account(), page(number(), following=following))
    assert len(requests) == 2


def test_an_account_with_very_many_numbers_is_looked_at_in_part() -> None:
    following = f"{LIST}?Page=9"
    pages = [page(*[number("")] * 100, following=following)] * MOST_PAGES
    findings = found(account(), *pages)
    assert "only the first 1000" in findings[-1].what
    assert len(findings) < 20


def test_no_secret_is_in_what_is_found() -> None:
    for responses in ([REFUSED, REFUSED], [account(), page(number(""))]):
        assert TOKEN not in " ".join(f.what + f.advice for f in found(*responses))
