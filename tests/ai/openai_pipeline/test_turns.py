"""Turns of the agent: one after the other, dropped, remembered for a while."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from service.ai.base import Brief
from service.ai.openai.errors import OpenAIFault
from service.ai.openai_pipeline.turn import Turn
from service.ai.openai_pipeline.turns import KNOWN_MOST, Turns, Write
from service.core.audio import PCM16_8K
from service.core.calls import CallId
from service.core.events import EndRequested, EngineEvent, TurnEnded, TurnStarted, TurnText
from service.replay.virtual import run
from tests.ai.openai_pipeline.calling import agent
from tests.ai.openai_pipeline.test_narration import Mouth

END = EndRequested("goodbye")


class House:
    def __init__(self) -> None:
        self.faults: list[str] = []

    def failed(self, turn: Turn, fault: OpenAIFault) -> None:
        self.faults.append(fault.code)

    def crashed(self, name: str) -> None:
        self.faults.append(name)


class Stage:
    """Turns with a mouth of their own, and what is heard of them."""

    def __init__(self, mouth: Mouth) -> None:
        self.house = House()
        self.events: list[EngineEvent] = []
        number = itertools.count(1)
        brief = Brief(call_id=CallId("c"), agent=agent(), hears=PCM16_8K, speaks=PCM16_8K)
        self.turns = Turns(
            brief,
            self.events.append,
            lambda prefix: f"{prefix}_{next(number):03d}",
            voice=cast("Any", mouth),
            house=self.house,
        )

    def writing(self, *sentences: str, after_s: float = 0.0) -> Write:
        async def write(turn: Turn) -> None:
            await asyncio.sleep(after_s)
            self.turns.started(turn)
            for sentence in sentences:
                turn.add(sentence)
            turn.narration.finish()

        return write

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def text(self) -> str:
        return "|".join(event.text for event in self.of(TurnText))


def play(story: Callable[[Stage], Awaitable[None]], mouth: Mouth | None = None) -> Stage:
    async def main() -> Stage:
        stage = Stage(mouth or Mouth())
        await story(stage)
        await stage.turns.aclose()
        assert len(asyncio.all_tasks()) == 1
        return stage

    return run(main())


def test_what_was_begun_first_is_heard_first() -> None:
    async def story(stage: Stage) -> None:
        stage.turns.begin(stage.writing("One.", after_s=2))
        stage.turns.begin(stage.writing("Two."))
        await asyncio.sleep(5)

    stage = play(story)
    assert stage.text == "One.|Two."
    assert [type(e) for e in stage.events if isinstance(e, TurnStarted | TurnEnded)] == [
        TurnStarted,
        TurnEnded,
    ] * 2


def test_any_number_may_wait() -> None:
    async def story(stage: Stage) -> None:
        stage.turns.begin(stage.writing("First.", after_s=60))
        for number in range(3 * KNOWN_MOST):
            stage.turns.begin(stage.writing(f"{number}."))
            await asyncio.sleep(1)
        await asyncio.sleep(60)

    stage = play(story)
    assert stage.text == "|".join(["First.", *(f"{n}." for n in range(3 * KNOWN_MOST))])


def test_old_ones_are_forgotten() -> None:
    async def story(stage: Stage) -> None:
        known = [stage.turns.begin(stage.writing(f"{number}.")) for number in range(20)]
        await asyncio.sleep(60)
        known += [stage.turns.begin(stage.writing(f"{number}.")) for number in range(3)]
        assert stage.turns.find(known[0].turn_id) is None
        assert stage.turns.find(known[-1].turn_id) is known[-1]

    play(story)


def test_what_follows_a_turn_follows_its_end() -> None:
    async def story(stage: Stage) -> None:
        first = stage.turns.begin(stage.writing("One."), effect=END)
        await asyncio.sleep(5)
        second = stage.turns.begin(stage.writing("Two."))
        stage.turns.follow(second, END)
        await asyncio.sleep(5)
        stage.turns.follow(first, END)

    stage = play(story)
    kinds = [type(e) for e in stage.events if isinstance(e, TurnEnded | EndRequested)]
    assert kinds == [TurnEnded, EndRequested, TurnEnded, EndRequested, EndRequested]


def test_what_has_not_begun_is_known() -> None:
    async def story(stage: Stage) -> None:
        stage.turns.begin(stage.writing("Exact."), exact=True)
        waiting = stage.turns.begin(stage.writing("One."))
        thinking = stage.turns.begin(stage.writing("Two.", after_s=60))
        stage.turns.begin(stage.writing("Held."), held=True)
        await asyncio.sleep(0.2)
        assert stage.turns.answers_not_begun() == [waiting, thinking]
        await asyncio.sleep(5)
        assert stage.turns.answers_not_begun() == [thinking]
        stage.turns.drop(thinking)
        assert stage.turns.answers_not_begun() == []

    assert play(story).text == "Exact.|One."


def test_faults_of_servers_and_our_own_are_told_apart() -> None:
    async def breaks(turn: Turn) -> None:
        raise KeyError("x")

    async def story(stage: Stage) -> None:
        stage.turns.begin(stage.writing("Broken."))
        stage.turns.begin(breaks)
        await asyncio.sleep(5)

    mouth = Mouth()
    mouth.broken = {"Broken."}
    assert sorted(play(story, mouth).house.faults) == ["ExceptionGroup", "openai.stalled"]


@pytest.mark.parametrize("after_s", [0.0, 0.05, 0.15])
def test_of_what_is_dropped_no_more_is_told(after_s: float) -> None:
    async def story(stage: Stage) -> None:
        turn = stage.turns.begin(stage.writing("One.", "Two."))
        await asyncio.sleep(after_s)
        stage.turns.drop(turn)
        count = len(stage.events)
        await asyncio.sleep(5)
        assert len(stage.events) == count

    stage = play(story)
    assert stage.of(TurnEnded) == []
    assert stage.house.faults == []
