"""Conversations with a server in miniature: what it is told, and what the bridge gets to hear."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.ai.openai.errors import RECOGNITION_S
from service.ai.openai_realtime.line import SESSION_MOST_S
from service.core.audio import PCMA_8K
from service.core.commands import Instruct, Interrupt, StartTurn, TellAudible, TellDigit
from service.core.errors import EngineError
from service.core.events import (
    DigitsRequested,
    EndRequested,
    EngineFailed,
    FillerRequested,
    SpeechDismissed,
    SpeechStarted,
    SpeechStopped,
    ToolCalled,
    Transcribed,
    TurnEnded,
    TurnId,
    TurnStarted,
)
from service.core.turns import PastTurn
from service.replay.virtual import run
from service.tools import TOOLS_IN_A_ROW, ToolResult, ToolSpec
from tests.ai.openai_realtime.far import Far
from tests.ai.openai_realtime.scene import COUGH, QUESTION, Box, Scene, scene
from tests.voices import on_the_line, silence

Play = Callable[[Scene], Awaitable[None]]


def play(story: Play, **kwargs: object) -> Scene:
    async def main() -> Scene:
        async with scene(**kwargs) as call:  # type: ignore[arg-type]
            await story(call)
            return call

    return run(main())


# A caller's turn and its answer -----------------------------------------------------------------


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


# Exactly this -----------------------------------------------------------------------------------


def test_a_greeting_is_said_word_for_word_and_remembered() -> None:
    async def story(call: Scene) -> None:
        call.talk.do(StartTurn("Hello, Acme Dental."), 0)
        await call.settle()
        call.far.answer("r1", "Hello, Acme Dental.")
        await call.settle()

    call = play(story)
    [asked] = call.far.told("response.create")
    assert asked["response"]["instructions"].endswith("\n\nHello, Acme Dental.")
    assert asked["response"]["input"] == []
    assert asked["response"].get("conversation", "auto") == "auto"
    assert call.of(EngineFailed) == []


def test_other_words_than_those_asked_for_are_told_as_a_fault() -> None:
    async def story(call: Scene) -> None:
        call.talk.do(StartTurn("Hello, Acme Dental."), 0)
        await call.settle()
        call.far.answer("r1", "Sure, what can I do for you today?")
        await call.settle()

    assert play(story).of(EngineFailed) == [
        EngineFailed("openai.other_words", "speech", fatal=False)
    ]


# Interruptions ----------------------------------------------------------------------------------


def test_an_interruption_ends_the_models_memory_where_the_hearing_ended() -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        call.far.begin("r1")
        call.far.speak("r1", "From nine to five, Monday", b"\x55" * 16_000)
        await call.settle()
        await call.interrupt()
        call.talk.do(Interrupt(TurnId("turn_1"), 700, "From nine"), 0)
        call.far.speak("r1", " to Friday", b"\x55" * 8000)
        await call.settle()
        assert call.far.kinds()[-1] == "response.cancel"
        call.far.finish("r1", "cancelled")
        await call.settle()

    call = play(story)
    [cut] = call.far.told("conversation.item.truncate")
    assert (cut["item_id"], cut["content_index"], cut["audio_end_ms"]) == ("item_r1", 0, 700)
    assert len(call.sound) == 16_000
    assert not call.of(TurnEnded)


def test_a_turn_that_was_made_whole_is_cut_without_a_cancel() -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        call.far.answer("r1", "From nine to five.", b"\x55" * 16_000)
        await call.settle()
        call.talk.do(Interrupt(TurnId("turn_1"), 700, "From nine"), 0)
        call.talk.do(Interrupt(TurnId("turn_1"), 300, "From"), 0)
        call.talk.do(Interrupt(TurnId("turn_9"), 300, "From"), 0)
        await call.settle()

    far = play(story).far
    assert [o["audio_end_ms"] for o in far.told("conversation.item.truncate")] == [700]
    assert not far.told("response.cancel")


def test_a_cut_is_never_beyond_the_sound_there_is() -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        call.far.answer("r1", "Yes.", b"\x55" * 8001)
        await call.settle()
        call.talk.do(Interrupt(TurnId("turn_1"), 1015, "Yes."), 0)
        await call.settle()

    assert not play(story).far.told("conversation.item.truncate")


def test_of_a_turn_that_nobody_heard_the_model_remembers_nothing() -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        call.far.answer("r1", "From nine to five.")
        await call.settle()
        call.talk.do(Interrupt(TurnId("turn_1"), 0, ""), 0)
        await call.settle()

    far = play(story).far
    assert [o["item_id"] for o in far.told("conversation.item.delete")] == ["item_r1"]


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


# Tools ------------------------------------------------------------------------------------------


def test_a_tool_is_called_and_its_result_is_answered_from() -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        call.far.begin("r1")
        call.far.call("r1", "c1", "look", '{"day": 1}')
        call.far.call("r1", "c2", "look", '{"day": 2}')
        call.far.finish("r1")
        await call.settle()
        call.far.answer("r2", "Free on both.")
        await call.settle()

    box = Box(look=ToolResult("free"))
    call = play(story, box=box)
    assert box.calls == [("look", '{"day": 1}'), ("look", '{"day": 2}')]
    assert [event.code for event in call.of(ToolCalled)] == ["ok", "ok"]
    outputs = [o["item"] for o in call.far.told("conversation.item.create")]
    assert [(o["call_id"], o["output"]) for o in outputs] == [("c1", "free"), ("c2", "free")]
    assert call.text == "Free on both."
    assert not call.of(FillerRequested)


def test_a_slow_tool_is_bridged_by_its_sentence() -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        call.far.begin("r1")
        call.far.call("r1", "c1", "look")
        call.far.finish("r1")
        await asyncio.sleep(2.5)
        call.far.answer("r2", "Free.")
        await call.settle()

    box = Box(look=ToolResult("free"))
    box.takes_s = 2.0
    call = play(story, box=box)
    assert call.of(FillerRequested) == [FillerRequested("One moment, I look.")]
    assert call.text == "Free."


def test_no_tool_is_run_for_an_answer_that_may_be_thrown_away() -> None:
    async def story(call: Scene) -> None:
        await call.hear(QUESTION + silence(300))
        call.far.begin("r1")
        call.far.call("r1", "c1", "look")
        call.far.finish("r1")
        await call.settle()
        assert not box.calls
        await call.hear(QUESTION)
        assert not box.calls

    box = Box(look=ToolResult("free"))
    call = play(story, box=box)
    assert not box.calls
    deleted = {o["item_id"] for o in call.far.told("conversation.item.delete")}
    assert deleted == {"item_r1", "item_c1"}


def test_a_loop_of_tools_ends_in_words() -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        for number in range(TOOLS_IN_A_ROW):
            assert call.far.told("response.create")[-1]["response"]["tool_choice"] == "auto"
            call.far.begin(f"r{number}")
            call.far.call(f"r{number}", f"c{number}", "look")
            call.far.finish(f"r{number}")
            await call.settle()

    box = Box(look=ToolResult("free"))
    call = play(story, box=box)
    assert len(box.calls) == TOOLS_IN_A_ROW
    assert call.far.told("response.create")[-1]["response"]["tool_choice"] == "none"


def test_the_call_ends_after_the_words_that_came_with_the_wish() -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        call.far.begin("r1")
        call.far.speak("r1", "Goodbye.", b"\x55" * 8000)
        call.far.call("r1", "c1", "end_call")
        call.far.finish("r1")
        await call.settle()

    call = play(story, box=Box(end_call=ToolResult("ending", effect=EndRequested("agent"))))
    assert call.kinds()[-3:] == ["TurnEnded", "ToolCalled", "EndRequested"]
    assert len(call.far.told("response.create")) == 1


def test_the_call_ends_after_the_words_that_follow_the_wish() -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        call.far.begin("r1")
        call.far.call("r1", "c1", "end_call")
        call.far.finish("r1")
        await call.settle()
        assert not call.of(EndRequested)
        call.far.answer("r2", "Goodbye.")
        await call.settle()

    call = play(story, box=Box(end_call=ToolResult("ending", effect=EndRequested("agent"))))
    assert call.kinds()[-2:] == ["TurnEnded", "EndRequested"]


def test_keys_are_pressed_at_once() -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        call.far.begin("r1")
        call.far.call("r1", "c1", "send_dtmf")
        call.far.finish("r1")
        await call.settle()

    call = play(story, box=Box(send_dtmf=ToolResult("pressed", effect=DigitsRequested("1"))))
    assert call.of(DigitsRequested) == [DigitsRequested("1")]


@pytest.mark.parametrize(("error", "code"), [(None, "ok"), ({"type": "http_error"}, "tool.failed")])
def test_a_tool_that_the_server_calls_itself_may_take_its_time(error: object, code: str) -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        call.far.begin("r1")
        item = {"id": "m1", "type": "mcp_call", "server_label": "crm", "name": "find"}
        of = {"response_id": "r1", "output_index": 1}
        call.far.say("response.output_item.added", **of, item=item | {"arguments": ""})
        await asyncio.sleep(6)
        done = item | {"arguments": "{}", "error": error, "output": "Ana"}
        call.far.say("response.output_item.done", **of, item=done)
        call.far.speak("r1", "Hello Ana.", b"\x55" * 8000)
        call.far.finish("r1")
        await call.settle()

    call = play(story)
    assert call.of(ToolCalled) == [ToolCalled("find", "{}", code, 6000)]
    assert call.text == "Hello Ana."
    assert not call.of(EngineFailed)


def test_a_remote_server_without_tools_is_a_fault_and_no_more() -> None:
    async def story(call: Scene) -> None:
        call.far.say("mcp_list_tools.failed", item_id="m1")
        await call.settle()

    [failed] = play(story).of(EngineFailed)
    assert (failed.code, failed.fatal) == ("tool.mcp_unreachable", False)


def test_tools_that_come_later_are_offered() -> None:
    box = Box(look=ToolResult("free"))

    async def story(call: Scene) -> None:
        box.specs = (*box.specs, ToolSpec("find", "finds", {"type": "object"}))
        box.changed()
        await call.settle()

    first, later = play(story, box=box).far.told("session.update")
    assert [tool["name"] for tool in first["session"]["tools"]] == ["look"]
    assert [tool["name"] for tool in later["session"]["tools"]] == ["look", "find"]
    assert later["session"].keys() == {"type", "tools"}


# Keys, instructions, the past -------------------------------------------------------------------


def test_keys_are_told_to_the_model_together() -> None:
    async def story(call: Scene) -> None:
        for digit in "42":
            call.talk.do(TellDigit(digit), 0)
            await asyncio.sleep(1)
        await asyncio.sleep(1)

    far = play(story).far
    [item] = [o["item"] for o in far.told("conversation.item.create")]
    assert item["content"] == [{"type": "input_text", "text": "(the caller pressed 42)"}]
    assert far.kinds()[-1] == "response.create"


def test_a_tool_that_waits_for_keys_gets_them() -> None:
    async def story(call: Scene) -> None:
        call.talk.do(TellDigit("4"), 0)
        await asyncio.sleep(3)

    box = Box()
    box.takes_keys = True
    assert not play(story, box=box).far.told("conversation.item.create")
    assert box.keys == "4"


def test_instructions_given_later_are_minded() -> None:
    async def story(call: Scene) -> None:
        call.talk.do(Instruct("Be brief."), 0)
        await call.settle()

    far = play(story).far
    assert far.kinds() == ["session.update", "system"]


def test_a_question_that_another_engine_left_unanswered_is_answered_at_once() -> None:
    async def story(call: Scene) -> None:
        await call.settle()
        call.far.answer("r1", "From nine to five.")
        await call.settle()

    past = [PastTurn("agent", "Hello."), PastTurn("caller", "when are you open")]
    call = play(story, history=past, unanswered=True, minded=("Be brief.",))
    assert call.far.kinds() == ["session.update", "assistant", "user", "response.create"]
    assert call.far.orders[0]["session"]["instructions"] == "Be.\n\nBe brief."
    assert call.text == "From nine to five."


def test_a_conversation_taken_over_begins_with_what_was_said() -> None:
    async def story(call: Scene) -> None:
        await call.settle()

    past = [PastTurn("agent", "Hello."), PastTurn("caller", "hi"), PastTurn("agent", "")]
    far = play(story, history=past).far
    assert far.kinds() == ["session.update", "assistant", "user"]


# What the server may decide ---------------------------------------------------------------------


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


# What goes wrong --------------------------------------------------------------------------------


def test_what_nobody_understands_is_counted_and_the_talk_goes_on() -> None:
    async def story(call: Scene) -> None:
        for garbage in (b"<html>", b'{"type": "response.sung"}', b'{"type": "error"}'):
            call.far.garble(garbage)
        await call.ask()
        call.far.answer("r1", "Yes.")
        await call.settle()

    call = play(story)
    assert call.text == "Yes."
    assert not call.of(EngineFailed)


def test_a_complaint_about_what_is_over_already_is_none() -> None:
    async def story(call: Scene) -> None:
        for wish in ("cancel", "truncate", "delete", "clear"):
            call.far.say("error", error={"type": "invalid_request_error", "event_id": wish})
        await call.settle()

    assert not play(story).events


@pytest.mark.parametrize(
    ("code", "fatal"),
    [("insufficient_quota", True), ("invalid_api_key", True), ("server_error", False)],
)
def test_a_complaint_about_everything_is_fatal_when_it_stays_so(code: str, fatal: bool) -> None:
    async def story(call: Scene) -> None:
        call.far.say("error", error={"type": "some_error", "code": code, "message": "no"})
        await call.settle()

    [failed] = play(story).of(EngineFailed)
    assert failed.fatal is fatal


def test_an_answer_that_fails_is_asked_for_again_and_then_given_up() -> None:
    limited = {"type": "failed", "error": {"type": "tokens", "code": "rate_limit_exceeded"}}

    async def story(call: Scene) -> None:
        await call.ask()
        for number in range(3):
            call.far.begin(f"r{number}")
            call.far.finish(f"r{number}", "failed", **limited)
            await asyncio.sleep(1.1)

    call = play(story)
    failed = [(event.code, event.fatal) for event in call.of(EngineFailed)]
    limited_code = "openai.rate_limited"
    assert failed == [(limited_code, False), (limited_code, False), (limited_code, True)]


def test_an_empty_purse_is_not_asked_twice() -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        call.far.begin("r1")
        call.far.finish("r1", "failed", error={"type": "x", "code": "insufficient_quota"})
        await call.settle()

    assert play(story).of(EngineFailed) == [EngineFailed("openai.no_quota", "response")]


def test_what_a_filter_stops_is_apologised_for() -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        call.far.begin("r1")
        call.far.finish("r1", "incomplete", reason="content_filter")
        await call.settle()
        call.far.answer("r2", "Sorry.")
        await call.settle()

    call = play(story, not_understood="Sorry.")
    assert call.of(EngineFailed) == [EngineFailed("openai.refused", "content_filter", fatal=False)]
    assert call.text == "Sorry."


def test_an_answer_cut_short_by_its_limit_is_heard() -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        call.far.begin("r1")
        call.far.speak("r1", "From nine", b"\x55" * 8000)
        call.far.finish("r1", "incomplete", reason="max_output_tokens")
        await call.settle()

    call = play(story)
    assert call.text == "From nine"
    assert call.of(TurnEnded)
    assert not call.of(EngineFailed)


@pytest.mark.parametrize(
    ("stage", "after_s"), [("first token", 5.0), ("first audio", 4.0), ("between audio", 4.0)]
)
def test_an_answer_that_stalls_is_given_up(stage: str, after_s: float) -> None:
    async def story(call: Scene) -> None:
        await call.hear(QUESTION + silence(260))
        if stage != "first token":
            call.far.begin("r1")
        if stage == "between audio":
            call.far.speak("r1", "From", b"\x55" * 800)
        await call.settle()
        await asyncio.sleep(after_s - 0.1)
        assert not call.of(EngineFailed)
        await asyncio.sleep(0.2)

    assert play(story).of(EngineFailed) == [EngineFailed("openai.stalled", stage)]


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


def test_an_answer_that_nobody_asked_for_is_cancelled() -> None:
    async def story(call: Scene) -> None:
        call.far.say("response.created", response={"id": "r9"})
        await call.settle()

    assert play(story).far.told("response.cancel")[0]["response_id"] == "r9"


# Sessions ---------------------------------------------------------------------------------------


def test_a_lost_socket_is_followed_by_one_that_knows_the_conversation() -> None:
    async def story(call: Scene) -> None:
        call.talk.do(StartTurn("Hello."), 0)
        await call.settle()
        call.far.answer("r0", "Hello.")
        await call.ask()
        call.far.understand("when are you open", "user_1")
        call.far.begin("r1")
        call.far.call("r1", "c1", "look")
        call.far.finish("r1")
        await call.settle()
        call.far.begin("r2")
        call.far.speak("r2", "From nine", b"\x55" * 8000)
        await call.settle()
        call.far.orders.clear()
        call.far.cut()
        await call.settle()
        await call.ask()
        call.far.answer("r3", "As I said.")
        await call.settle()

    call = play(story, box=Box(look=ToolResult("nine to five")))
    assert call.far.kinds() == [
        "session.update",
        "assistant",
        "user",
        "function_call",
        "function_call_output",
        "assistant",
        "commit",
        "response.create",
    ]
    said = [
        part["text"]
        for order in call.far.told("conversation.item.create")
        for part in order["item"].get("content", [])
    ]
    assert said == ["Hello.", "when are you open", "From nine"]
    assert [len(call.of(kind)) for kind in (TurnStarted, TurnEnded)] == [3, 3]
    assert not call.of(EngineFailed)


def test_what_was_being_said_and_asked_is_said_and_asked_again_to_the_next_session() -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        before = call.far.sound
        call.far.orders.clear()
        call.far.cut()
        await call.settle()
        assert call.far.sound == before
        assert call.far.kinds() == ["session.update", "commit", "response.create"]
        call.far.understand("hello", "user_2")
        call.far.answer("r1", "Hello!")
        await call.settle()

    call = play(story)
    assert call.texts() == ["hello"]
    assert call.text == "Hello!"


def test_what_is_being_said_while_the_socket_is_lost_is_not() -> None:
    async def story(call: Scene) -> None:
        call.far.refusals = [OSError("away")]  # so that it takes a second
        await call.hear(QUESTION[: 16 * 800])
        call.far.orders.clear()
        call.far.cut()
        await call.hear(QUESTION[16 * 800 :] + silence(1200))
        call.far.answer("r1", "Yes.")
        await call.settle()

    call = play(story)
    line = b"".join(frame.data for frame in on_the_line(QUESTION))
    speech = line[: 8 * 1500].strip(b"\xff\x7f")
    assert len(speech) > 8 * 1000
    assert speech in call.far.sound
    assert call.far.kinds() == ["session.update", "commit", "response.create"]
    assert call.text == "Yes."


def test_a_tool_that_outlives_its_session_is_told_whole_to_the_next() -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        call.far.begin("r1")
        call.far.call("r1", "c1", "look")
        call.far.finish("r1")
        await call.settle()
        call.far.orders.clear()
        call.far.cut()
        await asyncio.sleep(2)

    box = Box(look=ToolResult("free"))
    box.takes_s = 1.0
    kinds = play(story, box=box).far.kinds()
    assert kinds[-3:] == ["function_call", "function_call_output", "response.create"]


def test_a_turn_of_a_lost_session_is_cut_in_words() -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        call.far.answer("r1", "From nine to five.")
        await call.settle()
        call.far.cut()
        await call.settle()
        call.far.orders.clear()
        call.talk.do(Interrupt(TurnId("turn_1"), 700, "From nine"), 0)
        await call.settle()

    far = play(story).far
    assert far.kinds() == ["conversation.item.delete", "assistant"]
    assert far.orders[0]["item_id"] == "s_turn_1"
    assert far.orders[1]["item"]["content"][0]["text"] == "From nine"


def test_a_session_that_cannot_be_had_again_ends_the_engine_in_time() -> None:
    async def story(call: Scene) -> None:
        call.far.refusals = [OSError("away")] * 9
        call.far.cut()
        await asyncio.sleep(5.1)

    assert play(story).of(EngineFailed) == [EngineFailed("openai.unreachable", "opening")]


def test_a_session_is_renewed_before_its_age_ends_it_when_nobody_speaks() -> None:
    async def story(call: Scene) -> None:
        await call.ask()
        call.far.understand("hi", "user_1")
        call.far.answer("r1", "Hello!")
        await asyncio.sleep(SESSION_MOST_S)
        assert call.far.sockets == 1
        call.talk.do(TellAudible(True), 0)
        await call.hear(silence(100))
        assert call.far.sockets == 1
        call.talk.do(TellAudible(False), 0)
        await call.hear(silence(100))
        assert call.far.sockets == 2
        await asyncio.sleep(0.1)

    call = play(story)
    assert call.far.kinds()[-3:] == ["session.update", "user", "assistant"]
    assert call.far.sockets == 2


def test_an_engine_that_cannot_be_opened_says_why() -> None:
    async def nothing(_: Scene) -> None: ...

    refused = Far()
    refused.refusals = [OSError("away")] * 9
    with pytest.raises(EngineError, match=r"openai\.unreachable"):
        play(nothing, far=refused)
    silent = Far()
    silent.silent = True
    with pytest.raises(EngineError, match=r"openai\.stalled: opening"):
        play(nothing, far=silent)


def test_a_server_that_is_away_for_a_moment_is_tried_again() -> None:
    async def nothing(_: Scene) -> None: ...

    far = Far()
    far.refusals = [OSError("away")]
    assert play(nothing, far=far).far.sockets == 1


# The end ----------------------------------------------------------------------------------------


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
