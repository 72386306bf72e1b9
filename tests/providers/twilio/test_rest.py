"""Conversations with Twilio's REST API, held by hand: what we ask, and what its answers mean."""

import json
from base64 import b64decode
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import parse_qs
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twilio.base.version import Version
from twilio.rest import Client
from twilio.rest.api.v2010.account.call import CallInstance
from twilio.twiml.voice_response import Dial, VoiceResponse

from providers.base import Flow, HttpRequest, HttpResponse
from providers.twilio.rest import TwilioRest
from service.core.calls import Call, CallId, CallState, Direction
from service.core.errors import (
    CallGone,
    CarrierDown,
    CarrierSilent,
    CredentialsRefused,
    NumberRefused,
    RateLimited,
    RestError,
    UnknownCall,
)

T = TypeVar("T")

ACCOUNT = "AC99999999999999999999999999999999"
CALL_SID = "CA01010101010101010101010101010101"
CALL = Call(
    call_id=CallId("call_1"),
    provider="twilio",
    provider_call_id=None,
    direction=Direction.OUTBOUND,
    state=CallState.QUEUED,
    to="+14155550199",
    from_="+14155550123",
    agent="default",
    created_at=datetime(2026, 9, 1, tzinfo=UTC),
)
LIVE = replace(CALL, provider_call_id=CALL_SID)
REST = TwilioRest(
    account_sid=ACCOUNT,
    credentials=("SK1", "secret"),
    api_base="https://api.example.org/",
    callback=lambda path, call_id: f"https://bridge.example.org/twilio/{path}?call_id={call_id}",
)
STREAM = "wss://bridge.example.org/twilio/stream/t"


def answered(status: int, body: object, **headers: str) -> HttpResponse:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpResponse(status, headers, text)


def resource(**changed: Any) -> dict[str, Any]:
    return {
        "sid": CALL_SID,
        "account_sid": ACCOUNT,
        "status": "queued",
        "direction": "outbound-api",
        "to": "+14155550199",
        "from": "+14155550123",
        "duration": None,
        "queue_time": "0",
        "subresource_uris": {},
        **changed,
    }


def fault(status: int, code: int | str, **more: Any) -> HttpResponse:
    body = {
        "code": code,
        "message": "The 'To' number +14155550199 is not a valid phone number.",
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
        **more,
    }
    return answered(status, body)


def run(flow: Flow[T], response: HttpResponse) -> tuple[HttpRequest, T]:
    """A flow that asks once."""
    request = next(flow)
    with pytest.raises(StopIteration) as end:
        flow.send(response)
    return request, end.value.value


def fail(flow: Flow[Any], response: HttpResponse) -> RestError:
    next(flow)
    with pytest.raises(RestError) as failure:
        flow.send(response)
    return failure.value


def form(request: HttpRequest) -> dict[str, list[str]]:
    return parse_qs(request.body.decode(), keep_blank_values=True)


# Dialling --------------------------------------------------------------------------------------


def test_place_dials_and_names_the_call() -> None:
    request, sid = run(REST.place(CALL, STREAM), answered(201, resource()))
    assert sid == CALL_SID
    assert request.method == "POST"
    assert request.url == f"https://api.example.org/2010-04-01/Accounts/{ACCOUNT}/Calls.json"
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    scheme, _, credentials = request.headers["authorization"].partition(" ")
    assert (scheme, b64decode(credentials)) == ("Basic", b"SK1:secret")
    assert form(request) == {
        "To": ["+14155550199"],
        "From": ["+14155550123"],
        "Url": ["https://bridge.example.org/twilio/voice?call_id=call_1"],
        "Method": ["POST"],
        "StatusCallback": ["https://bridge.example.org/twilio/status?call_id=call_1"],
        "StatusCallbackMethod": ["POST"],
        "StatusCallbackEvent": ["initiated", "ringing", "answered", "completed"],
    }


@pytest.mark.parametrize(
    ("ring_s", "timeout", "most_s", "limit"),
    [(30, "30", 600, "600"), (0, "1", 1, "60"), (10_000, "600", 10**6, "86400")],
)
def test_time_limits_are_given_to_the_carrier_within_its_bounds(
    ring_s: int, timeout: str, most_s: int, limit: str
) -> None:
    call = replace(CALL, ring_timeout_s=ring_s, max_duration_s=most_s)
    sent = form(next(REST.place(call, STREAM)))
    assert (sent["Timeout"], sent["TimeLimit"]) == ([timeout], [limit])


def test_a_call_to_be_recorded_says_where_to_tell_of_it() -> None:
    sent = form(next(REST.place(replace(CALL, record=True), STREAM)))
    assert sent["Record"] == ["true"]
    assert sent["RecordingStatusCallback"] == [
        "https://bridge.example.org/twilio/recording?call_id=call_1"
    ]


def test_what_we_send_is_what_the_sdk_would_send() -> None:
    seen: dict[str, Any] = {}

    class Recorder:
        def request(self, method: str, url: str, **kwargs: Any) -> Any:
            seen.update(method=method, url=url, data=kwargs["data"])
            raise ConnectionError

    call = replace(CALL, ring_timeout_s=30, max_duration_s=600, record=True)
    client = Client("SK1", "secret", ACCOUNT, http_client=Recorder())
    with pytest.raises(ConnectionError):
        client.calls.create(
            to=call.to,
            from_=call.from_,
            url="https://bridge.example.org/twilio/voice?call_id=call_1",
            method="POST",
            status_callback="https://bridge.example.org/twilio/status?call_id=call_1",
            status_callback_method="POST",
            status_callback_event=["initiated", "ringing", "answered", "completed"],
            timeout=30,
            time_limit=600,
            record=True,
            recording_channels="dual",
            recording_status_callback="https://bridge.example.org/twilio/recording?call_id=call_1",
            recording_status_callback_method="POST",
            recording_status_callback_event=["completed absent"],
        )
    request = next(REST.place(call, STREAM))
    theirs = {
        name: [str(v).lower() if isinstance(v, bool) else str(v) for v in values]
        for name, value in seen["data"].items()
        for values in [value if isinstance(value, list) else [value]]
    }
    assert form(request) == theirs
    assert request.url.removeprefix("https://api.example.org") == seen["url"].removeprefix(
        "https://api.twilio.com"
    )


def test_the_sdk_reads_the_resource_that_these_tests_answer_with() -> None:
    client = Client("SK1", "secret", ACCOUNT)
    version: Version = client.api.v2010
    assert CallInstance(version, resource(), account_sid=ACCOUNT).sid == CALL_SID


def test_a_uuid_names_a_call_as_well() -> None:
    sid = "0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f"
    assert run(REST.place(CALL, STREAM), answered(201, resource(sid=sid)))[1] == sid


# Hanging up ------------------------------------------------------------------------------------


def test_hang_up_completes_the_call() -> None:
    request, _ = run(REST.hang_up(LIVE), answered(200, resource(status="completed")))
    account = f"https://api.example.org/2010-04-01/Accounts/{ACCOUNT}"
    assert request.url == f"{account}/Calls/{CALL_SID}.json"
    assert form(request) == {"Status": ["completed"]}


@pytest.mark.parametrize(("status", "code"), [(404, 20404), (400, 21220)])
def test_hanging_up_a_call_that_is_over_finds_it_gone(status: int, code: int) -> None:
    failure = fail(REST.hang_up(LIVE), fault(status, code))
    assert isinstance(failure, CallGone)
    assert failure.code == f"twilio.{code}"


def test_a_web_page_that_says_404_does_not_mean_that_the_call_is_over() -> None:
    failure = fail(REST.hang_up(LIVE), answered(404, b"<html>not here</html>"))
    assert isinstance(failure, CarrierDown)


def test_a_call_without_a_name_cannot_be_hung_up() -> None:
    with pytest.raises(UnknownCall):
        next(REST.hang_up(CALL))


# Refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("response", "kind", "code"),
    [
        (fault(400, 21211), NumberRefused, "twilio.21211"),
        (fault(400, 21210), NumberRefused, "twilio.21210"),
        (fault(400, 21215), NumberRefused, "twilio.21215"),
        (fault(400, 573005), NumberRefused, "twilio.573005"),
        (fault(400, 21205), RestError, "twilio.21205"),
        (fault(404, 20404), RestError, "twilio.20404"),
        (fault(401, 20003, detail="x"), CredentialsRefused, "twilio.20003"),
        (fault(401, 70004), CredentialsRefused, "twilio.70004"),
        (fault(403, 403), CredentialsRefused, "twilio.403"),
        (fault(429, 20429), RateLimited, "twilio.20429"),
        (fault(500, 20500), CarrierDown, "twilio.20500"),
        (
            answered(400, {"type": "about:blank", "title": "x", "status": 400, "code": "21211"}),
            NumberRefused,
            "twilio.21211",
        ),
        (answered(401, b"<html>"), CredentialsRefused, "twilio.unreadable"),
        (answered(429, b"<html>"), RateLimited, "twilio.unreadable"),
        (answered(503, b"<html>"), CarrierDown, "twilio.unreadable"),
        (answered(400, b"<html>"), CarrierDown, "twilio.unreadable"),
        (answered(400, {"code": "+1 415 555 0199"}), CarrierDown, "twilio.unreadable"),
        (answered(302, b""), CarrierDown, "twilio.unreadable"),
        (answered(200, b"<html>"), CarrierDown, "twilio.unreadable"),
        (answered(201, b"[" * 100_000), CarrierDown, "twilio.unreadable"),
        (answered(201, {}), CarrierDown, "twilio.unreadable"),
        (answered(201, {"sid": "../x"}), CarrierDown, "twilio.unreadable"),
        (HttpResponse(0, detail="ReadTimeout"), CarrierSilent, "twilio.timeout"),
    ],
)
def test_every_refusal_has_its_class_and_code_and_names_no_number(
    response: HttpResponse, kind: type[RestError], code: str
) -> None:
    failure = fail(REST.place(CALL, STREAM), response)
    assert type(failure) is kind
    assert (failure.code, failure.status) == (code, response.status)
    assert "0199" not in str(failure)


@pytest.mark.parametrize("status", [0, 500, 503, 200])
def test_what_may_have_been_dialled_is_not_to_be_dialled_again(status: int) -> None:
    assert not fail(REST.place(CALL, STREAM), answered(status, b"")).retryable


@pytest.mark.parametrize("status", [0, 500, 503, 429])
def test_a_hang_up_may_be_tried_again(status: int) -> None:
    assert fail(REST.hang_up(LIVE), answered(status, b"")).retryable


@pytest.mark.parametrize(
    ("hint", "waits_ms"),
    [("7", 7000), ("0", 1000), ("", 1000), ("soon", 1000), ("٣", 1000), ("9" * 9, 3_600_000)],
)
def test_a_rate_limit_says_how_long_to_wait(hint: str, waits_ms: int) -> None:
    response = answered(429, {"code": 20429}, **{"retry-after": hint})
    failure = fail(REST.place(CALL, STREAM), response)
    assert isinstance(failure, RateLimited)
    assert failure.retry_after_ms == waits_ms


@given(st.integers(100, 599), st.binary(max_size=50))
def test_any_answer_to_dialling_is_a_name_or_a_typed_error(status: int, body: bytes) -> None:
    flow = REST.place(CALL, STREAM)
    next(flow)
    with pytest.raises(RestError):
        flow.send(HttpResponse(status, {}, body))


# Handing over ----------------------------------------------------------------------------------


def dialled(call: Call, to: str) -> ElementTree.Element:
    request, _ = run(REST.transfer(call, to), answered(200, resource(status="in-progress")))
    assert request.url.endswith(f"/Calls/{CALL_SID}.json")
    [(name, [document])] = form(request).items()
    assert name == "Twiml"
    return ElementTree.fromstring(document)


def test_a_transfer_is_the_twiml_that_the_sdk_would_write() -> None:
    theirs = VoiceResponse()
    dial = Dial(
        caller_id="+14155550123",
        answer_on_bridge=True,
        timeout=30,
        time_limit=600,
        action="https://bridge.example.org/twilio/dial-done?call_id=call_1",
        method="POST",
    )
    dial.number(
        "+14155550100",
        status_callback="https://bridge.example.org/twilio/dial-status?call_id=call_1",
        status_callback_method="POST",
        status_callback_event="completed",
    )
    theirs.append(dial)
    ours = dialled(replace(LIVE, max_duration_s=600), "+14155550100")
    wanted = ElementTree.fromstring(str(theirs))
    assert ElementTree.canonicalize(ElementTree.tostring(ours)) == ElementTree.canonicalize(
        ElementTree.tostring(wanted)
    )


@pytest.mark.parametrize(("most_s", "limit"), [(60, "60"), (10**6, "86400"), (None, None)])
def test_a_transfer_lasts_no_longer_than_a_call_may(most_s: int | None, limit: str | None) -> None:
    ours = dialled(replace(LIVE, max_duration_s=most_s), "+14155550100")
    assert ours[0].get("timeLimit") == limit


def test_who_is_called_by_transfer_sees_a_number_of_ours() -> None:
    came_in = replace(LIVE, direction=Direction.INBOUND, to="+14155550123", from_="+525512345678")
    assert dialled(came_in, "+14155550100")[0].get("callerId") == "+14155550123"
    assert "callerId" not in dialled(replace(came_in, to=""), "+14155550100")[0].attrib


def test_a_call_that_is_over_cannot_be_handed_over() -> None:
    assert isinstance(fail(REST.transfer(LIVE, "+14155550100"), fault(404, 20404)), CallGone)


@pytest.mark.parametrize("status", [0, 500, 503])
def test_a_transfer_that_may_have_been_ordered_is_not_ordered_again(status: int) -> None:
    assert not fail(REST.transfer(LIVE, "+14155550100"), HttpResponse(status)).retryable


# Machines --------------------------------------------------------------------------------------


def test_who_picked_up_is_found_out_while_the_agent_talks() -> None:
    asked = form(next(REST.place(replace(CALL, detect_machine=True), STREAM)))
    assert asked["MachineDetection"] == ["DetectMessageEnd"]
    assert asked["AsyncAmd"] == ["true"]
    assert asked["AsyncAmdStatusCallback"] == [
        "https://bridge.example.org/twilio/amd?call_id=call_1"
    ]
    assert "MachineDetection" not in form(next(REST.place(CALL, STREAM)))
