"""A Call Control application examined by hand: what is asked, as the SDK would, what is found."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from telnyx import Telnyx
from telnyx.types.call_control_application import CallControlApplication

from providers.base import Finding, Flow, HttpRequest, HttpResponse
from providers.telnyx.doctor import MOST_PAGES, TelnyxDoctor

CONNECTION = "1000000000000000001"
HERE = "https://bridge.example/telnyx/webhook"
DATE = "Thu, 01 Jan 2026 00:00:00 GMT"
NOW_S = 1_767_225_600.0  # the same moment
APPLICATION: dict[str, Any] = {
    "id": CONNECTION,
    "record_type": "call_control_application",
    "active": True,
    "application_name": "callbridge",
    "webhook_api_version": "2",
    "webhook_event_url": HERE,
    "outbound": {"outbound_voice_profile_id": "1293384261075731499", "channel_limit": None},
}


def doctor() -> TelnyxDoctor:
    return TelnyxDoctor(
        api_key="KEY0",
        connection_id=CONNECTION,
        api_base="https://api.telnyx.com/v2/",
        webhook_url=HERE,
    )


def answer(body: object, status: int = 200, date: str = DATE) -> HttpResponse:
    return HttpResponse(status, {"date": date}, json.dumps(body).encode())


def application(**changes: object) -> HttpResponse:
    return answer({"data": APPLICATION | changes})


def page(*statuses: str, total_pages: int = 1) -> HttpResponse:
    numbers = [{"id": "1", "phone_number": "+15550100001", "status": s} for s in statuses]
    return answer({"data": numbers, "meta": {"page_number": 1, "total_pages": total_pages}})


def refusal(status: int, code: str) -> HttpResponse:
    return answer({"errors": [{"code": code, "title": "T", "detail": "KEY0 is bad"}]}, status)


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


def faults(*responses: HttpResponse) -> list[Finding]:
    return [finding for finding in found(*responses) if finding.grade == "fail"]


def test_everything_is_right() -> None:
    findings = found(application(), page("active", "active"))
    assert {finding.grade for finding in findings} == {"ok"}
    assert "+15550100001 comes here" in findings[-1].what


def test_the_requests_are_the_official_sdks() -> None:
    asked: list[httpx.Request] = []

    def reply(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        shown = page("active") if "phone_numbers" in request.url.path else application()
        return httpx.Response(200, json=json.loads(shown.body))

    http = httpx.Client(transport=httpx.MockTransport(reply))
    with Telnyx(api_key="KEY0", http_client=http) as client:
        client.call_control_applications.retrieve(CONNECTION)
        client.phone_numbers.list(
            filter={"connection_id": CONNECTION}, page_number=1, page_size=100
        )
    requests, _ = examine(doctor().examine(NOW_S), application(), page("active"))
    for ours, theirs in zip(requests, asked, strict=True):
        url = urlsplit(ours.url)
        assert ours.method == theirs.method
        assert f"{url.scheme}://{url.netloc}{url.path}" == str(theirs.url.copy_with(query=None))
        assert parse_qs(url.query) == parse_qs(theirs.url.query.decode())
        assert ours.headers["authorization"] == theirs.headers["authorization"]


def test_the_sample_is_what_the_sdk_reads() -> None:
    read = CallControlApplication.model_validate(APPLICATION, strict=True)
    assert read.outbound is not None
    assert read.outbound.outbound_voice_profile_id == "1293384261075731499"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"active": False}, "not active"),
        ({"active": None}, "not active"),
        ({"webhook_event_url": "https://elsewhere.example/telnyx/webhook"}, "webhook URL"),
        ({"webhook_event_url": HERE + "/"}, "webhook URL"),
        ({"webhook_event_url": None}, "webhook URL"),
        ({"webhook_api_version": "1"}, "API version 2"),
        ({"outbound": None}, "outbound voice profile"),
        ({"outbound": {"outbound_voice_profile_id": None}}, "outbound voice profile"),
        ({"outbound": {"outbound_voice_profile_id": ""}}, "outbound voice profile"),
    ],
)
def test_each_wrong_setting_is_one_fault_with_advice(
    changes: dict[str, object], words: str
) -> None:
    (fault,) = faults(application(**changes), page("active"))
    assert words in fault.what
    assert fault.advice


def test_the_webhook_url_may_choose_an_agent() -> None:
    assert not faults(application(webhook_event_url=f"{HERE}?agent=menu"), page("active"))


@pytest.mark.parametrize(
    ("response", "words", "advice"),
    [
        (refusal(401, "10009"), "credentials are refused", "TELNYX_API_KEY"),
        (refusal(403, "10010"), "credentials are refused", "TELNYX_API_KEY"),
        (refusal(404, "10005"), "HTTP 404", "TELNYX_CONNECTION_ID"),
        (HttpResponse(502, {"date": DATE}, b"<html>"), "HTTP 502", "TELNYX_API_BASE"),
        (HttpResponse(200, {"date": DATE}, b"<html>Log in</html>"), "HTTP 200", "TELNYX_API_BASE"),
        (HttpResponse(200, {"date": DATE}, b"[" * 60_000), "HTTP 200", "TELNYX_API_BASE"),
        (HttpResponse(0, detail="ConnectError"), "ConnectError", "TELNYX_API_BASE"),
    ],
)
def test_an_application_that_cannot_be_read_is_the_only_fault(
    response: HttpResponse, words: str, advice: str
) -> None:
    (fault,) = faults(response)
    assert words in fault.what
    assert advice in fault.advice
    assert "KEY0" not in fault.what + fault.advice


@pytest.mark.parametrize(
    ("skew_s", "well"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)]
)
def test_the_clock_may_be_as_far_off_as_a_webhooks_timestamp(skew_s: int, well: bool) -> None:
    flow = doctor().examine(NOW_S + skew_s)
    _, findings = examine(flow, application(), page("active"))
    assert all(finding.grade == "ok" for finding in findings) == well


def test_a_number_that_does_not_work_yet_is_noted() -> None:
    findings = found(application(), page("active", "port-pending"))
    assert [finding.grade for finding in findings[-2:]] == ["ok", "note"]


def test_an_application_without_a_number_is_a_fault() -> None:
    (fault,) = faults(application(), page())
    assert "no phone number" in fault.what


def test_numbers_that_cannot_be_read_are_a_fault() -> None:
    (fault,) = faults(application(), refusal(403, "10010"))
    assert "numbers cannot be read" in fault.what


def test_the_pages_are_followed_to_a_limit() -> None:
    requests, findings = examine(
        doctor().examine(NOW_S), application(), page("active", total_pages=2), page("active")
    )
    assert "page%5Bnumber%5D=2" in requests[2].url
    assert len([finding for finding in findings if "comes here" in finding.what]) == 2
    many = found(application(), *[page("active", total_pages=99)] * MOST_PAGES)
    assert "only the first" in many[-1].what
