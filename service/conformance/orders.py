"""Rules for a bridge that places calls: one order, one call, whatever the carrier answers.

Only judged when the kit knows how to order (`--order-url`).
"""

import asyncio
from collections.abc import Callable

import httpx

from service.conformance import readings
from service.conformance.check import Check, Failed, NotApplicable, must, should
from service.conformance.kit import Kit
from service.twin.behaviour import Outcome, RestFault
from service.twin.caller import HangUp, Silence, WaitForAgentStart
from service.twin.record import CallRecord

_SOURCE = "Twilio: Call resource. Telnyx: Dial, API error codes"
_SECOND_DIAL_S = 8.0  # a bridge that dials twice does so soon
_LOOK_S = 0.05
_CALL_S = 60.0


async def _order(kit: Kit, outcome: Outcome) -> str:
    """Have a call placed to a number of its own; the number."""
    if kit.order is None:
        raise NotApplicable("no order URL was given")
    to = kit.far_end()
    kit.twin.outcomes[to] = outcome
    body = kit.order.body.replace("{to}", to)
    headers = {"content-type": "application/json", **kit.order.headers}
    try:
        await kit.http.post(kit.order.url, content=body, headers=headers)
    except httpx.TransportError as error:
        raise Failed("an answer to an order", type(error).__name__) from None
    return to


def _placed(kit: Kit, to: str) -> list[CallRecord]:
    return [record for record in kit.twin.records if record.to == to]


async def _call(kit: Kit, outcome: Outcome) -> CallRecord:
    """The one call that an order became, when it is over."""
    to = await _order(kit, outcome)
    if not await _within(kit.limits.order_ms / 1000, lambda: bool(_placed(kit, to))):
        raise Failed("a call to be placed", "none was")
    if not await _within(_CALL_S, lambda: _placed(kit, to)[0].ended_at_ms is not None):
        raise Failed("the call to end", f"it went on for {_CALL_S:.0f} s")
    await asyncio.sleep(1)  # the last callbacks
    records = _placed(kit, to)
    if len(records) != 1:
        raise Failed("one call for one order", f"{len(records)} were placed")
    return records[0]


async def _within(seconds: float, come: Callable[[], bool]) -> bool:
    loop = asyncio.get_running_loop()
    end_s = loop.time() + seconds
    while not come():
        if loop.time() > end_s:
            return False
        await asyncio.sleep(_LOOK_S)
    return True


@must(_SOURCE)
async def an_order_becomes_one_call(kit: Kit) -> None:
    """It is dialled, answered, and connected to the agent."""
    start = WaitForAgentStart(kit.limits.answer_ms)
    record = await _call(kit, Outcome(ring_ms=500, steps=(start, Silence(1000), HangUp())))
    readings.must_live(record)
    readings.check_receipts(record)


@must(_SOURCE)
async def a_line_that_is_busy_is_no_trouble(kit: Kit) -> None:
    """What becomes of the call is told by callbacks, and they are taken."""
    readings.check_receipts(await _call(kit, Outcome(result="busy", ring_ms=500)))


@must(_SOURCE)
async def an_order_that_fails_is_not_dialled_twice(kit: Kit) -> None:
    """After a 5xx it is not known whether the phone rings: a second dial would ring it twice."""
    failing = RestFault(kind="html", status=502, executes=True)
    steps = (Silence(1000), HangUp())
    to = await _order(kit, Outcome(ring_ms=500, steps=steps, rest=failing))
    await asyncio.sleep(_SECOND_DIAL_S)
    if (dialled := len(_placed(kit, to))) > 1:
        raise Failed("one call for one order", f"{dialled} were placed")


@should(_SOURCE)
async def a_rate_limit_is_survived(kit: Kit) -> None:
    """429 means later; the next order to another number goes through."""
    await _order(kit, Outcome(rest=RestFault(kind="status", status=429, retry_after_s=1)))
    await _call(kit, Outcome(ring_ms=500, steps=(Silence(500), HangUp())))


CHECKS: tuple[Check, ...] = (
    an_order_becomes_one_call,
    a_line_that_is_busy_is_no_trouble,
    an_order_that_fails_is_not_dialled_twice,
    a_rate_limit_is_survived,
)
