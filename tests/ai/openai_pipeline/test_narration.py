"""The sound of a turn, by a voice that a test decides about."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, cast

import pytest

from service.ai.openai.errors import OpenAIFault
from service.ai.openai_pipeline.narration import Narration
from service.ai.openai_pipeline.speech import Sound
from service.core.audio import PCM16_8K
from service.core.events import EngineEvent, EngineFailed, TurnAudio, TurnId, TurnText
from service.replay.virtual import run
from tests.voices import spoken

TURN = TurnId("turn_1")
SECOND = (spoken("we are open from nine to five") * 2)[:16_000]


class Mouth:
    """Says each sentence for a second, after so long and as fast as told."""

    def __init__(self, *, after_s: float = 0.1, times: float = 10.0) -> None:
        self.asked: list[tuple[float, str]] = []
        self.silent: set[str] = set()
        self.broken: set[str] = set()
        self._after_s = after_s
        self._times = times

    async def say(self, text: str) -> AsyncGenerator[Sound, None]:
        self.asked.append((round(asyncio.get_running_loop().time(), 2), text.strip()))
        await asyncio.sleep(self._after_s)
        if text.strip() in self.broken:
            raise OpenAIFault("openai.stalled", "first audio")
        if text.strip() in self.silent:
            return
        for at in range(0, len(SECOND), 1600):
            yield Sound(SECOND[at : at + 1600], PCM16_8K)
            await asyncio.sleep(0.1 / self._times)


Story = Callable[[Narration], Awaitable[None]]


def narrate(
    story: Story, mouth: Mouth, events: list[EngineEvent] | None = None
) -> list[EngineEvent]:
    """What is told; into `events` as it comes."""
    events = [] if events is None else events

    async def main() -> None:
        tell: Any = events.append
        narration = Narration(TURN, cast("Any", mouth), PCM16_8K, tell, weight_ms=38.0)
        task = asyncio.ensure_future(narration.run())
        try:
            await story(narration)
            await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert len(asyncio.all_tasks()) == 1

    run(main())
    return events


def text(events: list[EngineEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TurnText))


def made_ms(events: list[EngineEvent]) -> int:
    return sum(event.frame.duration_ms for event in events if isinstance(event, TurnAudio))


async def five(narration: Narration) -> None:
    narration.go()
    for number, word in enumerate(["One.", "Two.", "Three.", "Four.", "Five."]):
        narration.say(f" {word}" if number else word)
    narration.finish()


def test_sentences_follow_each_other_and_are_asked_for_two_ahead() -> None:
    mouth = Mouth()
    events = narrate(five, mouth)
    assert text(events) == "One. Two. Three. Four. Five."
    # the second when the first has begun, the fourth and fifth when the second and third are heard
    assert [at for at, _ in mouth.asked] == pytest.approx([0, 0.1, 0.2, 1.12, 2.14], abs=0.1)
    frames = [event.frame for event in events if isinstance(event, TurnAudio)]
    assert [frame.start_ms for frame in frames] == [60 * at for at in range(len(frames))]
    assert len(frames) == 5 * 17


def test_a_slow_voice_is_asked_in_time_for_no_gap() -> None:
    mouth = Mouth(after_s=0.3, times=1.0)
    narrate(five, mouth)
    assert [at for at, _ in mouth.asked][:3] == pytest.approx([0, 0.3, 0.6], abs=0.05)


def test_of_what_may_be_void_the_first_sentence_is_made() -> None:
    mouth = Mouth()

    async def story(narration: Narration) -> None:
        narration.say("One.")
        narration.say(" Two.")
        narration.finish()
        await asyncio.sleep(5)
        assert [said for _, said in mouth.asked] == ["One."]
        narration.go()

    assert text(narrate(story, mouth)) == "One. Two."


def test_words_are_told_as_they_may_be_heard_while_sound_comes() -> None:
    mouth = Mouth(times=1.0)

    async def story(narration: Narration) -> None:
        narration.go()
        narration.say("We are open from nine to five.")
        narration.finish()
        narration.tell_words()
        for _ in range(8):
            await asyncio.sleep(0.1)
            narration.tell_words()
        assert 0 < len(text(events)) < 25

    events: list[EngineEvent] = []
    narrate(story, mouth, events)
    assert text(events) == "We are open from nine to five."


def test_a_sentence_without_sound_is_passed_over() -> None:
    mouth = Mouth()
    mouth.silent = {"Two."}
    events = narrate(five, mouth)
    assert text(events) == "One. Three. Four. Five."
    assert EngineFailed("openai.confused", "no sound", fatal=False) in events


def test_no_sound_at_all_is_a_fault() -> None:
    mouth = Mouth()
    mouth.silent = {"One.", "Two.", "Three.", "Four.", "Five."}
    with pytest.raises(OpenAIFault) as fault:
        narrate(five, mouth)
    assert fault.value.code == "openai.confused"


def test_what_fails_later_fails_when_its_turn_comes() -> None:
    mouth = Mouth()
    mouth.broken = {"Three."}
    events: list[EngineEvent] = []

    with pytest.raises(OpenAIFault):
        narrate(five, mouth, events)
    assert text(events) == "One. Two."


def test_a_turn_without_a_word_has_no_sound() -> None:
    async def story(narration: Narration) -> None:
        narration.finish()
        narration.go()

    assert narrate(story, Mouth()) == []


def test_one_who_is_stopped_leaves_nothing_behind() -> None:
    async def story(narration: Narration) -> None:
        await five(narration)
        await asyncio.sleep(0.15)
        raise KeyError

    with pytest.raises(KeyError):
        narrate(story, Mouth())
