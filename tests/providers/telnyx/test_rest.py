"""Commands to Telnyx: their bodies against the official SDK's types, and what answers mean."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pydantic
import pytest
from telnyx.types.call_dial_params import CallDialParams
from telnyx.types.calls.action_answer_params import ActionAnswerParams
from telnyx.types.calls.action_hangup_params import ActionHangupParams
from telnyx.types.calls.action_reject_params import ActionRejectParams
from telnyx.types.calls.action_send_dtmf_params import ActionSendDtmfParams
from telnyx.types.calls.action_start_streaming_params import ActionStartStreamingParams
from telnyx.types.calls.action_stop_streaming_params import ActionStopStreamingParams
from telnyx.types.calls.action_transfer_params import ActionTransferParams

from providers.base import Flow, HttpRequest, HttpResponse
from providers.telnyx import client_state
from providers.telnyx.rest import TelnyxRest
from service.core.calls import Call, CallId, CallState, Direction
from service.core.errors import (
    BridgeError,
    CallGone,
    CarrierDown,
    CarrierSilent,
    CredentialsRefused,
    NumberRefused,
    RateLimited,
    RestError,
    UnknownCall,
)

STREAM_URL = "wss://bridge.example/telnyx/stream/t0k3n"
CALL = Call(
    call_id=CallId("call_01J9"),
    provider="telnyx",
    provider_call_id="v3:AbC/d+e",
    direction=Direction.OUTBOUND,
    state=CallState.QUEUED,
    to="+15550100002",
    from_="+15550100001",
    agent="receptionist",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)
DIALED = b'{"data":{"record_type":"call","call_control_id":"v3:AbC","is_alive":false}}'
OK = HttpResponse(200, {}, b'{"data":{"result":"ok"}}')


def new_rest() -> TelnyxRest:
    return TelnyxRest(
        api_key="KEY0",
        connection_id="1000000000000000001",
        api_base="https://api.telnyx.com/v2",
        webhook_url="https://bridge.example/telnyx/webhook",
    )


def drive(flow: Flow[Any], *responses: HttpResponse) -> tuple[list[HttpRequest], Any]:
    """The requests of a flow that is sent these responses, and what it returns or raises."""
    requests = []
    waiting = list(responses)
    try:
        request = next(flow)
        while True:
            requests.append(request)
            if not waiting:
                return requests, None
            request = flow.send(waiting.pop(0))
    except StopIteration as done:
        return requests, done.value
    except BridgeError as error:
        return requests, error


def body_of(request: HttpRequest) -> dict[str, Any]:
    body = json.loads(request.body)
    assert isinstance(body, dict)
    return body


def asked(flow: Flow[Any]) -> dict[str, Any]:
    return body_of(drive(flow)[0][0])


def refusal(status: int, code: object, **more: object) -> HttpResponse:
    error = {"code": code, "title": "T", "detail": "about +15550100002", **more}
    return HttpResponse(status, {}, json.dumps({"errors": [error]}).encode())


def assert_known_to_sdk(body: dict[str, Any], params: Any) -> None:
    """Every key is one of the SDK's, and every value of its type."""
    named = {"from_" if key == "from" else key: value for key, value in body.items()}
    assert set(named) <= set(params.__annotations__)
    pydantic.TypeAdapter(params).validate_python(named)


# Bodies ----------------------------------------------------------------------------------------


def test_dialling_asks_for_two_way_sound_on_this_leg() -> None:
    (request,), _ = drive(new_rest().place(CALL, STREAM_URL))
    assert (request.method, request.url) == ("POST", "https://api.telnyx.com/v2/calls")
    assert request.headers["authorization"] == "Bearer KEY0"
    assert request.headers["content-type"] == "application/json"
    body = body_of(request)
    assert_known_to_sdk(body, CallDialParams)
    assert body == {
        "connection_id": "1000000000000000001",
        "to": "+15550100002",
        "from": "+15550100001",
        "client_state": base64.b64encode(b'{"call_id":"call_01J9"}').decode(),
        "command_id": body["command_id"],
        "webhook_url": "https://bridge.example/telnyx/webhook",
        "webhook_url_method": "POST",
        "stream_url": STREAM_URL,
        "stream_track": "inbound_track",
        "stream_codec": "PCMU",
        "stream_bidirectional_mode": "rtp",
        "stream_bidirectional_codec": "PCMU",
        "stream_bidirectional_target_legs": "self",
        "stream_bidirectional_sampling_rate": 8000,
        "stream_auth_token": "t0k3n",
        "send_silence_when_idle": True,
    }


def test_dialling_returns_the_call_control_id() -> None:
    requests, result = drive(new_rest().place(CALL, STREAM_URL), HttpResponse(200, {}, DIALED))
    assert len(requests) == 1
    assert result == "v3:AbC"


@pytest.mark.parametrize(
    ("given", "sent"),
    [((1, 1), (5, 60)), ((30, 600), (30, 600)), ((3600, 86_400), (600, 14_400))],
)
def test_time_limits_are_kept_within_what_telnyx_takes(
    given: tuple[int, int], sent: tuple[int, int]
) -> None:
    call = msgspec.structs.replace(CALL, ring_timeout_s=given[0], max_duration_s=given[1])
    body = asked(new_rest().place(call, STREAM_URL))
    assert_known_to_sdk(body, CallDialParams)
    assert (body["timeout_secs"], body["time_limit_secs"]) == sent


@pytest.mark.parametrize(
    ("command", "params"),
    [
        (lambda rest, call: rest.place(call, STREAM_URL), CallDialParams),
        (lambda rest, call: rest.answer(call, STREAM_URL), ActionAnswerParams),
    ],
)
def test_a_call_is_recorded_only_when_asked_to(
    command: Callable[[TelnyxRest, Call], Flow[Any]], params: Any
) -> None:
    assert not any(key.startswith("record") for key in asked(command(new_rest(), CALL)))
    body = asked(command(new_rest(), msgspec.structs.replace(CALL, record=True)))
    assert_known_to_sdk(body, params)
    assert body["record"] == "record-from-answer"


def test_answering_opens_the_socket_in_the_same_step() -> None:
    (request,), _ = drive(new_rest().answer(CALL, STREAM_URL))
    assert request.url == "https://api.telnyx.com/v2/calls/v3%3AAbC%2Fd%2Be/actions/answer"
    body = body_of(request)
    assert_known_to_sdk(body, ActionAnswerParams)
    assert body["stream_url"] == STREAM_URL
    assert body["stream_bidirectional_mode"] == "rtp"
    assert body["stream_bidirectional_target_legs"] == "self"
    assert "stream_auth_token" not in body  # `answer` does not take it


@pytest.mark.parametrize(
    ("command", "action", "params"),
    [
        (lambda rest: rest.hang_up(CALL), "hangup", ActionHangupParams),
        (lambda rest: rest.drop("v3:AbC/d+e"), "hangup", ActionHangupParams),
        (lambda rest: rest.reject("v3:AbC/d+e"), "reject", ActionRejectParams),
        (lambda rest: rest.send_digits(CALL, "12#"), "send_dtmf", ActionSendDtmfParams),
    ],
)
def test_actions_are_what_the_sdk_would_send(
    command: Callable[[TelnyxRest], Flow[None]], action: str, params: Any
) -> None:
    requests, error = drive(command(new_rest()), OK)
    assert error is None
    (request,) = requests
    assert request.url == f"https://api.telnyx.com/v2/calls/v3%3AAbC%2Fd%2Be/actions/{action}"
    assert_known_to_sdk(body_of(request), params)
    assert body_of(request)["command_id"]


def test_a_rejected_caller_hears_busy() -> None:
    assert asked(new_rest().reject("v3:A"))["cause"] == "USER_BUSY"


# Command ids -----------------------------------------------------------------------------------


def test_the_same_intent_has_the_same_command_id_on_any_instance() -> None:
    one, other = new_rest(), new_rest()
    for command in ("place", "answer"):
        first = asked(getattr(one, command)(CALL, STREAM_URL))["command_id"]
        again = asked(getattr(other, command)(CALL, STREAM_URL))["command_id"]
        assert first == again
    assert asked(one.hang_up(CALL)) == asked(other.hang_up(CALL))


def test_different_intents_and_calls_have_different_command_ids() -> None:
    rest = new_rest()
    other = msgspec.structs.replace(CALL, call_id=CallId("call_01J8"), provider_call_id="v3:x")
    flows = [
        flow
        for call in (CALL, other)
        for flow in (
            rest.place(call, STREAM_URL),
            rest.answer(call, STREAM_URL),
            rest.hang_up(call),
            rest.reject(str(call.provider_call_id)),
            rest.send_digits(call, "1"),
            rest.send_digits(call, "1"),
        )
    ]
    ids = [asked(flow)["command_id"] for flow in flows]
    assert len(set(ids)) == len(ids)


def test_the_same_key_pressed_twice_is_two_presses_even_on_two_instances() -> None:
    rest = new_rest()
    taken_over = msgspec.structs.replace(CALL, version=CALL.version + 1)
    presses = [
        asked(rest.send_digits(CALL, "1")),
        asked(rest.send_digits(CALL, "1")),
        asked(new_rest().send_digits(taken_over, "1")),
    ]
    assert len({press["command_id"] for press in presses}) == 3


@pytest.mark.parametrize("lost", [HttpResponse(0), HttpResponse(502, {}, b"<html>")])
def test_a_press_that_may_be_lost_is_repeated_once_under_its_id(lost: HttpResponse) -> None:
    requests, result = drive(new_rest().send_digits(CALL, "1"), lost, OK)
    assert result is None
    assert len(requests) == 2
    assert requests[0] == requests[1]
    requests, error = drive(new_rest().send_digits(CALL, "1"), lost, lost)
    assert len(requests) == 2
    assert isinstance(error, RestError)
    assert not error.retryable  # asked for again it would be another press


# Digits ----------------------------------------------------------------------------------------


def test_many_digits_go_in_several_commands_one_after_the_other() -> None:
    digits = "0123456789" * 13
    requests, result = drive(new_rest().send_digits(CALL, digits), OK, OK, OK)
    assert result is None
    bodies = [body_of(request) for request in requests]
    assert [len(body["digits"]) for body in bodies] == [64, 64, 2]
    assert "".join(body["digits"] for body in bodies) == digits
    assert len({body["command_id"] for body in bodies}) == 3


def test_all_keys_and_both_pauses_may_be_pressed() -> None:
    assert asked(new_rest().send_digits(CALL, "0123456789*#ABCDwW"))["digits"] == (
        "0123456789*#ABCDwW"
    )


@pytest.mark.parametrize("digits", ["", "1 2", "1,2", "E", "a", "\u0661", "1\n"])
def test_what_is_no_key_is_refused_before_anything_is_sent(digits: str) -> None:
    requests, error = drive(new_rest().send_digits(CALL, digits))
    assert requests == []
    assert isinstance(error, RestError)
    assert error.code == "telnyx.bad_digits"


def test_a_call_that_was_never_placed_cannot_be_commanded() -> None:
    call = msgspec.structs.replace(CALL, provider_call_id=None)
    rest = new_rest()
    for flow in (rest.hang_up(call), rest.answer(call, STREAM_URL), rest.send_digits(call, "1")):
        requests, error = drive(flow)
        assert requests == []
        assert isinstance(error, UnknownCall)


# Errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "response", [refusal(422, "90018"), refusal(404, "10005"), refusal(422, 90018)]
)
def test_a_call_that_has_ended_is_gone(response: HttpResponse) -> None:
    _, error = drive(new_rest().hang_up(CALL), response)
    assert isinstance(error, CallGone)


def test_a_command_answered_with_no_json_was_not_taken_by_telnyx() -> None:
    _, error = drive(new_rest().hang_up(CALL), HttpResponse(200, {}, b"<html>Log in</html>"))
    assert isinstance(error, CarrierDown)
    assert error.code == "telnyx.unreadable"
    assert not error.retryable


def test_a_page_that_is_not_found_is_no_ended_call() -> None:
    _, error = drive(new_rest().hang_up(CALL), HttpResponse(404, {}, b"<html>not found</html>"))
    assert isinstance(error, CarrierDown)
    assert error.code == "telnyx.unreadable"


@pytest.mark.parametrize(
    ("response", "kind", "code"),
    [
        (refusal(401, "10009"), CredentialsRefused, "telnyx.10009"),
        (refusal(403, "10010"), CredentialsRefused, "telnyx.10010"),
        (refusal(403, "10038"), CredentialsRefused, "telnyx.10038"),
        (refusal(422, "10016", source={"pointer": "/to"}), NumberRefused, "telnyx.10016"),
        (refusal(422, "10016"), NumberRefused, "telnyx.10016"),
        (refusal(422, "10032", source={"pointer": "/from"}), NumberRefused, "telnyx.10032"),
        (refusal(400, "10015", source={"pointer": "/to/0"}), NumberRefused, "telnyx.10015"),
        (refusal(422, "10032", source={"pointer": "/stream_url"}), RestError, "telnyx.10032"),
        (refusal(422, "10015", source={"pointer": "/connection_id"}), RestError, "telnyx.10015"),
        (refusal(422, "10011"), RestError, "telnyx.10011"),  # SRTP on a phone line, no rate limit
        (refusal(404, "10005"), RestError, "telnyx.10005"),
        (refusal(422, "90041"), RateLimited, "telnyx.90041"),
        (refusal(422, "90042"), RateLimited, "telnyx.90042"),
        (refusal(422, "90043"), RateLimited, "telnyx.90043"),
        (refusal(429, "10011"), RateLimited, "telnyx.10011"),
        (HttpResponse(429, {}, b"slow down"), RateLimited, "telnyx.http_429"),
        (refusal(500, "10007"), CarrierDown, "telnyx.10007"),
        (HttpResponse(502, {}, b"<html>Bad gateway</html>"), CarrierDown, "telnyx.unreadable"),
        (HttpResponse(200, {}, b"<html>Welcome</html>"), CarrierDown, "telnyx.unreadable"),
        (HttpResponse(200, {}, b""), CarrierDown, "telnyx.unreadable"),
        (HttpResponse(200, {}, b'{"data":{}}'), CarrierDown, "telnyx.unreadable"),
        (
            HttpResponse(200, {}, b'{"data":{"call_control_id":7}}'),
            CarrierDown,
            "telnyx.unreadable",
        ),
        (HttpResponse(200, {}, b"[" * 60_000), CarrierDown, "telnyx.unreadable"),
        (HttpResponse(302, {}, b""), CarrierDown, "telnyx.unreadable"),
        (HttpResponse(422, {}, b'{"errors":"none"}'), CarrierDown, "telnyx.unreadable"),
        (HttpResponse(422, {}, b'{"errors":[]}'), RestError, "telnyx.http_422"),
        (refusal(422, None), RestError, "telnyx.http_422"),
        (refusal(422, "to +15550100002"), RestError, "telnyx.http_422"),
        (HttpResponse(0, detail="ReadTimeout to +15550100002"), CarrierSilent, "telnyx.timeout"),
    ],
)
def test_what_can_go_wrong_with_dialling(
    response: HttpResponse, kind: type[RestError], code: str
) -> None:
    requests, error = drive(new_rest().place(CALL, STREAM_URL), response)
    assert len(requests) == 1
    assert type(error) is kind
    assert error.code == code
    assert error.retryable == (kind is RateLimited)  # else it might be dialled twice
    assert kind is RateLimited or error.status == response.status
    for secret in ("+1555", "KEY0", "t0k3n", "v3:"):
        assert secret not in str(error)


@pytest.mark.parametrize("lost", [HttpResponse(0), HttpResponse(503), refusal(500, "10007")])
def test_a_command_that_telnyx_would_ignore_the_second_time_may_be_repeated(
    lost: HttpResponse,
) -> None:
    for flow in (new_rest().hang_up(CALL), new_rest().answer(CALL, STREAM_URL)):
        _, error = drive(flow, lost)
        assert isinstance(error, (CarrierSilent, CarrierDown))
        assert error.retryable


@pytest.mark.parametrize(
    ("reset", "wait_ms"),
    [
        ("7", 7000),
        ("0", 1000),
        ("900", 60_000),
        ("1767225600", 1000),
        ("", 1000),
        ("soon", 1000),
        ("-3", 1000),
    ],
)
def test_a_rate_limit_says_how_long_to_wait(reset: str, wait_ms: int) -> None:
    response = HttpResponse(429, {"x-ratelimit-reset": reset}, b"")
    _, error = drive(new_rest().place(CALL, STREAM_URL), response)
    assert isinstance(error, RateLimited)
    assert error.retry_after_ms == wait_ms


def test_a_rate_limit_without_a_hint_waits_a_second() -> None:
    _, error = drive(new_rest().hang_up(CALL), HttpResponse(429))
    assert isinstance(error, RateLimited)
    assert error.retry_after_ms == 1000


# Handing over ------------------------------------------------------------------------------------


def test_a_transfer_dials_from_our_number_and_then_stops_the_stream() -> None:
    (dial, stop), result = drive(new_rest().transfer(CALL, "+15550100009"), OK, OK)
    assert result is None
    assert dial.url.endswith("/calls/v3%3AAbC%2Fd%2Be/actions/transfer")
    body = body_of(dial)
    assert_known_to_sdk(body, ActionTransferParams)
    assert (body["to"], body["from"], body["timeout_secs"]) == ("+15550100009", "+15550100001", 30)
    assert client_state.unpack(body["client_state"]) == CALL.call_id
    assert not client_state.is_transferred(body["client_state"])
    assert client_state.is_transferred(body["target_leg_client_state"])
    assert stop.url.endswith("/actions/streaming_stop")
    assert_known_to_sdk(body_of(stop), ActionStopStreamingParams)
    assert body_of(stop)["command_id"] != body["command_id"]


@pytest.mark.parametrize(("most_s", "limit"), [(600, 600), (1, 60), (86_400, 14_400)])
def test_a_transfer_lasts_no_longer_than_a_call_may(most_s: int, limit: int) -> None:
    call = msgspec.structs.replace(CALL, max_duration_s=most_s)
    body = asked(new_rest().transfer(call, "+15550100009"))
    assert_known_to_sdk(body, ActionTransferParams)
    assert body["time_limit_secs"] == limit


def test_who_is_called_by_transfer_sees_the_number_that_was_dialled() -> None:
    came_in = msgspec.structs.replace(CALL, direction=Direction.INBOUND)
    assert asked(new_rest().transfer(came_in, "+15550100009"))["from"] == "+15550100002"
    withheld = msgspec.structs.replace(came_in, to="")
    assert "from" not in asked(new_rest().transfer(withheld, "+15550100009"))


@pytest.mark.parametrize("trouble", [HttpResponse(0), refusal(422, 90034)])
def test_a_stream_that_cannot_be_stopped_hinders_no_transfer(trouble: HttpResponse) -> None:
    requests, result = drive(new_rest().transfer(CALL, "+15550100009"), OK, trouble)
    assert (len(requests), result) == (2, None)


def test_a_transfer_that_is_refused_leaves_the_stream_alone() -> None:
    trouble = refusal(422, 10016, source={"pointer": "/to"})
    requests, error = drive(new_rest().transfer(CALL, "+15550100009"), trouble)
    assert len(requests) == 1
    assert isinstance(error, NumberRefused)


def test_a_transfer_that_may_be_lost_is_repeated_once_under_its_id() -> None:
    rest = new_rest()
    (first, again, _), result = drive(rest.transfer(CALL, "+1"), HttpResponse(0), OK, OK)
    assert result is None
    assert first == again
    assert body_of(first)["command_id"] != asked(rest.transfer(CALL, "+1"))["command_id"]


def test_a_stream_is_opened_again_with_sound_both_ways() -> None:
    (request,), result = drive(new_rest().stream(CALL, STREAM_URL), OK)
    assert result is None
    assert request.url.endswith("/actions/streaming_start")
    body = body_of(request)
    assert_known_to_sdk(body, ActionStartStreamingParams)
    assert (body["stream_url"], body["stream_bidirectional_mode"]) == (STREAM_URL, "rtp")


def test_who_picked_up_is_found_out_when_the_order_says_so() -> None:
    body = asked(new_rest().place(msgspec.structs.replace(CALL, detect_machine=True), STREAM_URL))
    assert_known_to_sdk(body, CallDialParams)
    assert body["answering_machine_detection"] == "greeting_end"
