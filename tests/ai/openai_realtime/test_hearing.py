"""The caller, with a server in miniature: whose turn it is, and what is heard of it."""

import asyncio

import pytest

from service.ai.openai.errors import RECOGNITION_S
from service.core.audio import PCMA_8K
from service.core.commands import TellAudible
from service.core.events import (
    EngineFailed,
    SpeechDismissed,
    SpeechStarted,
    SpeechStopped,
    Transcribed,
    TurnStarted,
)
from tests.ai.openai_realtime.far import Far
from tests.ai.openai_realtime.scene import COUGH, QUESTION, Scene, play
from tests.voices import on_the_line, silence


def test_a_question_is_answered() -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        call.far.understand("when are you open", "user_1")
        call.far.answer("r1", "From nine to five.")
        await call.settle()

    call = play(story)
    assert call.kinds() == [
        "SpeechStarted",
        "SpeechStopped",
        "Transcribed",
        "TurnStarted",
        "TurnAudio",
        "TurnText",
        "TurnEnded",
    ]
    assert call.texts() == ["when are you open"]
    assert call.text == "From nine to five."
    assert call.far.kinds() == ["session.update", "commit", "response.create"]


def test_sound_goes_through_untouched_both_ways() -> None:
    answer = bytes(range(256)) * 30  # 960 ms

    async def story(call: Scene) -> None:
        await call.ask()
        call.far.answer("r1", "Yes.", answer)
        await call.settle()

    call = play(story)
    line = b"".join(frame.data for frame in on_the_line(QUESTION + silence(1000)))
    assert call.far.sound in line
    assert call.sound == answer
    begins = [frame.start_ms for frame in call.frames()]
    lengths = [frame.duration_ms for frame in call.frames()]
    assert begins == [sum(lengths[:at]) for at in range(len(lengths))]


def test_a_line_in_a_law_is_talked_to_in_a_law() -> None:
    async def story(call: Scene) -> None:
        await call.ask()

    session = play(story, line=PCMA_8K).far.told("session.update")[0]["session"]
    assert session["audio"]["input"]["format"] == {"type": "audio/pcma"}
    assert session["audio"]["output"]["format"] == {"type": "audio/pcma"}


def test_only_speech_is_sent() -> None:
    async def story(call: Scene) -> None:
        await call.hear(silence(3000))
        assert call.far.sound == b""
        await call.hear(QUESTION + silence(2000))

    call = play(story)
    assert len(call.far.sound) / 8 < 2000


def test_the_answer_is_made_before_the_turn_is_certainly_over_and_heard_after() -> None:
    async def story(call: Scene) -> None:
        await call.hear(QUESTION + silence(300))
        call.far.answer("r1", "From nine to five.")
        await call.settle()
        assert call.kinds() == ["SpeechStarted"]
        await call.hear(silence(700))

    call = play(story)
    assert call.kinds()[-5:] == [
        "SpeechStopped",
        "TurnStarted",
        "TurnAudio",
        "TurnText",
        "TurnEnded",
    ]
    assert len(call.far.told("response.create")) == 1


def test_an_answer_is_thrown_away_unheard_when_the_caller_goes_on() -> None:
    async def story(call: Scene) -> None:
        await call.hear(QUESTION + silence(300))
        call.far.begin("r1")
        call.far.speak("r1", "From", b"\x55" * 800)
        await call.settle()
        await call.hear(QUESTION + silence(300))
        call.far.finish("r1", "cancelled")
        await call.settle()
        call.far.answer("r2", "All of it.")
        await call.hear(silence(700))
        for number, text in enumerate(["when are", "you open"], 1):
            call.far.understand(text, f"user_{number}")
        await call.settle()

    call = play(story)
    assert call.text == "All of it."
    assert call.texts() == ["when are you open"]
    assert call.far.kinds() == [
        "session.update",
        "commit",
        "response.create",
        "response.cancel",
        "commit",
        "conversation.item.delete",
        "response.create",
    ]
    assert call.far.told("conversation.item.delete")[0]["item_id"] == "item_r1"


def test_who_speaks_again_before_the_answer_begins_gets_one_answer_to_all() -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        await call.ask()
        call.far.begin("r1")  # the server had begun it all the same
        call.far.finish("r1", "cancelled")
        await call.settle()
        call.far.answer("r2", "Both.")
        await call.settle()

    call = play(story)
    assert call.text == "Both."
    assert len(call.of(TurnStarted)) == 1


def test_a_back_channel_leaves_the_answer_alone_and_is_forgotten() -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        call.far.answer("r1", "From nine to five.", b"\x55" * 24_000)
        call.talk.do(TellAudible(True), 0)
        await call.hear(silence(300) + COUGH + silence(240))
        assert call.far.kinds()[-1] == "commit"
        call.far.understand("uh-huh", "user_2")
        await call.settle()
        assert call.kinds()[-1] == "SpeechDismissed"
        await call.hear(silence(500) + COUGH + silence(100))

    call = play(story)
    assert len(call.of(SpeechDismissed)) == 1
    assert len(call.of(SpeechStarted)) == 1
    assert len(call.far.told("response.create")) == 1
    assert call.far.told("conversation.item.delete")[0]["item_id"] == "user_2"
    assert not call.far.told("response.cancel")


def test_a_short_word_that_means_something_is_answered() -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        call.far.understand("when are you open", "user_1")
        call.far.answer("r1", "From nine to five.", b"\x55" * 24_000)
        call.talk.do(TellAudible(True), 0)
        await call.hear(silence(300) + COUGH + silence(240))
        call.far.understand("stop", "user_2")
        await call.hear(silence(800))
        call.far.answer("r2", "Yes?")
        await call.settle()

    call = play(story)
    assert len(call.of(SpeechStarted)) == len(call.of(SpeechStopped)) == 2
    assert call.texts()[-1] == "stop"
    assert call.text == "From nine to five.Yes?"
    assert len(call.far.told("input_audio_buffer.commit")) == 2


@pytest.mark.parametrize("detection", ["server", "semantic"])
def test_the_server_may_decide_whose_turn_it_is(detection: str) -> None:
    async def story(call: Scene) -> None:
        await call.hear(silence(400))
        call.far.say("input_audio_buffer.speech_started", audio_start_ms=100, item_id="u1")
        await call.hear(silence(600))
        call.far.say("input_audio_buffer.speech_stopped", audio_end_ms=900, item_id="u1")
        call.far.say("input_audio_buffer.committed", item_id="u1")
        await call.settle()
        call.far.understand("hello", "u1")
        call.far.answer("r1", "Hello!")
        await call.settle()

    call = play(story, realtime={"turn_detection": detection})
    assert call.events[:3] == [
        SpeechStarted(100),
        SpeechStopped(900),
        Transcribed("hello", end_ms=900),
    ]
    assert call.text == "Hello!"
    assert len(call.far.sound) == 8 * 1000 - 8 * 1000 % 480
    assert call.far.kinds() == ["session.update", "response.create"]
    turns = call.far.told("session.update")[0]["session"]["audio"]["input"]["turn_detection"]
    assert turns["create_response"] is turns["interrupt_response"] is False


def test_a_text_that_never_comes_costs_only_the_text() -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        call.far.answer("r1", "Yes.")
        await asyncio.sleep(RECOGNITION_S + 0.1)

    call = play(story)
    assert call.of(EngineFailed) == [EngineFailed("openai.stalled", "recognition", fatal=False)]
    assert call.texts() == [""]


def test_an_utterance_that_the_server_refuses_is_one_not_understood() -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        error = {"type": "invalid_request_error", "code": "input_audio_buffer_commit_empty"}
        call.far.say("error", error=error | {"event_id": "commit_1", "message": "empty"})
        await call.settle()

    call = play(story, far=Far(commits=False))
    assert call.texts() == [""]


def test_what_was_said_to_the_last_is_told_and_not_answered() -> None:
    async def story(call: Scene) -> None:
        await call.hear(QUESTION)
        hearing = asyncio.ensure_future(call.talk.hear_out())
        await call.settle()
        call.far.understand("goodbye", "user_1")
        await hearing

    call = play(story)
    assert call.kinds() == ["SpeechStarted", "SpeechStopped", "Transcribed"]
    assert not call.far.told("response.create")
