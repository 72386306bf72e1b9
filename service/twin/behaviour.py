"""How the world behaves around a call: who answers, how callbacks travel, how REST fails.

All chance comes from the generator that is handed in, so that a run can be repeated.
"""

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from service.twin.caller import HangUp, Silence, Step

_TOKEN = re.compile(r"[A-Za-z0-9_~-]{16,}")
_WAIT_FOR_RECEIPT_S = 2.0  # a call does not stand still for a slow callback


Result = Literal["answered", "busy", "no-answer", "rejected", "not-found", "failed"]


class RestFault(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a REST request goes wrong: hang, html or status (429, 500, ...)."""

    kind: Literal["hang", "html", "status"]
    status: int = 500
    executes: bool = False  # the command is carried out, only its answer goes wrong
    retry_after_s: int | None = None


class Outcome(Struct, frozen=True, kw_only=True):
    """What becomes of a call that the bridge places, or hands over to somebody."""

    result: Result = "answered"
    ring_ms: int = 1000
    steps: Iterable[Step] = ()  # what the person does after answering
    talk_ms: int = 3000  # of a transfer without steps: after which the one called hangs up
    machine: str = "human"  # what detection finds: human, machine, or a word of the carrier's own
    beep: bool = True  # a machine's greeting ends in a tone
    greeting_ms: int = 4000  # after which it has ended
    rest: RestFault | None = None  # what becomes of the command that places it


Signing = Literal["good", "missing", "wrong_key", "changed", "other_url", "old"]


class Faults(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the carrier, or somebody in its name, does wrong on one call; nothing by default.

    `signature` of webhooks: changed after it was made, made for another URL (Twilio), or ten
    minutes old (Telnyx). `socket`: unsigned comes without the carrier's own key, forged without it
    and with another token than the bridge gave. `start`: never, or for a call that is another.
    """

    signature: Signing = "good"
    socket: Literal["good", "unsigned", "forged"] = "good"
    start: Literal["good", "never", "foreign"] = "good"
    noise: bool = False  # comfort noise at -35 dB wherever the person is silent
    novelties: bool = False  # fields and events that no document has, everywhere
    voice_twice: bool = False  # Twilio's voice webhook is repeated, with the same token


NOVELTY: dict[str, Any] = {"novelty": {"since": 2027, "values": [1, None, "x"]}}
"""What `novelties` puts into JSON messages."""


def forged(text: str) -> str:
    """The same, with every token in it (16 characters or more without a break) another one."""
    return _TOKEN.sub(lambda token: ("A" if token[0][0] != "A" else "B") + token[0][1:], text)


class Delivery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How callbacks travel: `copies` of each, each late by a random time between two bounds.

    `hold`: all that the call can do without are kept until it is over, and then come at once, in
    random order.
    """

    copies: int = 1
    delay_ms: tuple[int, int] = (0, 0)
    hold: bool = False


def talk(outcome: Outcome) -> Iterable[Step]:
    """What the one does whom a call was handed to."""
    return outcome.steps or (Silence(outcome.talk_ms), HangUp())


class Courier:
    """Carries one call's callbacks as a Delivery says."""

    def __init__(self, delivery: Delivery, chance: random.Random) -> None:
        self._delivery = delivery
        self._chance = chance
        self._held: list[Callable[[], Awaitable[None]]] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def deliver(self, send: Callable[[], Awaitable[None]], *, needed: bool = False) -> None:
        """Send it; waits for the receipt only when it is due at once, and then not for long.

        `needed`: the call cannot go on without it, so it is never held.
        """
        tasks = self.post(send, needed=needed)
        if tasks and self._delivery.delay_ms[1] == 0:
            await asyncio.wait(tasks, timeout=_WAIT_FOR_RECEIPT_S)

    def post(
        self, send: Callable[[], Awaitable[None]], *, needed: bool = False
    ) -> list[asyncio.Task[None]]:
        """Send it and wait for nothing."""
        if self._delivery.hold and not needed:
            self._held += [send] * self._delivery.copies
            return []
        return [self._start(send) for _ in range(self._delivery.copies)]

    async def settle(self) -> None:
        """Until everything has been delivered, held ones included. Raises what a delivery did."""
        self._chance.shuffle(self._held)
        for send in self._held:
            self._start(send)
        self._held.clear()
        while self._under_way:
            await asyncio.gather(*self._under_way)

    def _start(self, send: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        delay_ms = self._chance.randint(*self._delivery.delay_ms)

        async def travel() -> None:
            await asyncio.sleep(delay_ms / 1000)
            await send()
            self._under_way.discard(task)

        task = asyncio.create_task(travel(), name="twin callback")
        self._under_way.add(task)
        return task


async def hang(request: Request) -> Response:
    """Never answer; returns when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    return Response(status_code=499)


def html_page(status: int) -> Response:
    """What a proxy says when the API behind it is gone."""
    return HTMLResponse("<html><body><h1>Bad gateway</h1></body></html>", status)
