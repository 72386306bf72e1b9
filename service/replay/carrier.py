"""The carrier's REST API during a replay: takes down each command and gives the recorded answer.

A command that the cassette does not know is told that all is well: the diff will tell of it.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qs

import httpx
import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, JSONResponse
from starlette.responses import Response as HttpResponse
from starlette.types import Receive, Scope, Send

from service.cassettes.cassette import Cassette, Line, Request, Response

SETTLE_S = 1e-6
"""No answer is there before all else that happens at the same time has happened."""

NO_ANSWER = 0

_PLACES = ("/Calls.json", "/v2/calls")


class RecordedCarrier:
    """An ASGI app. `told` hears of each command before it is answered."""

    def __init__(self, cassette: Cassette, told: Callable[[Request], None]) -> None:
        self._cassette = cassette
        self._told = told
        self._answers = _exchanges(cassette.lines)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one command."""
        if scope["type"] != "http":
            return
        http = HttpRequest(scope, receive)
        request = await _read(http)
        self._told(request)
        response, delay_ms = self._answer(request)
        await asyncio.sleep(delay_ms / 1000 + SETTLE_S)
        if response.status == NO_ANSWER:
            raise httpx.ReadTimeout("the carrier never answered")
        if isinstance(response.body, str):  # what a proxy says in the API's place
            answer: HttpResponse = HTMLResponse(response.body, response.status)
        else:
            answer = JSONResponse(response.body, response.status)
        await answer(scope, receive, send)

    def _answer(self, request: Request) -> tuple[Response, int]:
        for at, (asked, response, delay_ms) in enumerate(self._answers):
            if (asked.method, asked.path) == (request.method, request.path):
                del self._answers[at]
                return response, delay_ms
        return self._anything(request), 0

    def _anything(self, request: Request) -> Response:
        placed = request.path.endswith(_PLACES)
        if self._cassette.header.provider == "twilio":
            sid = "CA" + "0" * 32 if placed else request.path.rpartition("/")[2][: -len(".json")]
            status = "queued" if placed else "completed"
            return Response(201 if placed else 200, {"sid": sid, "status": status})
        ids = {"call_control_id": "v3:replay", "call_leg_id": "0", "call_session_id": "0"}
        return Response(200, {"data": ids if placed else {"result": "ok"}})


def _exchanges(lines: Sequence[Line]) -> list[tuple[Request, Response, int]]:
    """Command, answer, and how long the carrier took."""
    found: list[tuple[Request, Response, int]] = []
    waiting: list[tuple[int, Request]] = []
    for line in lines:
        if line.lane != "rest":
            continue
        if line.request is not None:
            waiting.append((line.at_ms, line.request))
        elif line.response is not None and waiting:
            asked_ms, request = waiting.pop(0)
            found.append((request, line.response, line.at_ms - asked_ms))
    return found


async def _read(http: HttpRequest) -> Request:
    raw = await http.body()
    method: Any = http.method
    path = http.url.path
    if http.headers.get("content-type", "").startswith("application/json"):
        return Request(method=method, path=path, json=msgspec.json.decode(raw))
    form = {
        name: values[0] if len(values) == 1 else values
        for name, values in parse_qs(raw.decode(), keep_blank_values=True).items()
    }
    return Request(method=method, path=path, form=form)
