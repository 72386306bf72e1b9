"""What a test of the whole service has at hand: the process, the carriers, the API and Redis."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from msgspec import Struct
from redis import Redis

from tests.service.carriers import (
    Caller,
    Line,
    line,
    new_control_id,
    new_sid,
    target_of,
    telnyx_event,
    twilio_form,
    until,
)
from tests.service.process import Process
from tests.service.rest_api import RestApi

STREAM = re.compile(r'<Stream url="([^"]+)"')


class Announced(Struct, frozen=True):
    """A call that the service knows and whose socket may come."""

    carrier: str
    call_id: str
    provider_call_id: str
    target: str  # of its media socket


class Bench(Struct, frozen=True):
    """Everything."""

    service: Process
    carrier: Caller
    api: httpx.AsyncClient
    redis: Redis
    rest: RestApi

    async def call(self, call_id: str) -> dict[str, Any]:
        answer = await self.api.get(f"/v1/calls/{call_id}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def events(self, call_id: str) -> list[dict[str, Any]]:
        answer = await self.api.get(f"/v1/calls/{call_id}/events")
        found: list[dict[str, Any]] = answer.json()["events"]
        return found

    async def story(self, call_id: str) -> list[str]:
        return [event["type"] for event in await self.events(call_id)]

    async def ended(self, call_id: str) -> dict[str, Any]:
        """The call, once it is over."""

        async def over() -> dict[str, Any] | None:
            call = await self.call(call_id)
            return call if call["state"] == "ended" else None

        found: dict[str, Any] = await until(over, "the call does not end")
        return found

    async def state(self, call_id: str, state: str) -> dict[str, Any]:
        """The call, once it is in this state."""

        async def there() -> dict[str, Any] | None:
            call = await self.call(call_id)
            return call if call["state"] == state else None

        found: dict[str, Any] = await until(there, f"the call is never {state}")
        return found

    async def noted(self, call_id: str, type_: str) -> dict[str, Any]:
        """The first event of this type, once it is there."""

        async def there() -> list[dict[str, Any]]:
            return [event for event in await self.events(call_id) if event["type"] == type_]

        found: list[dict[str, Any]] = await until(there, f"no {type_}")
        return found[0]

    async def announce(self, carrier: str, query: str = "", **facts: str) -> Announced:
        """An inbound call of this carrier, up to where its socket may be opened."""
        if carrier == "twilio":
            sid = new_sid()
            answer = await self.carrier.twilio(f"/twilio/voice{query}", twilio_form(sid, **facts))
            assert answer.status_code == 200, answer.text
            found = STREAM.search(answer.text)
            assert found is not None, answer.text
            url = found[1]
        else:
            sid = new_control_id()
            offer = telnyx_event(
                "call.initiated", sid, direction="incoming", state="parked", **facts
            )
            answer = await self.carrier.telnyx(offer, f"/telnyx/webhook{query}")
            assert answer.status_code == 200, answer.text
            [(_, body)] = await until(lambda: self.rest.orders_to(sid), "never answered")
            url = body["stream_url"]
            await self.carrier.telnyx(telnyx_event("call.answered", sid))
        target = target_of(url)
        call_id = target.rpartition("/")[2].partition(".")[0]
        return Announced(carrier, call_id, sid, target)

    async def place(self, carrier: str, **order: Any) -> dict[str, Any]:
        body = {"provider": carrier, "to": "+14155550100", "from": "+14155550123", **order}
        answer = await self.api.post("/v1/calls", json=body)
        assert answer.status_code == 201, answer.text
        placed: dict[str, Any] = answer.json()
        return placed

    @asynccontextmanager
    async def socket(self, call: Announced) -> AsyncIterator[Line]:
        """The call's media socket."""
        async with line(
            self.service.ws_url, call.target, call.carrier, call.provider_call_id
        ) as opened:
            yield opened

    @asynccontextmanager
    async def talking(
        self, carrier: str, query: str = "", **facts: str
    ) -> AsyncIterator[tuple[Announced, Line]]:
        """An inbound call whose stream has started; it is ended by the person in the end."""
        call = await self.announce(carrier, query, **facts)
        async with self.socket(call) as opened:
            await opened.start()
            await self.state(call.call_id, "bridged")
            yield call, opened
            if opened.socket.close_code is None:
                await self.hang_up_line(call, opened)
            assert opened.complaints == []
        await self.ended(call.call_id)

    async def hang_up_line(self, call: Announced, opened: Line) -> None:
        """The person hangs up: stop, close, and the carrier's webhooks."""
        await opened.stop()
        if call.carrier == "twilio":
            form = twilio_form(call.provider_call_id, CallStatus="completed")
            await self.carrier.twilio(f"/twilio/connect-done?call_id={call.call_id}", form)
        else:
            hangup = telnyx_event(
                "call.hangup", call.provider_call_id, hangup_cause="normal_clearing"
            )
            await self.carrier.telnyx(hangup)
