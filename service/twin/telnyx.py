"""Telnyx, offline: the Call Control REST API, signed webhooks, and a way to call the bridge.

Follows Telnyx's "Dial", "Sending Commands" and "API error codes"; stricter than the original, so
that a misspelt parameter fails here and not in production.
"""

import asyncio
import hmac
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
from msgspec import structs
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.twin.behaviour import (
    Courier,
    Delivery,
    Faults,
    Outcome,
    RestFault,
    hang,
    html_page,
    talk,
)
from service.twin.caller import Caller, Step
from service.twin.record import CallRecord, Warned, Watch
from service.twin.socket import Dial
from service.twin.telnyx_call import TelnyxCall
from service.twin.telnyx_events import Account, Habits, new_control_id, new_uuid
from service.twin.telnyx_params import ACTIONS, Body, Refusal, read_body, read_streaming
from service.twin.telnyx_webhooks import Webhooks

_WHILE_RINGING = ("answer", "reject", "hangup", "client_state_update")
_COMMAND_ID_S = 60.0  # how long a command_id is remembered


def _utc() -> datetime:
    return datetime.now(UTC)


class TelnyxTwin:
    """One Telnyx account with one application. `app` is its REST API, under /v2."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        dial: Dial,
        *,
        api_key: str,
        seed: bytes,
        connection_id: str,
        webhook_url: str,
        numbers: Sequence[str] = ("+14155550123",),
        delivery: Delivery | None = None,
        habits: Habits | None = None,
        watch: Watch | None = None,
        keep_media: bool = True,
        chance: random.Random | None = None,
        utc: Callable[[], datetime] = _utc,
    ) -> None:
        self.delivery = delivery or Delivery()
        self.outcomes: dict[str, Outcome] = {}  # what becomes of calls to a number
        self.default_outcome = Outcome()  # of calls to any other
        self.faults: deque[RestFault] = deque()  # of the next REST requests
        self.records: list[CallRecord] = []
        self.calls: dict[str, TelnyxCall] = {}
        self._chance = chance or random.Random()
        self._api_key = api_key
        self._webhook_url = webhook_url
        self._numbers = tuple(numbers)
        self._dialled: dict[str, tuple[float, Body]] = {}  # by command_id
        self._watch = watch
        self._keep_media = keep_media  # in the records' lines
        self._tasks: set[asyncio.Task[None]] = set()
        webhooks = Webhooks(http, seed, utc)
        self.public_key = webhooks.public_key
        self._account = Account(
            user_id=new_uuid(self._chance),
            connection_id=connection_id,
            webhooks=webhooks,
            dial=dial,
            chance=self._chance,
            utc=utc,
            habits=habits or Habits(),
        )
        self.app = Starlette(
            routes=[
                Route("/v2/calls", self._rest(self._dial), methods=["POST"]),
                Route("/v2/calls/{control_id}", self._rest(self._read), methods=["GET"]),
                Route(
                    "/v2/calls/{control_id}/actions/{action}",
                    self._rest(self._act),
                    methods=["POST"],
                ),
                Route(
                    "/v2/call_control_applications/{id}",
                    self._rest(self._read_application),
                    methods=["GET"],
                ),
                Route("/v2/phone_numbers", self._rest(self._read_numbers), methods=["GET"]),
            ]
        )

    @property
    def warnings(self) -> list[Warned]:
        """What the bridge did wrong, over all calls."""
        return [warned for record in self.records for warned in record.warnings]

    async def call(
        self,
        to: str,
        from_: str,
        steps: Iterable[Step],
        *,
        patience_ms: int = 30_000,
        webhook_url: str = "",
        faults: Faults | None = None,
        delivery: Delivery | None = None,
        habits: Habits | None = None,
    ) -> CallRecord:
        """Call the bridge and see it through to the last webhook.

        The person gives up when nobody answers for `patience_ms`. `webhook_url`, `delivery`,
        `habits`: of this call, in place of the application's.
        """
        order = {"webhook_url": webhook_url or self._webhook_url}
        account = structs.replace(
            self._account, faults=faults or Faults(), habits=habits or self._account.habits
        )
        call = self._new("inbound", to, from_, steps, order, account=account, delivery=delivery)
        await call.ring_in(patience_ms)
        return call.record

    async def place_elsewhere(self, to: str, from_: str, outcome: Outcome) -> CallRecord:
        """A call that somebody else places with the same application: the bridge hears of it."""
        order = {"webhook_url": self._webhook_url}
        call = self._new("outbound", to, from_, outcome.steps, order)
        await call.ring_out(outcome, None)
        return call.record

    async def settle(self) -> None:
        """Until every call that Dial placed is over. Raises what went wrong in one."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def _new(
        self,
        direction: str,
        to: str,
        from_: str,
        steps: Iterable[Step],
        order: Body,
        *,
        account: Account | None = None,
        delivery: Delivery | None = None,
        session_id: str = "",
    ) -> TelnyxCall:
        account = account or self._account
        if account.faults.signature == "other_url":
            raise ValueError("Telnyx does not sign the URL")
        record = CallRecord(
            provider="telnyx",
            call_id=new_control_id(self._chance),
            direction=direction,
            to=to,
            from_=from_,
            watch=self._watch,
            keep_media=self._keep_media,
        )
        courier = Courier(delivery or self.delivery, self._chance)
        caller = Caller(steps, noise=account.faults.noise)
        call = TelnyxCall(
            account, record, caller, order=order, courier=courier, session_id=session_id
        )
        self.records.append(record)
        self.calls[call.control_id] = call
        return call

    # REST

    def _rest(
        self, command: Callable[[Request], Awaitable[Body | RestFault]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                self._authenticate(request)
                body = await command(request)
            except Refusal as refusal:
                return JSONResponse(refusal.body(), refusal.status)
            return await _fail(request, body) if isinstance(body, RestFault) else JSONResponse(body)

        async def endpoint(request: Request) -> Response:
            fault = self.faults.popleft() if self.faults else None
            if fault is None:
                return await answer(request)
            if fault.executes:
                await answer(request)
            return await _fail(request, fault)

        return endpoint

    def _authenticate(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self._api_key}".encode()):
            raise Refusal(401, "10009")

    async def _read_application(self, request: Request) -> Body:
        if request.path_params["id"] != self._account.connection_id:
            raise Refusal(404, "10005")
        application = {
            "record_type": "call_control_application",
            "id": self._account.connection_id,
            "active": True,
            "webhook_api_version": "2",
            "webhook_event_url": self._webhook_url,
            "outbound": {"outbound_voice_profile_id": "1"},
        }
        return {"data": application}

    async def _read_numbers(self, _: Request) -> Body:
        numbers = [{"phone_number": number, "status": "active"} for number in self._numbers]
        return {"data": numbers, "meta": {"total_pages": 1, "page_number": 1}}

    async def _read(self, request: Request) -> Body:
        call = self._find(request)
        return {"data": _resource(call)["data"] | call.times()}

    async def _dial(self, request: Request) -> Body | RestFault:
        body = read_body(await request.body(), "dial")
        if body["connection_id"] != self._account.connection_id:
            raise Refusal(422, "10015", "No such connection", "/connection_id")
        now_s = asyncio.get_running_loop().time()
        at_s, before = self._dialled.get(body.get("command_id", ""), (0.0, None))
        if before is not None and now_s - at_s < _COMMAND_ID_S:
            return before
        outcome = self.outcomes.get(body["to"], self.default_outcome)
        if outcome.rest is not None and not outcome.rest.executes:
            return outcome.rest
        order = {"webhook_url": self._webhook_url, **body}
        call = self._new("outbound", body["to"], body["from"], outcome.steps, order)
        _log(call, request, body)
        answer = _resource(call)
        call.record.log("rest", "carrier", response={"status": 200, "body": answer})
        self._dialled[body.get("command_id", call.control_id)] = (now_s, answer)
        self._begin(call.ring_out(outcome, read_streaming(body)))
        await asyncio.sleep(self._account.habits.dial_answer_ms / 1000)
        return answer if outcome.rest is None else outcome.rest

    def _begin(self, life: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(life, name="twin call")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _transfer(self, call: TelnyxCall, body: Body) -> None:
        """A new leg, in the session of the one that is transferred."""
        to = body["to"]
        outcome = self.outcomes.get(to, self.default_outcome)
        order = {"webhook_url": call.events.url, **body}
        order["client_state"] = body.get("target_leg_client_state")
        from_ = body.get("from", call.record.to if call.inbound else call.record.from_)
        leg = self._new(
            "outbound", to, from_, talk(outcome), order, session_id=call.events.session_id
        )
        call.join(leg)
        call.record.remark("is_connected", to)
        self._begin(leg.ring_out(outcome, None))

    def _bridge(self, call: TelnyxCall, body: Body) -> None:
        other = self.calls.get(body["call_control_id"])
        if other is None or other is call:
            raise Refusal(422, "90015", pointer="/call_control_id")
        if other.state != "answered":
            raise Refusal(422, "90034", pointer="/call_control_id")
        call.join(other)
        self._begin(call.bridge())

    async def _act(self, request: Request) -> Body:
        action = request.path_params["action"]
        if action not in ACTIONS:
            raise Refusal(404, "10005")
        call = self._find(request)
        body = await request.body()
        try:
            command = read_body(body, action)
            _log(call, request, command)
            if not self._seen(call, command):
                _check_state(call, action)
                self._carry_out(call, action, command)
                self._remember(call, command)
        except Refusal as refusal:
            error = {"status": refusal.status, "body": refusal.body()}
            call.record.log("rest", "carrier", response=error)
            raise
        ok: Body = {"data": {"result": "ok"}}
        call.record.log("rest", "carrier", response={"status": 200, "body": ok})
        return ok

    def _carry_out(self, call: TelnyxCall, action: str, body: Body) -> None:
        call.events.client_state = body.get("client_state", call.events.client_state)
        match action:
            case "answer":
                call.answer(body, read_streaming(body))
            case "reject":
                call.reject(body["cause"])
            case "hangup":
                call.hang_up()
            case "transfer":
                self._transfer(call, body)
            case "bridge":
                self._bridge(call, body)
            case "send_dtmf":
                call.record.digits_sent.append(body["digits"])
            case "streaming_start" | "streaming_stop":
                call.stream(read_streaming(body))
            case _:
                call.deeds.do(action, body)

    def _seen(self, call: TelnyxCall, command: Body) -> bool:
        at_s = call.command_ids.get(command.get("command_id", ""))
        return at_s is not None and asyncio.get_running_loop().time() - at_s < _COMMAND_ID_S

    def _remember(self, call: TelnyxCall, command: Body) -> None:
        if "command_id" in command:
            call.command_ids[command["command_id"]] = asyncio.get_running_loop().time()

    def _find(self, request: Request) -> TelnyxCall:
        control_id = request.path_params["control_id"]
        call = self.calls.get(control_id)
        if call is None:
            malformed = not control_id.startswith(("v2:", "v3:"))
            raise Refusal(422, "90015") if malformed else Refusal(404, "10005")
        return call


def _check_state(call: TelnyxCall, action: str) -> None:
    if call.state == "ended":
        raise Refusal(422, "90018", "This call is no longer active and can't receive commands")
    match action:
        case "answer" | "reject" if not call.inbound:
            raise Refusal(422, "90102")
        case "answer" | "reject" if call.state == "answered":
            raise Refusal(422, "10015", "The call has been answered already")
        case _ if call.state != "answered" and action not in _WHILE_RINGING:
            raise Refusal(422, "90034")
        case "streaming_start" if call.streaming is not None:
            raise Refusal(422, "90045")
        case "streaming_stop" if call.streaming is None:
            raise Refusal(422, "90048")
        case "transfer" | "bridge" if call.peer is not None:
            raise Refusal(422, "10015", "The call is connected with another, or about to be")
        case _:
            return


def _resource(call: TelnyxCall) -> Body:
    ids = {"call_leg_id": call.events.leg_id, "call_session_id": call.events.session_id}
    alive = call.state == "answered"
    about = {"record_type": "call", "call_control_id": call.control_id, "is_alive": alive}
    return {"data": about | ids}


def _log(call: TelnyxCall, request: Request, body: Body) -> None:
    what = {"method": request.method, "path": request.url.path, "json": body}
    call.record.log("rest", "bridge", request=what)


async def _fail(request: Request, fault: RestFault) -> Response:
    if fault.kind == "hang":
        return await hang(request)
    if fault.kind == "html":
        return html_page(fault.status)
    code = "10011" if fault.status == 429 else str(fault.status)
    response = JSONResponse(Refusal(fault.status, code).body(), fault.status)
    if fault.status == 429:
        reset_s = fault.retry_after_s or 1
        limits = {"x-ratelimit-limit": "100", "x-ratelimit-remaining": "0"}
        response.headers.update({**limits, "x-ratelimit-reset": str(reset_s)})
    return response
