"""The caller's half alone: what is asked of a recogniser, and of who answers."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.ai.base import Brief
from service.ai.openai.caller import Utterance
from service.ai.openai.errors import RECOGNITION_S, OpenAIFault
from service.ai.openai_pipeline.hearing import Hearing
from service.ai.openai_pipeline.recognition import House
from service.core.audio import PCMU_8K, AudioFrame
from service.core.calls import CallId
from service.core.events import EngineEvent, EngineFailed, Transcribed
from service.replay.virtual import run
from tests.ai.openai_pipeline.calling import QUESTION, agent
from tests.voices import on_the_line, silence


class Ears:
    """A recogniser that understands when a test says so."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.turn: list[Utterance] = []
        self.every: list[Utterance] = []
        self.rests = 0

    async def open(self) -> None:
        """Always."""

    async def aclose(self) -> None:
        """Always."""

    def say(self, frames: list[AudioFrame]) -> None:
        """Whatever."""

    def cut(self) -> None:
        self.turn.append(Utterance())
        self.every.append(self.turn[-1])

    def dismiss(self) -> None:
        self.turn = []

    take_back = forget_doubtful = dismiss

    def close(self) -> list[Utterance]:
        turn, self.turn = self.turn, []
        return turn

    def give_up(self) -> None:
        for utterance in self.every:
            utterance.text = utterance.partial

    def rest(self) -> None:
        self.rests += 1

    def is_open(self, utterance: Utterance) -> bool:
        return utterance in self.turn

    @property
    def words(self) -> str:
        return " ".join(utterance.words for utterance in self.turn)

    @property
    def understood_all(self) -> bool:
        return all(utterance.text is not None for utterance in self.turn)

    def understand(self, text: str, number: int = -1) -> None:
        self.every[number].text = text
        self.house.understood(self.every[number])


class Mind:
    """Who answers."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def yield_floor(self) -> None:
        self.asked.append("yield")

    def prepare(self, heard: str) -> None:
        self.asked.append(f"prepare {heard}")

    def throw_away(self) -> None:
        self.asked.append("throw away")

    def heard(self, text: str) -> None:
        self.asked.append(f"heard {text}")

    def answer(self, heard: str) -> None:
        self.asked.append(f"answer {heard}")

    def excuse(self) -> None:
        self.asked.append("excuse")

    def fail(self, code: str, detail: str) -> None:
        self.asked.append(f"fail {code}")


class Scene:
    def __init__(self) -> None:
        self.mind = Mind()
        self.events: list[EngineEvent] = []
        self.ears: Ears
        brief = Brief(call_id=CallId("c"), agent=agent(), hears=PCMU_8K, speaks=PCMU_8K)
        self.hearing = Hearing(
            brief, self.events.append, self._ears, answerer=self.mind, judge=None
        )
        self._ms = 0

    def _ears(self, house: House) -> Ears:
        self.ears = Ears(house)
        return self.ears

    def hear(self, pcm: bytes) -> None:
        for frame in on_the_line(pcm, start_ms=self._ms):
            self._ms += frame.duration_ms
            self.hearing.hear(frame)

    @property
    def texts(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Transcribed)]


def play(story: Callable[[Scene], Awaitable[None]]) -> Scene:
    async def main() -> Scene:
        scene = Scene()
        await scene.hearing.open()
        await story(scene)
        await scene.hearing.aclose()
        return scene

    return run(main())


def test_the_answer_is_prepared_once_the_words_are_known() -> None:
    async def story(scene: Scene) -> None:
        scene.hear(QUESTION + silence(260))
        scene.ears.understand("where are you")
        scene.hear(silence(1000))

    assert play(story).mind.asked == [
        "yield",
        "prepare where are you",
        "heard where are you",
        "answer where are you",
    ]


def test_a_turn_that_goes_on_has_two_utterances() -> None:
    async def story(scene: Scene) -> None:
        scene.hear(QUESTION + silence(260))
        scene.ears.understand("where")
        scene.hear(QUESTION + silence(1000))
        scene.ears.understand("are you")

    scene = play(story)
    assert scene.texts == ["where are you"]
    assert scene.mind.asked[1:] == [
        "prepare where",
        "throw away",
        "heard where are you",
        "answer where are you",
    ]


def test_texts_are_told_in_the_order_of_what_was_said() -> None:
    async def story(scene: Scene) -> None:
        scene.hear(QUESTION + silence(1000) + QUESTION + silence(1000))
        scene.ears.understand("two", 1)
        assert scene.texts == []
        scene.ears.understand("one", 0)

    scene = play(story)
    assert scene.texts == ["one", "two"]
    assert [asked for asked in scene.mind.asked if asked != "yield"] == [
        "heard one",
        "heard two",
        "answer two",
    ]


def test_nobody_is_answered_while_they_speak() -> None:
    async def story(scene: Scene) -> None:
        scene.hear(QUESTION + silence(1000) + QUESTION)
        scene.ears.understand("one", 0)
        scene.hearing.pressed("(the caller pressed 5)")
        assert scene.mind.asked[2:] == ["heard one", "heard (the caller pressed 5)"]
        scene.hear(silence(1000))
        scene.ears.understand("")

    scene = play(story)
    assert scene.texts == ["one", ""]
    assert scene.mind.asked[-1] == "answer "


@pytest.mark.parametrize(
    ("partial", "told", "last"),
    [("where are", ["where are"], "answer where are"), ("", [""], "excuse")],
)
def test_words_that_do_not_come_are_not_waited_for(
    partial: str, told: list[str], last: str
) -> None:
    async def story(scene: Scene) -> None:
        scene.hear(QUESTION + silence(1000))
        scene.ears.every[-1].partial = partial
        await asyncio.sleep(RECOGNITION_S + 1)
        await asyncio.wait_for(scene.hearing.hear_out(), 1)

    scene = play(story)
    assert scene.texts == told
    assert scene.mind.asked[-1] == last
    fatal = not partial
    assert ("fail openai.stalled" in scene.mind.asked) is fatal
    assert (EngineFailed("openai.stalled", "recognition", fatal=False) in scene.events) is not fatal


def test_a_recogniser_that_failed_is_not_waited_for() -> None:
    async def story(scene: Scene) -> None:
        scene.hear(QUESTION + silence(1000))
        scene.ears.house.failed(OpenAIFault("openai.refused", "x"), fatal=False)
        scene.ears.house.failed(OpenAIFault("openai.bad_key", "x"), fatal=True)
        await asyncio.wait_for(scene.hearing.hear_out(), 1)

    scene = play(story)
    assert scene.mind.asked[-1] == "fail openai.bad_key"
    assert EngineFailed("openai.refused", "x", fatal=False) in scene.events


def test_ears_may_rest_when_nobody_speaks() -> None:
    async def story(scene: Scene) -> None:
        scene.hear(silence(100))
        assert scene.ears.rests == 5
        scene.hearing.tell_audible(True)
        scene.hear(silence(100))
        assert scene.ears.rests == 5

    play(story)
