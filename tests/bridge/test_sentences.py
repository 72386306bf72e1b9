"""Sentences are there when they are needed: in the engine's voice if it could, else in ours."""

import asyncio

from service.agents import Agent
from service.ai.spoken import Spoken
from service.bridge.sentences import MAKE_S, Sentences
from service.core.errors import EngineError
from tests.bridge.fakes import FakeEngine
from tests.bridge.scene import on_virtual_time

AGENT = Agent.model_validate(
    {
        "name": "default",
        "engine": "openai-pipeline",
        "greeting": "Hello.",
        "filler": {"says": ["One moment, {name}."]},
        "last_resort": {"says": "Sorry."},
    }
)
OURS, THEIRS = Spoken(b"ours"), Spoken(b"theirs")


async def our_voice(_text: str, _agent: Agent) -> Spoken:
    return OURS


class Singer(FakeEngine):
    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def speak(self, text: str, agent: Agent) -> Spoken:
        self.asked.append(text)
        return THEIRS


async def test_before_the_first_call_they_are_in_the_voice_on_this_machine() -> None:
    sentences = Sentences(our_voice)
    await sentences.prepare([AGENT])
    assert sentences.ready(AGENT, "Sorry.") is OURS


async def test_a_call_brings_the_engines_voice_and_its_own_variables() -> None:
    sentences, engine = Sentences(our_voice), Singer()
    await sentences.prepare([AGENT])
    await sentences.make(engine, AGENT, {"name": "Ana"})
    assert sentences.ready(AGENT, "Sorry.") is THEIRS
    assert sentences.ready(AGENT, "One moment, Ana.") is THEIRS
    assert engine.asked == ["Sorry.", "One moment, Ana."]
    await sentences.make(engine, AGENT, {"name": "Ana"})
    assert len(engine.asked) == 2


async def test_what_an_engine_cannot_say_is_said_by_this_machine() -> None:
    sentences = Sentences(our_voice)
    await sentences.make(FakeEngine(), AGENT, {"name": "Ana"})
    assert sentences.ready(AGENT, "One moment, Ana.") is OURS


@on_virtual_time
async def test_a_voice_that_takes_too_long_is_not_waited_for() -> None:
    class Slow(FakeEngine):
        async def speak(self, text: str, agent: Agent) -> Spoken:
            await asyncio.sleep(2 * MAKE_S)
            raise EngineError("slow.never", "")

    sentences = Sentences(our_voice)
    await sentences.make(Slow(), AGENT, {})
    assert sentences.ready(AGENT, "Sorry.") is OURS


@on_virtual_time
async def test_calls_that_begin_at_once_have_a_sentence_made_once() -> None:
    class Thorough(Singer):
        async def speak(self, text: str, agent: Agent) -> Spoken:
            await asyncio.sleep(1)
            return await super().speak(text, agent)

    sentences, engine = Sentences(), Thorough()
    await asyncio.gather(*(sentences.make(engine, AGENT, {"name": "Ana"}) for _ in range(5)))
    assert sorted(engine.asked) == ["One moment, Ana.", "Sorry."]


async def test_without_any_voice_nothing_is_ready() -> None:
    sentences = Sentences()
    await sentences.make(FakeEngine(), AGENT, {})
    assert sentences.ready(AGENT, "Sorry.") is None
