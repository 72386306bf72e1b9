"""Twilio, offline: a REST API to place and steer calls, and a way to call the bridge.

Follows Twilio's "Call resource" and "Modifying live calls"; stricter than the original, so that a
misspelt field fails here and not in production.
"""

import asyncio
import base64
import hmac
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
from msgspec import structs
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.twin import twiml
from service.twin.behaviour import (
    Courier,
    Delivery,
    Faults,
    Outcome,
    RestFault,
    hang,
    html_page,
)
from service.twin.caller import Caller, Redial, Step
from service.twin.record import CallRecord, Warned, Watch
from service.twin.socket import Dial
from service.twin.twilio_call import TwilioCall
from service.twin.twilio_callbacks import TERMINAL, Account, Plan, new_sid
from service.twin.twilio_dial import DialledLeg
from service.twin.twilio_forms import Refusal, create_form, first, read_plan, update_form
from service.twin.twilio_webhooks import Webhooks

_PAGE = 50
_ROOT = "/2010-04-01/Accounts/{account_sid}"


def _utc() -> datetime:
    return datetime.now(UTC)


class TwilioTwin:
    """One Twilio account. `app` is its REST API; what happens on its calls is in `records`."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        dial: Dial,
        *,
        account_sid: str,
        auth_token: str,
        voice_url: str,
        status_url: str = "",
        numbers: Sequence[str] = ("+14155550123",),
        api_keys: Mapping[str, str] | None = None,
        delivery: Delivery | None = None,
        action_after_hangup: bool = False,
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
        self.calls: dict[str, TwilioCall | DialledLeg] = {}
        self._chance = chance or random.Random()
        self._numbers = tuple(numbers)
        self._voice = Plan(url=voice_url, status_url=status_url)
        self._credentials = {account_sid: auth_token, **(api_keys or {})}
        self._watch = watch
        self._keep_media = keep_media  # in the records' lines
        self._tasks: set[asyncio.Task[None]] = set()
        self._account = Account(
            account_sid=account_sid,
            auth_token=auth_token,
            webhooks=Webhooks(http, auth_token),
            dial=dial,
            chance=self._chance,
            utc=utc,
            action_after_hangup=action_after_hangup,
        )
        self.app = Starlette(
            routes=[
                Route(f"{_ROOT}.json", self._rest(_read_account), methods=["GET"]),
                Route(f"{_ROOT}/IncomingPhoneNumbers.json", self._rest(self._read_numbers)),
                Route(f"{_ROOT}/Calls.json", self._rest(self._create), methods=["POST"]),
                Route(f"{_ROOT}/Calls.json", self._rest(self._list), methods=["GET"]),
                Route(f"{_ROOT}/Calls/{{sid}}.json", self._rest(self._read), methods=["GET"]),
                Route(f"{_ROOT}/Calls/{{sid}}.json", self._rest(self._update), methods=["POST"]),
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
        abandon: bool = False,
        voice_url: str = "",
        faults: Faults | None = None,
        delivery: Delivery | None = None,
    ) -> CallRecord:
        """Call the bridge and see it through to the last callback.

        With `abandon` the person gives up while the bridge still answers the voice webhook.
        `voice_url`, `delivery`: of this call, in place of the account's.
        """
        plan = structs.replace(self._voice, url=voice_url) if voice_url else self._voice
        call = self._new("inbound", to, from_, steps, plan, faults=faults, delivery=delivery)
        await call.ring_in(abandon=abandon)
        return call.record

    async def settle(self) -> None:
        """Until every call that REST placed is over. Raises what went wrong in one."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def _new(
        self,
        direction: str,
        to: str,
        from_: str,
        steps: Iterable[Step],
        plan: Plan,
        *,
        faults: Faults | None = None,
        delivery: Delivery | None = None,
    ) -> TwilioCall:
        faults = faults or Faults()
        if faults.signature == "old":
            raise ValueError("Twilio's signatures do not grow old")
        record = CallRecord(
            provider="twilio",
            call_id=new_sid(self._chance, "CA"),
            direction=direction,
            to=to,
            from_=from_,
            watch=self._watch,
            keep_media=self._keep_media,
        )
        if isinstance(steps, Sequence) and any(isinstance(step, Redial) for step in steps):
            raise ValueError("Twilio never dials a second socket for a stream")
        courier = Courier(delivery or self.delivery, self._chance)
        account = structs.replace(self._account, faults=faults)
        caller = Caller(steps, noise=faults.noise)
        call = TwilioCall(
            account, record, caller, plan=plan, courier=courier, new_leg=self._new_leg
        )
        self.records.append(record)
        self.calls[call.sid] = call
        return call

    def _new_leg(self, parent_sid: str, dial: twiml.Dial) -> DialledLeg:
        record = CallRecord(
            provider="twilio",
            call_id=new_sid(self._chance, "CA"),
            direction="outbound",
            to=dial.number,
            from_=dial.caller_id or self.calls[parent_sid].record.from_,
            watch=self._watch,
            keep_media=self._keep_media,
        )
        leg = DialledLeg(
            self._account,
            record,
            dial,
            parent_sid=parent_sid,
            outcome=self.outcomes.get(dial.number, self.default_outcome),
            courier=Courier(self.delivery, self._chance),
        )
        self.records.append(record)
        self.calls[leg.sid] = leg
        return leg

    # REST

    def _rest(
        self, command: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                self._authenticate(request)
                return await command(request)
            except Refusal as refusal:
                return _error(refusal.status, refusal.code, refusal.message)

        async def endpoint(request: Request) -> Response:
            fault = self.faults.popleft() if self.faults else None
            if fault is None:
                return await answer(request)
            if fault.executes:
                await answer(request)
            return await _fail(request, fault)

        return endpoint

    def _authenticate(self, request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic" or not self._knows(given):
            raise Refusal(401, 20003, "Authenticate")
        if request.path_params["account_sid"] != self._account.account_sid:
            raise Refusal(404, 20404, "The requested resource was not found")

    def _knows(self, given: str) -> bool:
        pairs = (base64.b64encode(f"{k}:{v}".encode()) for k, v in self._credentials.items())
        return any(hmac.compare_digest(given.encode(), pair) for pair in pairs)

    async def _read_numbers(self, _: Request) -> Response:
        numbers = [
            {"phone_number": number, "voice_url": self._voice.url, "voice_method": "POST"}
            for number in self._numbers
        ]
        return JSONResponse({"incoming_phone_numbers": numbers, "next_page_uri": None})

    async def _create(self, request: Request) -> Response:
        form = create_form(await request.body())
        plan = read_plan(form)
        to, from_ = first(form, "To"), first(form, "From")
        outcome = self.outcomes.get(to, self.default_outcome)
        if outcome.rest is not None and not outcome.rest.executes:
            return await _fail(request, outcome.rest)
        call = self._new("outbound", to, from_, outcome.steps, plan)
        _log_request(call.record, request, form)
        created = self._resource(call)
        call.record.log("rest", "carrier", response={"status": 201, "body": created})
        task = asyncio.create_task(call.ring_out(outcome), name="twin outbound call")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if outcome.rest is not None:
            return await _fail(request, outcome.rest)
        return JSONResponse(created, 201)

    async def _list(self, request: Request) -> Response:
        """Newest first: what one looks at after a create request that got no answer."""
        wanted = {name: request.query_params.get(name) for name in ("To", "From", "Status")}
        found = [
            call
            for call in reversed(self.calls.values())
            if wanted["To"] in (None, call.record.to)
            and wanted["From"] in (None, call.record.from_)
            and wanted["Status"] in (None, call.status)
        ]
        page = [self._resource(call) for call in found[:_PAGE]]
        return JSONResponse({"calls": page, "page_size": _PAGE, "next_page_uri": None})

    async def _read(self, request: Request) -> Response:
        return JSONResponse(self._resource(self._find(request)))

    async def _update(self, request: Request) -> Response:
        call = self._find(request)
        form = update_form(await request.body())
        _log_request(call.record, request, form)
        try:
            _steer(call, form)
        except Refusal as refusal:
            body = _error_body(refusal.status, refusal.code, refusal.message)
            call.record.log("rest", "carrier", response={"status": refusal.status, "body": body})
            raise
        updated = self._resource(call)
        call.record.log("rest", "carrier", response={"status": 200, "body": updated})
        return JSONResponse(updated)

    def _find(self, request: Request) -> TwilioCall | DialledLeg:
        call = self.calls.get(request.path_params["sid"])
        if call is None:
            raise Refusal(404, 20404, f"The requested resource {request.url.path} was not found")
        return call

    def _resource(self, call: TwilioCall | DialledLeg) -> dict[str, Any]:
        account, record = self._account.account_sid, call.record
        parent_sid = call.parent_sid if isinstance(call, DialledLeg) else None
        outbound = "outbound-api" if parent_sid is None else "outbound-dial"
        ended = call.status in TERMINAL
        return {
            "sid": call.sid,
            "account_sid": account,
            "status": call.status,
            "direction": "inbound" if record.direction == "inbound" else outbound,
            "to": record.to,
            "from": record.from_,
            "to_formatted": record.to,
            "from_formatted": record.from_,
            "date_created": None,
            "start_time": None,
            "end_time": None,
            "duration": str(call.duration_s) if ended and call.duration_s is not None else None,
            "price": None,
            "price_unit": "USD",
            "answered_by": None,
            "parent_call_sid": parent_sid,
            "api_version": "2010-04-01",
            "queue_time": "0",
            "uri": f"/2010-04-01/Accounts/{account}/Calls/{call.sid}.json",
            "subresource_uris": {},
        }


async def _read_account(request: Request) -> Response:
    sid = request.path_params["account_sid"]
    return JSONResponse({"sid": sid, "status": "active", "type": "Full"})


def _steer(call: TwilioCall | DialledLeg, form: dict[str, list[str]]) -> None:
    if call.status in TERMINAL:
        raise Refusal(400, 21220, "Call is not in-progress. Cannot redirect.")
    if "Status" in form:
        if form["Status"] == ["canceled"] and call.status == "in-progress":
            raise Refusal(400, 21220, "Call is in-progress. Cannot cancel.")
        call.order_end()
    elif call.status != "in-progress" or isinstance(call, DialledLeg):
        raise Refusal(400, 21220, "Call is not in-progress. Cannot redirect.")
    elif "Url" in form:
        call.order_document(twiml.Redirect(first(form, "Url"), first(form, "Method", "POST")))
    else:
        try:
            call.order_document(twiml.parse(first(form, "Twiml").encode(), "http://localhost/"))
        except twiml.TwimlFault as fault:
            raise Refusal(400, 21200, fault.detail) from None


def _log_request(record: CallRecord, request: Request, form: dict[str, list[str]]) -> None:
    flat = {name: values[0] if len(values) == 1 else values for name, values in form.items()}
    what = {"method": request.method, "path": request.url.path, "form": flat}
    record.log("rest", "bridge", request=what)


async def _fail(request: Request, fault: RestFault) -> Response:
    if fault.kind == "hang":
        return await hang(request)
    if fault.kind == "html":
        return html_page(fault.status)
    code = 20429 if fault.status == 429 else fault.status
    response = _error(fault.status, code, "Too Many Requests" if code == 20429 else "Server error")
    if fault.status == 429:
        response.headers["twilio-concurrent-requests"] = "100"
    if fault.retry_after_s is not None:
        response.headers["retry-after"] = str(fault.retry_after_s)
    return response


def _error(status: int, code: int, message: str) -> JSONResponse:
    return JSONResponse(_error_body(status, code, message), status)


def _error_body(status: int, code: int, message: str) -> dict[str, Any]:
    more_info = f"https://www.twilio.com/docs/errors/{code}"
    body: dict[str, Any] = {"code": code, "message": message, "more_info": more_info}
    if status == 401:
        body["detail"] = "Your AccountSid or AuthToken was incorrect."
    return {**body, "status": status}
