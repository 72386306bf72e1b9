"""A person on a line without a media stream: they hear nothing, and go on with their script.

What they say goes nowhere. Carrier-neutral, and paced by the loop's clock like a Line.
"""

import asyncio
import itertools

from service.core.audio import FRAME_MS
from service.twin.caller import Caller, HangUp, Remark
from service.twin.record import CallRecord


async def hold(caller: Caller, record: CallRecord) -> None:
    """Until the person hangs up; to be cancelled when the line ends otherwise."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for frame in itertools.count(1):
        await asyncio.sleep(max(0.0, began_s + frame * FRAME_MS / 1000 - loop.time()))
        for act in caller.tick(b""):
            if isinstance(act, Remark):
                record.remark(act.kind, act.text)
            elif isinstance(act, HangUp):
                record.remark("hangs_up", "")
                return
