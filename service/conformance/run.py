"""All rules for one carrier, run against one bridge, a few at a time."""

import asyncio
from collections.abc import Callable, Sequence

from service.conformance import orders, sockets, sound, telnyx, twilio, webhooks
from service.conformance.check import Check, Result, judge
from service.conformance.kit import Kit
from service.twin.telnyx import TelnyxTwin

_SHARED = (*sockets.CHECKS, *webhooks.CHECKS, *sound.CHECKS, *orders.CHECKS)
CHECKS: dict[str, tuple[Check, ...]] = {
    "twilio": (*_SHARED, *webhooks.OF_TWILIO, *twilio.CHECKS),
    "telnyx": (*_SHARED, *webhooks.OF_TELNYX, *telnyx.CHECKS),
}


async def conform(
    kit: Kit,
    *,
    at_once: int = 3,
    only: Sequence[str] = (),
    told: Callable[[Result], None] | None = None,
) -> list[Result]:
    """The results, in the order of the checks; `told` hears each as it comes."""
    carrier = "telnyx" if isinstance(kit.twin, TelnyxTwin) else "twilio"
    turn = asyncio.Semaphore(at_once)

    async def run(check: Check) -> Result:
        async with turn:
            result = await judge(check, kit)
        if told is not None:
            told(result)
        return result

    chosen = [check for check in CHECKS[carrier] if not only or check.name in only]
    return list(await asyncio.gather(*map(run, chosen)))
