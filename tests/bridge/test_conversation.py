"""The way to an engine: what it cannot take yet is kept, and sound alone is ever dropped."""

import asyncio

from service.agents import Agent
from service.ai.base import Brief
from service.bridge.conversation import HEARD_BEFORE_OPEN, Conversation
from service.clock import Clock
from service.core.audio import PCMU_8K
from service.core.calls import CallId
from service.core.commands import Hear, StartTurn, TellDigit
from service.core.errors import EngineError
from service.core.events import EngineEvent, EngineFailed
from tests.bridge.fakes import FakeEngine
from tests.bridge.scene import heard, on_virtual_time

BRIEF = Brief(
    call_id=CallId("call_1"),
    agent=Agent(name="default", engine="echo", greeting="Hello."),
    hears=PCMU_8K,
    speaks=PCMU_8K,
)


def hear(number: int) -> Hear:
    return Hear(heard(number * 20).frame)


@on_virtual_time
async def test_an_engine_that_opens_late_gets_every_command_and_the_newest_sound() -> None:
    engine, over = FakeEngine(), asyncio.Event()
    engine.may_open.clear()
    conversation = Conversation([engine], Clock())
    holding = asyncio.create_task(conversation.hold(lambda: BRIEF, print, over.wait))
    conversation.do(StartTurn("Hello."), 0)
    for number in range(HEARD_BEFORE_OPEN + 50):
        conversation.do(hear(number), 0)
    conversation.do(TellDigit("5"), 0)
    for number in range(HEARD_BEFORE_OPEN + 50, HEARD_BEFORE_OPEN + 60):
        conversation.do(hear(number), 0)
    engine.may_open.set()
    await asyncio.sleep(0.1)
    kept = [hear(number) for number in range(60, HEARD_BEFORE_OPEN + 60)]
    assert engine.told == [StartTurn("Hello."), *kept[:-10], TellDigit("5"), *kept[-10:]]
    over.set()
    await holding


@on_virtual_time
async def test_an_engine_that_refuses_is_told_of_by_its_own_code() -> None:
    engine, events = FakeEngine(), list[EngineEvent]()
    engine.trouble = EngineError("openai.no_key", "nobody knows it")
    await Conversation([engine], Clock()).hold(lambda: BRIEF, events.append, asyncio.Event().wait)
    assert events == [EngineFailed("openai.no_key", "nobody knows it")]


@on_virtual_time
async def test_an_engine_that_crashes_in_the_middle_is_told_of_without_its_words() -> None:
    engine, events = FakeEngine(), list[EngineEvent]()

    async def crash() -> None:
        raise ValueError("what a person said")

    await Conversation([engine], Clock()).hold(lambda: BRIEF, events.append, crash)
    assert events == [EngineFailed("engine.crashed", "ValueError")]
    assert not engine.is_open
