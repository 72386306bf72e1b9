"""Trying again within a stage's deadline, where the error says that it may help."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from service.ai.openai.errors import OpenAIFault, stage

TRIES_MOST = 3

T = TypeVar("T")


async def in_time(name: str, deadline_s: float, attempt: Callable[[], Awaitable[T]]) -> T:
    """What `attempt` gives; tried again after the server's hint while there is time for it.

    OpenAIFault when it failed for good, `openai.stalled` when it took longer than the deadline.
    """
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + deadline_s
    for tries in range(1, TRIES_MOST + 1):
        try:
            async with stage(name, ends_s - loop.time()):
                return await attempt()
        except OpenAIFault as fault:
            again_s = fault.retry_after_ms / 1000
            if not fault.retryable or tries == TRIES_MOST or loop.time() + again_s >= ends_s:
                raise
        await asyncio.sleep(again_s)
    raise AssertionError("the last try raises")
