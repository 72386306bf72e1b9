"""`callbridge call` against a small service on a real port that answers as the interface says."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from service.cli import call
from tests.cli.live_server import serving

CALL_ID = "call_01J9"
NUMBERS = ["--to", "+14155550100", "--from", "+14155550123"]
ORDER = [*NUMBERS, "--provider", "twilio", "--agent", "receptionist"]
ANSWERED: tuple[str, dict[str, Any]] = ("call.answered", {})
SAID = ("turn.agent", {"text": "Hello there", "heard_text": "Hello"})


def ended(outcome: str) -> tuple[str, dict[str, Any]]:
    return ("call.ended", {"outcome": outcome, "cause": "hangup", "ended_by": "caller"})


class SmallService:
    """Places one call and tells its events, `a_time` of them before a stream breaks off."""

    def __init__(self, *events: tuple[str, dict[str, Any]], a_time: int = 100) -> None:
        self.events = events
        self.a_time = a_time
        self.refusal: Response | None = None
        self.troubles: list[Response] = []
        """What is answered to those who follow, before the service is well again."""
        self.placed: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.asked_after: list[str | None] = []

    def app(self) -> Starlette:
        events = f"/v1/calls/{CALL_ID}/events"
        return Starlette(
            routes=[
                Route("/v1/calls", self._place, methods=["POST"]),
                Route(events, self._follow, methods=["GET"]),
            ]
        )

    async def _place(self, request: Request) -> Response:
        self.placed.append(await request.json())
        self.keys.append(request.headers.get("authorization"))
        return self.refusal or JSONResponse({"call_id": CALL_ID, "state": "queued"}, 201)

    async def _follow(self, request: Request) -> Response:
        after = request.headers.get("last-event-id")
        self.asked_after.append(after)
        if len(self.asked_after) > 1 and self.troubles:
            return self.troubles.pop(0)
        first = 0 if after is None else int(after.removesuffix("-0")) + 1

        async def stream() -> AsyncIterator[str]:
            yield "retry: 1000\n\n: keep-alive\n\n"
            numbered = list(enumerate(self.events))[first : first + self.a_time]
            for place, (kind, data) in numbered:
                event = {"id": f"{place}-0", "type": kind, "call_id": CALL_ID, "data": data}
                yield f"id: {place}-0\nevent: {kind}\ndata: {json.dumps(event)}\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # no .env of whoever runs this
    monkeypatch.delenv("CALLBRIDGE_API_KEYS", raising=False)
    monkeypatch.setattr(call, "LOST_WAIT_S", 0.0)


def run(service: SmallService, *more: str) -> int:
    with serving(service.app()) as url:
        return call.main([*ORDER, "--url", url, *more])


def test_a_completed_call_is_placed_followed_and_fine(capsys: pytest.CaptureFixture[str]) -> None:
    service = SmallService(ANSWERED, SAID, ended("completed"))
    assert run(service) == 0
    assert service.placed == [
        {
            "provider": "twilio",
            "to": "+14155550100",
            "from": "+14155550123",
            "agent": "receptionist",
        }
    ]
    assert capsys.readouterr().out.split("\n") == [
        f"call.placed        {CALL_ID}",
        "call.answered",
        "turn.agent         Hello",
        "call.ended         completed",
        "",
    ]


@pytest.mark.parametrize("outcome", ["busy", "no_answer", "carrier_failed", "our_fault"])
def test_a_call_that_came_to_nothing_has_failed(outcome: str) -> None:
    assert run(SmallService(ended(outcome))) == 1


def test_a_machine_reads_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    run(SmallService(SAID, ended("completed")), "--json")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["type"] for line in lines] == ["call.placed", "turn.agent", "call.ended"]
    assert lines[0]["data"]["call_id"] == CALL_ID
    assert lines[1]["data"] == SAID[1]


def test_events_that_break_off_are_taken_up_where_they_did(
    capsys: pytest.CaptureFixture[str],
) -> None:
    service = SmallService(ANSWERED, SAID, ended("completed"), a_time=1)
    assert run(service) == 0
    assert service.asked_after == [None, "0-0", "1-0"]
    assert len(service.placed) == 1
    assert capsys.readouterr().out.count("turn.agent") == 1


def test_a_service_that_has_trouble_meanwhile_is_asked_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    service = SmallService(ANSWERED, ended("completed"), a_time=1)
    service.troubles = [
        JSONResponse({"code": "store.away", "detail": "TimeoutError"}, 503),
        HTMLResponse("<h1>Bad gateway</h1>", 502),
    ]
    assert run(service) == 0
    assert service.asked_after == [None, "0-0", "0-0", "0-0"]
    told = capsys.readouterr()
    assert "HTTP 503" in told.err
    assert told.out.count("call.answered") == 1


def test_a_service_that_knows_nothing_of_the_call_any_more_is_not_asked_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    service = SmallService(ANSWERED, ended("completed"), a_time=1)
    service.troubles = [JSONResponse({"code": "call.unknown", "detail": "no such call"}, 404)]
    assert run(service) == 1
    assert "call.unknown" in capsys.readouterr().err
    assert len(service.asked_after) == 2


def test_a_service_that_tells_no_more_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    service = SmallService(ANSWERED)
    assert run(service) == 1
    assert len(service.placed) == 1
    assert "may go on" in capsys.readouterr().err


@pytest.mark.parametrize(("given", "sent"), [("ops=s3cret,ci=other", "Bearer s3cret"), ("", None)])
def test_the_services_own_key_opens_the_door(
    monkeypatch: pytest.MonkeyPatch, given: str, sent: str | None
) -> None:
    monkeypatch.setenv("CALLBRIDGE_API_KEYS", given)
    service = SmallService(ended("completed"))
    run(service)
    assert service.keys == [sent]


def test_a_refusal_is_told_by_code_and_field(capsys: pytest.CaptureFixture[str]) -> None:
    service = SmallService()
    problem = {
        "code": "request.invalid",
        "errors": [{"pointer": "/to", "message": "expected +E.164"}],
    }
    service.refusal = JSONResponse(problem, 422)
    assert run(service) == 1
    told = capsys.readouterr().err
    assert "/to: expected +E.164" in told
    assert "request.invalid" in told


@pytest.mark.parametrize(
    "answer",
    [
        HTMLResponse("<h1>Not found</h1>", 404),
        HTMLResponse("<h1>Made</h1>", 201),
        JSONResponse(["no"], 500),
        JSONResponse({"errors": ["no"]}, 400),
    ],
)
def test_something_else_at_that_address_is_named_as_such(
    capsys: pytest.CaptureFixture[str], answer: Response
) -> None:
    service = SmallService()
    service.refusal = answer
    assert run(service) == 1
    assert "not from callbridge" in capsys.readouterr().err


def test_nobody_there_is_a_failure_with_the_address(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(SmallService().app()) as url:
        pass
    assert call.main([*ORDER, "--url", url]) == 1
    assert url in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        NUMBERS,
        [*ORDER, "--speed", "max"],
        [*ORDER, "--url", "127.0.0.1:8080"],
        [*ORDER, "--url", "http://host:port"],
    ],
)
def test_called_wrongly(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        call.main(arguments)
    assert left.value.code == 2
