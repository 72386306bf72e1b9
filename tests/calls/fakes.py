"""A carrier small enough to see through."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import msgspec

from providers.base import (
    Answer,
    Flow,
    HttpRequest,
    HttpResponse,
    Notice,
    Offer,
    Provider,
    WebhookRequest,
    Wire,
)
from service.core.calls import (
    Call,
    CallAnswered,
    CallEnded,
    CallEvent,
    CallReturned,
    CallRinging,
    Noted,
)
from service.core.errors import (
    CallGone,
    CarrierDown,
    CarrierSilent,
    NumberRefused,
    RateLimited,
    SignatureInvalid,
)
from service.core.events import MachineDetected

_EVENTS: dict[str, type[CallEvent]] = {
    "ringing": CallRinging,
    "answered": CallAnswered,
    "ended": CallEnded,
    "noted": Noted,
    "returned": CallReturned,
}


class FakeWebhooks:
    """Says what the JSON body says. `by_flow`: answers by REST instead of in the reply."""

    paths: tuple[str, ...] = ("/webhook", "/done")

    def __init__(self, rest: "FakeRest", *, by_flow: bool) -> None:
        self._rest = rest
        self._by_flow = by_flow

    def verify(self, request: WebhookRequest, now_s: float) -> None:
        if request.headers.get("x-signature") != "good":
            raise SignatureInvalid("acme.bad_signature")

    def parse(self, request: WebhookRequest) -> Notice:
        try:
            said = json.loads(request.body)
        except ValueError:
            return Notice()
        events = [msgspec.convert(event, _EVENTS[kind]) for kind, event in said.pop("events", [])]
        offer = said.pop("offer", None)
        machine = said.pop("machine", None)
        return Notice(
            **said,
            machine=MachineDetected(**machine) if machine else None,
            events=tuple(events),
            offer=msgspec.convert(offer | {"from_": offer["from"]}, Offer) if offer else None,
        )

    def connect(self, call: Call, stream_url: str) -> Answer:
        if self._by_flow:
            name = call.provider_call_id or ""
            return Answer(200, flow=lambda: self._rest.command(name, "answer"))
        return Answer(200, {"content-type": "text/plain"}, f"connect {stream_url}".encode())

    def take_back(self, call: Call, stream_url: str) -> Answer:
        if self._by_flow:
            name = call.provider_call_id or ""
            return Answer(200, flow=lambda: self._rest.command(name, "take_back"))
        return Answer(200, body=f"take back {stream_url}".encode())

    def refuse(self, notice: Notice) -> Answer:
        return self._reply(notice, "refuse")

    def let_go(self, notice: Notice) -> Answer:
        return self._reply(notice, "let_go")

    def acknowledge(self, notice: Notice) -> Answer:
        return Answer(200 if self._by_flow else 204)

    def _reply(self, notice: Notice, word: str) -> Answer:
        if self._by_flow:
            name = notice.provider_call_id or ""
            return Answer(200, flow=lambda: self._rest.command(name, word))
        return Answer(200, body=word.encode())


class FakeRest:
    """POST {name}.test/{what}; the answer's status says how it went."""

    def __init__(self, name: str) -> None:
        self._name = name

    def place(self, call: Call, stream_url: str) -> Flow[str]:
        response = yield self._post("place", {"to": call.to, "stream_url": stream_url})
        self._check(response)
        name: str = json.loads(response.body)["name"]
        return name

    def hang_up(self, call: Call) -> Flow[None]:
        yield from self.command(call.provider_call_id or "", "hang_up")

    def transfer(self, call: Call, to: str) -> Flow[None]:
        yield from self.command(call.provider_call_id or "", f"transfer/{to}")

    def send_digits(self, call: Call, digits: str) -> Flow[None] | None:
        return self.command(call.provider_call_id or "", f"digits/{digits}")

    def command(self, call: str, what: str) -> Flow[None]:
        self._check((yield self._post(what, {"call": call})))

    def _post(self, what: str, body: dict[str, str]) -> HttpRequest:
        url = f"http://{self._name}.test/{what}"
        return HttpRequest("POST", url, {"authorization": "secret"}, json.dumps(body).encode())

    def _check(self, response: HttpResponse) -> None:
        code = f"{self._name}.{response.status}"
        match response.status:
            case 0:
                raise CarrierSilent(code, retryable=True)
            case 410:
                raise CallGone(code, status=410)
            case 422:
                raise NumberRefused(code, status=422)
            case 429:
                raise RateLimited(code, retry_after_ms=1)
            case status if status >= 400:
                raise CarrierDown(code, status=status, retryable=True)
            case _:
                return


def _no_wire() -> Wire:
    raise AssertionError("no test of this room opens a media socket")


def fake_provider(name: str = "acme", *, by_flow: bool = False) -> Provider:
    rest = FakeRest(name)
    return Provider(
        name=name,
        open_wire=_no_wire,
        check_upgrade=lambda request, announced: None,
        webhooks=FakeWebhooks(rest, by_flow=by_flow),
        rest=rest,
        tells_end=True,
    )


class FakeCarrierApi:
    """What the carriers' REST APIs were asked, and what they answer."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, list[int]] = {}
        """Statuses for what is asked next, by path; 200 when there are none; 0: no answer."""
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        """Happens once, while the next request is being answered."""

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((request.url.path[1:], json.loads(request.content)))
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        statuses = self.answers.get(request.url.path[1:])
        status = statuses.pop(0) if statuses else 200
        if status == 0:
            raise httpx.ReadTimeout("nothing came")
        return httpx.Response(status, json={"name": f"CA-{len(self.asked)}"})

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]
