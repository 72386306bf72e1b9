"""A stand-in for both carriers' REST APIs on a real port: strict about what it is asked.

How it answers an order to dial depends on the number dialled, so that one process serves all tests.
"""

import asyncio
import itertools
import json
import re
from base64 import b64encode
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

ACCOUNT, AUTH_TOKEN = "AC" + "0" * 32, "primary-token-000000000000000001"
TELNYX_KEY, CONNECTION = "KEY-telnyx-secret", "1000000000000000001"
ANSWERS_AFTER_S = 15.0  # of a carrier that does not answer: longer than anybody waits

# number dialled -> (status, headers, body by carrier)
TWILIO_SAYS: dict[str, tuple[int, dict[str, str], Any]] = {
    "+14155550901": (400, {}, {"code": 21211, "message": "not valid: +14155550901", "status": 400}),
    "+14155550902": (401, {}, {"code": 20003, "message": "Authenticate", "status": 401}),
    "+14155550903": (429, {}, {"code": 20429, "message": "Too Many Requests", "status": 429}),
    "+14155550904": (500, {}, {"code": 20500, "message": "oops", "status": 500}),
    "+14155550905": (502, {}, "<html>Bad gateway</html>"),
    "+14155550906": (201, {}, "<html>welcome</html>"),
}
TELNYX_SAYS: dict[str, tuple[int, dict[str, str], Any]] = {
    "+14155550901": (422, {}, {"errors": [{"code": "10016", "source": {"pointer": "/to"}}]}),
    "+14155550902": (401, {}, {"errors": [{"code": "10009", "title": "Authentication failed"}]}),
    "+14155550903": (429, {"x-ratelimit-reset": "7"}, {"errors": [{"code": "10011"}]}),
    "+14155550904": (500, {}, {"errors": [{"code": "10007"}]}),
    "+14155550905": (502, {}, "<html>Bad gateway</html>"),
    "+14155550906": (200, {}, "<html>welcome</html>"),
}
SILENT = "+14155550907"
SLOW = "+14155550908"
"""Dialling takes a moment."""


class RestApi:
    """What was asked, and the application that answers."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []  # "POST path", body
        self.complaints: list[str] = []
        self.broken: set[str] = set()  # calls whose commands fail
        self._numbers = itertools.count(1)
        account = f"/2010-04-01/Accounts/{ACCOUNT}"
        self.app = Starlette(
            routes=[
                Route(f"{account}/Calls.json", self._twilio_dial, methods=["POST"]),
                Route(f"{account}/Calls/{{sid}}.json", self._twilio_update, methods=["POST"]),
                Route("/v2/calls", self._telnyx_dial, methods=["POST"]),
                Route("/v2/calls/{id}/actions/{action}", self._telnyx_action, methods=["POST"]),
            ]
        )

    def dialled(self, number: str) -> list[dict[str, Any]]:
        """Every order to dial this number."""
        return [body for _, body in self.asked if number in (body.get("To"), body.get("to"))]

    def orders_to(self, provider_call_id: str) -> list[tuple[str, dict[str, Any]]]:
        """Every command to this call: its last path segment and its body."""
        return [
            (path.rsplit("/", 1)[1], body) for path, body in self.asked if provider_call_id in path
        ]

    async def _twilio_dial(self, request: Request) -> Response:
        body = await self._form(request)
        if body["To"] in TWILIO_SAYS:
            return _say(*TWILIO_SAYS[body["To"]])
        await _dawdle(body["To"])
        return JSONResponse({"sid": f"CA{next(self._numbers):032x}", "status": "queued"}, 201)

    async def _twilio_update(self, request: Request) -> Response:
        await self._form(request)
        if request.path_params["sid"] in self.broken:
            return HTMLResponse("<html>oops</html>", 503)
        return JSONResponse({"sid": request.path_params["sid"], "status": "completed"})

    async def _telnyx_dial(self, request: Request) -> Response:
        body = await self._json(request)
        if body["to"] in TELNYX_SAYS:
            return _say(*TELNYX_SAYS[body["to"]])
        await _dawdle(body["to"])
        control_id = f"v3:dialled-{next(self._numbers)}"
        return JSONResponse({"data": {"call_control_id": control_id, "is_alive": False}})

    async def _telnyx_action(self, request: Request) -> Response:
        body = await self._json(request)
        if request.path_params["action"] == "reject" and "cause" not in body:
            self.complaints.append("reject without a cause")
        if request.path_params["id"] in self.broken:
            return HTMLResponse("<html>oops</html>", 503)
        return JSONResponse({"data": {"result": "ok"}})

    async def _form(self, request: Request) -> dict[str, Any]:
        expected = "Basic " + b64encode(f"{ACCOUNT}:{AUTH_TOKEN}".encode()).decode()
        self._insist(request.headers.get("authorization") == expected, "Basic credentials")
        fields = parse_qs((await request.body()).decode(), strict_parsing=True)
        body = {name: values[0] if len(values) == 1 else values for name, values in fields.items()}
        for name in ("Url", "StatusCallback"):
            self._insist("Url" not in body or str(body[name]).startswith("https://"), name)
        self.asked.append((request.url.path, body))
        return body

    async def _json(self, request: Request) -> dict[str, Any]:
        self._insist(request.headers.get("authorization") == f"Bearer {TELNYX_KEY}", "Bearer key")
        body: dict[str, Any] = json.loads(await request.body())
        self._insist(bool(re.fullmatch(r"[0-9a-f-]{36}", body.get("command_id", ""))), "command_id")
        if "stream_url" in body:
            self._insist(body["stream_url"].startswith("wss://"), "wss")
            self._insist(body["stream_bidirectional_mode"] == "rtp", "rtp mode")
            self._insist(body["stream_bidirectional_target_legs"] == "self", "target legs")
        self.asked.append((request.url.path, body))
        return body

    def _insist(self, fine: bool, what: str) -> None:
        if not fine:
            self.complaints.append(what)


async def _dawdle(number: str) -> None:
    if number == SILENT:
        await asyncio.sleep(ANSWERS_AFTER_S)
    if number == SLOW:
        await asyncio.sleep(0.5)


def _say(status: int, headers: dict[str, str], body: Any) -> Response:
    kind = HTMLResponse if isinstance(body, str) else JSONResponse
    return kind(body, status, headers=headers)
