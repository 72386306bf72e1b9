"""The REST API for calls and agents. Follows the interface, section 5.

A handler reads what it is sent, does one thing, and answers; what stands before every one of them
is the guard.
"""

import re
from collections.abc import Callable, Collection, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from service.agents import AgentBook, agent_schema
from service.calls.control import Control
from service.calls.follow import follow
from service.calls.guard import Guard, Handler, Refused
from service.calls.mailbox import Mailbox
from service.calls.models import (
    FollowEvents,
    Instruct,
    ListCalls,
    ListEvents,
    PlaceCall,
    PressKeys,
    Say,
    TransferTo,
)
from service.calls.placing import Placing, once
from service.calls.problems import problem
from service.calls.records import public
from service.calls.store import CallStore
from service.calls.tape import Tape
from service.calls.transcript import turns
from service.clock import Clock, Ids
from service.core.calls import Call, CallEnd, CallEnded, CallEnding, CallState, Outcome
from service.core.errors import UnknownCall
from service.core.events import (
    ControlEvent,
    DigitsRequested,
    HangUpRequested,
    InstructionsGiven,
    SayRequested,
    TransferRequested,
)

EVENT_STREAM = "text/event-stream"
SCHEMA_TYPE = "application/schema+json"
KEY_LIMIT = 255  # characters of an Idempotency-Key
EVENT_ID = re.compile(r"[0-9]{1,15}-[0-9]{1,15}")


class Api:
    """The handlers."""

    def __init__(
        self,
        *,
        store: CallStore,
        guard: Guard,
        placing: Placing,
        control: Control,
        mailbox: Mailbox,
        agents: AgentBook,
        clock: Clock,
        ids: Ids,
        closing: Callable[[], bool],
        mute_engines: Collection[str],
        tape: Tape | None = None,
    ) -> None:
        self._store = store
        self._guard = guard
        self._placing = placing
        self._control = control
        self._mailbox = mailbox
        self._agents = agents
        self._clock = clock
        self._ids = ids
        self._closing = closing
        self._mute_engines = mute_engines
        self._tape = tape

    def routes(self) -> list[Route]:
        """Everything under /v1."""
        one = "/v1/calls/{call_id}"
        table = [
            ("POST", "/v1/calls", self._place),
            ("GET", "/v1/calls", self._list),
            ("GET", one, self._read),
            ("GET", one + "/events", self._events),
            ("GET", "/v1/events", self._all_events),
            ("GET", one + "/transcript", self._transcript),
            ("POST", one + "/hangup", self._taped(self._hang_up)),
            ("POST", one + "/say", self._taped(self._say)),
            ("POST", one + "/dtmf", self._taped(self._press)),
            ("POST", one + "/transfer", self._taped(self._transfer)),
            ("POST", one + "/instructions", self._taped(self._instruct)),
            ("GET", "/v1/agents", self._list_agents),
        ]
        by_path: dict[str, dict[str, Handler]] = {}
        for method, path, handler in table:
            by_path.setdefault(path, {})[method] = self._guard(handler)
        return [
            *(Route(path, _by_method(by), methods=[*by]) for path, by in by_path.items()),
            Route("/v1/agents/schema", _agent_schema, methods=["GET"]),
        ]

    def _taped(self, act: Handler) -> Handler:
        """What is done to a recorded call belongs to its cassette."""

        tape = self._tape
        if tape is None:
            return act

        async def handle(request: Request) -> Response:
            came = tape.stamp()
            response = await act(request)
            body: bytes = getattr(request.state, "body", b"")
            tape.asked(came, request.method, request.url.path, body, response)
            return response

        return handle

    # Reading -----------------------------------------------------------------------------------

    async def _list(self, request: Request) -> Response:
        asked = self._guard.read_query(request, ListCalls)
        page = await self._store.list(
            state=asked.state, provider=asked.provider, limit=asked.limit, cursor=asked.cursor
        )
        calls = [public(call) for call in page.calls]
        return JSONResponse({"calls": calls, "next_cursor": page.next_cursor})

    async def _read(self, request: Request) -> Response:
        return JSONResponse(public(await self._call(request)))

    async def _events(self, request: Request) -> Response:
        call = await self._call(request)
        if _wants_stream(request):
            return self._stream(call.call_id, self._beginning(request), over=_over(call))
        return await self._page_of_events(request, call.call_id)

    async def _all_events(self, request: Request) -> Response:
        if _wants_stream(request):
            after_id = self._beginning(request) or await self._store.last_id()
            return self._stream(None, after_id, over=False)
        return await self._page_of_events(request, None)

    async def _page_of_events(self, request: Request, call_id: str | None) -> Response:
        asked = self._guard.read_query(request, ListEvents)
        after_id = asked.cursor or asked.after
        found = await self._store.entries(call_id, after_id=after_id, limit=asked.limit + 1)
        events = found[: asked.limit]
        cursor = events[-1].id if len(found) > len(events) else None
        return JSONResponse({"events": [event.public() for event in events], "next_cursor": cursor})

    def _beginning(self, request: Request) -> str | None:
        """The id to follow on after: as the URL says, or a browser that comes back to it."""
        asked = self._guard.read_query(request, FollowEvents)
        return _last_id(request) or asked.after

    def _stream(self, call_id: str | None, after_id: str | None, *, over: bool) -> Response:
        events = follow(self._store, call_id, after_id=after_id, over=over, closing=self._closing)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(events, media_type=EVENT_STREAM, headers=headers)

    async def _transcript(self, request: Request) -> Response:
        call = await self._call(request)
        return JSONResponse({"turns": turns(await self._store.record(call.call_id))})

    async def _list_agents(self, _request: Request) -> Response:
        agents = [
            {
                "name": agent.name,
                "engine": agent.engine,
                "fallback": [*agent.fallback],
                "numbers": [*agent.numbers],
                "tools": [tool.name for tool in agent.tools],
            }
            for agent in self._agents
        ]
        return JSONResponse({"agents": agents})

    # Doing -------------------------------------------------------------------------------------

    async def _place(self, request: Request) -> Response:
        wanted, body = await self._guard.read(request, PlaceCall)
        key = request.headers.get("idempotency-key")
        if key is None:
            return await self._placing.place(wanted)
        if not 0 < len(key) <= KEY_LIMIT:
            return problem(400, "idempotency.bad_key", f"1 to {KEY_LIMIT} characters")
        # A key belongs to who uses it.
        mine = f"{request.state.key_name}/{key}"
        return await once(self._store.requests, mine, body, lambda: self._placing.place(wanted))

    async def _hang_up(self, request: Request) -> Response:
        call = await self._call(request)
        if _over(call):
            return JSONResponse(public(call))
        outcome = Outcome.CANCELED if call.answered_at is None else Outcome.COMPLETED
        end = CallEnd(outcome, "hangup", "api")
        ending = CallEnding(event_id=self._new_id(), occurred_at=self._clock.utc(), end=end)
        call = (await self._store.apply(call.call_id, ending)).call
        told = await self._mailbox.send(call, HangUpRequested("hangup", "api"))
        await self._control.hang_up(call)
        alone = call.transferred_at is not None or not self._control.reaches(call)
        if not told and call.provider_call_id is not None and alone:
            # Nobody is there who could say that it is over: no bridge, and maybe no webhook.
            ended = CallEnded(event_id=self._new_id(), occurred_at=self._clock.utc(), end=end)
            call = (await self._store.apply(call.call_id, ended)).call
        return JSONResponse(public(call), 202)

    async def _say(self, request: Request) -> Response:
        say, _ = await self._guard.read(request, Say)
        return await self._tell(request, SayRequested(say.text))

    async def _press(self, request: Request) -> Response:
        keys, _ = await self._guard.read(request, PressKeys)
        return await self._tell(request, DigitsRequested(keys.digits))

    async def _transfer(self, request: Request) -> Response:
        wanted, _ = await self._guard.read(request, TransferTo)
        return await self._tell(request, TransferRequested(wanted.to, from_outside=True))

    async def _instruct(self, request: Request) -> Response:
        told, _ = await self._guard.read(request, Instruct)
        return await self._tell(request, InstructionsGiven(told.text))

    async def _tell(self, request: Request, event: ControlEvent) -> Response:
        call = await self._call(request)
        if _over(call) or call.pending_end is not None:
            return problem(409, "call.ended", "the call has ended")
        if call.transferred_at is not None:
            return problem(409, "call.transferred", "the call was handed to another number")
        if isinstance(event, TransferRequested) and not self._control.reaches(call):
            return problem(409, "carrier.cannot_transfer", "no carrier can be asked to")
        if isinstance(event, SayRequested) and call.attached and self._is_mute(call):
            return problem(409, "engine.cannot_speak", "the agent's engine has no voice")
        if not await self._mailbox.send(call, event):
            return problem(409, "call.not_connected", "the call has no media stream now")
        return JSONResponse(public(call), 202)

    async def _call(self, request: Request) -> Call:
        call = await self._store.get(request.path_params["call_id"])
        if call is None:
            raise UnknownCall("call.unknown", "no such call")
        return call

    def _is_mute(self, call: Call) -> bool:
        agent = self._agents.get(call.agent)
        return agent is not None and agent.engine in self._mute_engines

    def _new_id(self) -> str:
        return self._ids.new("evt")


def _by_method(handlers: Mapping[str, Handler]) -> Handler:
    """One handler for a path, so that an answer of 405 names every method it knows."""

    async def handle(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await handlers[method](request)

    return handle


async def _agent_schema(_request: Request) -> Response:
    """Without a key: an editor has none, and the schema tells nothing of this service."""
    return JSONResponse(agent_schema(), media_type=SCHEMA_TYPE)


def _over(call: Call) -> bool:
    return call.state is CallState.ENDED


def _wants_stream(request: Request) -> bool:
    return EVENT_STREAM in request.headers.get("accept", "")


def _last_id(request: Request) -> str | None:
    """The id to go on after, as a browser sends it when it comes back."""
    last = request.headers.get("last-event-id", "")
    if not last:
        return None
    if not EVENT_ID.fullmatch(last):
        raise Refused(problem(400, "request.bad_event_id", "Last-Event-ID is no id of ours"))
    return last
