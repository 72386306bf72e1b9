"""The twin's own REST API, under /_twin: calls by script, records to read, faults to order.

For tests in any language. No carrier has it; whoever is not on this machine needs the key, and
without one set there is none. Everything is bounded.
"""

import asyncio
import hmac
import io
import ipaddress
import wave
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import msgspec
from msgspec import Struct, structs
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from service.media.g711 import decode_pcmu
from service.twin.behaviour import Delivery, Faults, Outcome, RestFault, Result
from service.twin.caller import Redial, Step
from service.twin.live import LiveSteps
from service.twin.record import CallRecord
from service.twin.script import ScriptFault, Sounds, read_script
from service.twin.telnyx import TelnyxTwin
from service.twin.telnyx_events import Habits
from service.twin.twilio import TwilioTwin

Twin = TwilioTwin | TelnyxTwin

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_LIVE = 200
MAX_KEPT = 1000  # records of ended calls; the oldest go first
MAX_REST_FAULTS = 1000
_FROM = "+14155550100"
_TO = "+14155550123"


class CallOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call to make. `live`: more steps may follow, the person stays on the line meanwhile."""

    to: str = _TO
    from_: str = msgspec.field(default=_FROM, name="from")
    script: list[Any] = []
    live: bool = False
    url: str = ""  # of the voice webhook (Twilio) or of all webhooks (Telnyx)
    faults: Faults = Faults()
    delivery: Delivery | None = None
    habits: Habits | None = None  # Telnyx
    abandon: bool = False  # Twilio: give up while the bridge still answers the webhook
    patience_ms: int = 30_000  # Telnyx: give up when nobody has answered


class NumberOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of calls that the bridge places to a number."""

    result: Result = "answered"
    ring_ms: int = 1000
    script: list[Any] = []
    machine: str = "human"  # human, machine, or a word of the carrier's own
    beep: bool = True  # a machine's greeting ends in a tone
    greeting_ms: Annotated[int, msgspec.Meta(ge=0, le=60_000)] = 4000
    rest: RestFault | None = None


class WebhookOrder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A webhook of the tester's own about a call: an event (Telnyx) or a URL and form (Twilio)."""

    event_type: str = ""
    payload: dict[str, Any] = {}
    url: str = ""
    status: str = ""
    form: dict[str, str] = {}


class _Bad(Exception):
    """What is asked for cannot be: an HTTP status and why."""

    def __init__(self, status: int, *errors: str) -> None:
        super().__init__(*errors)
        self.status = status
        self.errors = errors


class Control:
    """Serves /_twin for one twin; `app` is that and the carrier's API together."""

    def __init__(self, twin: Twin, sounds: Sounds, *, key: str = "") -> None:
        self._twin = twin
        self._sounds = sounds
        self._key = key
        self._voice = ThreadPoolExecutor(1, thread_name_prefix="twin voice")
        self._calling: dict[str, asyncio.Task[CallRecord]] = {}
        self._live: dict[str, LiveSteps] = {}
        self.app = Starlette(
            routes=[Mount("/_twin", routes=self._routes()), Mount("/", app=twin.app)]
        )

    def _routes(self) -> list[BaseRoute]:
        return [
            Route("/calls", self._guarded(self._call), methods=["POST"]),
            Route("/calls", self._guarded(self._list), methods=["GET"]),
            Route("/calls/{id}", self._guarded(self._read), methods=["GET"]),
            Route("/calls/{id}/lines", self._guarded(self._lines), methods=["GET"]),
            Route("/calls/{id}/heard.wav", self._guarded(self._heard), methods=["GET"]),
            Route("/calls/{id}/steps", self._guarded(self._go_on), methods=["POST"]),
            Route("/calls/{id}/webhooks", self._guarded(self._tell), methods=["POST"]),
            Route("/numbers/{number}", self._guarded(self._expect), methods=["PUT"]),
            Route("/rest-faults", self._guarded(self._fail), methods=["POST"]),
            Route("/log", self._guarded(self._log), methods=["GET"]),
        ]

    def _guarded(
        self, endpoint: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            try:
                self._check(request)
                return await endpoint(request)
            except _Bad as bad:
                return JSONResponse({"errors": list(bad.errors)}, bad.status)
            except ScriptFault as fault:
                return JSONResponse({"errors": fault.faults}, 422)

        return guarded

    def _check(self, request: Request) -> None:
        if self._key:
            given = request.headers.get("authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {self._key}".encode()):
                raise _Bad(401, "the key is wrong or missing")
            return
        if "origin" in request.headers:  # a web page that somebody on this machine looks at
            raise _Bad(403, "browsers are not served")
        if not _is_local(request):
            raise _Bad(403, "without a key only this machine is served")

    # Calls

    async def _call(self, request: Request) -> Response:
        order = await _read(request, CallOrder)
        if len(self._calling) >= MAX_LIVE:
            raise _Bad(503, f"{MAX_LIVE} calls are under way")
        live = LiveSteps(await self._steps(order.script), stay=order.live)
        known = len(self._twin.records)
        task = asyncio.create_task(self._make(order, live), name="twin scripted call")
        await asyncio.sleep(0)
        if task.done():
            task.result()
        record = self._twin.records[known]
        self._calling[record.call_id], self._live[record.call_id] = task, live
        task.add_done_callback(lambda _: self._forget(record.call_id))
        return JSONResponse(_summary(record), 201)

    def _make(self, order: CallOrder, steps: LiveSteps) -> Coroutine[Any, Any, CallRecord]:
        twin = self._twin
        if isinstance(twin, TwilioTwin):
            if order.faults.signature == "old" or order.habits is not None:
                raise _Bad(422, "habits and old signatures are Telnyx's")
            return twin.call(
                order.to,
                order.from_,
                steps,
                abandon=order.abandon,
                voice_url=order.url,
                faults=order.faults,
                delivery=order.delivery,
            )
        if order.faults.signature == "other_url" or order.abandon:
            raise _Bad(422, "abandon and signatures for another URL are Twilio's")
        return twin.call(
            order.to,
            order.from_,
            steps,
            patience_ms=order.patience_ms,
            webhook_url=order.url,
            faults=order.faults,
            delivery=order.delivery,
            habits=order.habits,
        )

    async def _steps(self, script: list[Any]) -> tuple[Step, ...]:
        loop = asyncio.get_running_loop()
        steps = await loop.run_in_executor(self._voice, read_script, script, self._sounds)
        if isinstance(self._twin, TwilioTwin) and any(isinstance(s, Redial) for s in steps):
            raise _Bad(422, "Twilio never dials a second socket for a stream")
        return steps

    def _forget(self, call_id: str) -> None:
        """The call is over; so that a long run stays small, old records go."""
        self._calling.pop(call_id, None)
        self._live.pop(call_id, None)
        records = self._twin.records
        ended = [record for record in records if record.ended_at_ms is not None]
        for record in ended[: max(0, len(ended) - MAX_KEPT)]:
            records.remove(record)
            self._twin.calls.pop(record.call_id, None)

    async def _go_on(self, request: Request) -> Response:
        record = self._find(request)
        live = self._live.get(record.call_id)
        if live is None or not live.stay:
            raise _Bad(409, "this call takes no more steps")
        for step in await self._steps(await _read(request, list[Any])):
            live.put(step)
        return JSONResponse(_summary(record), 202)

    async def _tell(self, request: Request) -> Response:
        record = self._find(request)
        order = await _read(request, WebhookOrder)
        twin = self._twin
        if isinstance(twin, TwilioTwin):
            if not order.url:
                raise _Bad(422, "url is needed")
            status = order.status or twin.calls[record.call_id].status
            await twin.calls[record.call_id].callbacks.tell(order.url, status, order.form)
        else:
            if not order.event_type:
                raise _Bad(422, "event_type is needed")
            await twin.calls[record.call_id].events.tell(order.event_type, **order.payload)
        return JSONResponse(_summary(record), 202)

    # What was

    def _find(self, request: Request) -> CallRecord:
        wanted = request.path_params["id"]
        for record in self._twin.records:
            if record.call_id == wanted:
                return record
        raise _Bad(404, "no such call")

    async def _list(self, _: Request) -> Response:
        return JSONResponse({"calls": [_summary(record) for record in self._twin.records]})

    async def _read(self, request: Request) -> Response:
        return JSONResponse(_report(self._find(request)))

    async def _lines(self, request: Request) -> Response:
        lines = b"".join(msgspec.json.encode(line) + b"\n" for line in self._find(request).lines)
        return Response(lines, media_type="application/jsonl")

    async def _heard(self, request: Request) -> Response:
        return Response(_wav(self._find(request).heard_pcmu()), media_type="audio/wav")

    async def _log(self, _: Request) -> Response:
        entries = [
            {"call": record.call_id, **msgspec.to_builtins(warned)}
            for record in self._twin.records
            for warned in record.warnings
        ]
        return JSONResponse({"log": entries})

    # What will be

    async def _expect(self, request: Request) -> Response:
        order = await _read(request, NumberOrder)
        outcome = Outcome(
            result=order.result,
            ring_ms=order.ring_ms,
            steps=await self._steps(order.script),
            machine=order.machine,
            beep=order.beep,
            greeting_ms=order.greeting_ms,
            rest=order.rest,
        )
        number = request.path_params["number"]
        if number == "any":
            self._twin.default_outcome = outcome
        elif number in self._twin.outcomes or len(self._twin.outcomes) < MAX_KEPT:
            self._twin.outcomes[number] = outcome
        else:
            raise _Bad(409, f"{MAX_KEPT} numbers are known already")
        return Response(status_code=204)

    async def _fail(self, request: Request) -> Response:
        faults = await _read(request, list[RestFault])
        if len(self._twin.faults) + len(faults) > MAX_REST_FAULTS:
            raise _Bad(409, f"at most {MAX_REST_FAULTS} faults may wait")
        self._twin.faults.extend(faults)
        return Response(status_code=204)


async def _read(request: Request, kind: Any) -> Any:
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise _Bad(415, "expected application/json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise _Bad(413, f"at most {MAX_BODY_BYTES} bytes are taken")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise _Bad(422, str(error)) from None


def _is_local(request: Request) -> bool:
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def _summary(record: CallRecord) -> dict[str, Any]:
    return {
        "id": record.call_id,
        "direction": record.direction,
        "to": record.to,
        "from": record.from_,
        "state": "ended" if record.ended_at_ms is not None else "live",
        "status": record.status,  # how it ended, in the carrier's word
        "answered_at_ms": record.answered_at_ms,
        "ended_at_ms": record.ended_at_ms,
    }


def _report(record: CallRecord) -> dict[str, Any]:
    return {
        **_summary(record),
        "warnings": msgspec.to_builtins(record.warnings),
        "caller": msgspec.to_builtins(record.remarks),
        "webhooks": msgspec.to_builtins(record.receipts),
        "marks": msgspec.to_builtins(record.marks()),
        "spoken": [structs.asdict(span) for span in record.spans()],
        "digits_sent": record.digits_sent,
        "streams": [
            {
                "id": stream.stream_id,
                "started_at_ms": stream.started_at_ms,
                "ended": stream.ended,
                "close_code": stream.close_code,
                "clears_at_ms": stream.clears_at_ms,
                "frames_sent": stream.frames_sent,
                "most_queued_ms": round(stream.most_queued_ms),
            }
            for stream in record.streams
        ],
    }


def _wav(pcmu: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(decode_pcmu(pcmu))
    return file.getvalue()
