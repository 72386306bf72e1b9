"""The agent, with a server in miniature: what is heard, remembered, done, and what fails."""

import asyncio

import pytest

from service.core.commands import Interrupt, StartTurn
from service.core.events import (
    DigitsRequested,
    EndRequested,
    EngineFailed,
    FillerRequested,
    ToolCalled,
    TurnEnded,
    TurnId,
)
from service.tools import TOOLS_IN_A_ROW, ToolResult, ToolSpec
from tests.ai.openai_realtime.scene import QUESTION, Box, Scene, play
from tests.voices import silence


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
        call.far.understand("who am i", "user_1")
        call.far.begin("r1")
        item = {"id": "m1", "type": "mcp_call", "server_label": "crm", "name": "find"}
        of = {"response_id": "r1", "output_index": 1}
        call.far.say("response.output_item.added", **of, item=item | {"arguments": ""})
        call.far.say("response.output_item.done", **of, item=item | {"arguments": "{}"})
        await asyncio.sleep(6)
        told = "failed" if error else "completed"
        call.far.say(f"response.mcp_call.{told}", item_id="m1", output_index=1)
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


def test_an_answer_that_nobody_asked_for_is_cancelled() -> None:
    async def story(call: Scene) -> None:
        call.far.say("response.created", response={"id": "r9"})
        await call.settle()

    assert play(story).far.told("response.cancel")[0]["response_id"] == "r9"
