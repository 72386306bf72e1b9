"""The conversation as a whole, with a server in miniature: keys, sessions, complaints."""

import asyncio

import pytest

from service.ai.openai.line import SESSION_MOST_S
from service.core.commands import Instruct, Interrupt, StartTurn, TellAudible, TellDigit
from service.core.errors import EngineError
from service.core.events import (
    EngineFailed,
    TurnEnded,
    TurnId,
    TurnStarted,
)
from service.core.turns import PastTurn
from service.tools import ToolResult
from tests.ai.openai_realtime.far import Far
from tests.ai.openai_realtime.scene import QUESTION, Box, Scene, play
from tests.voices import on_the_line, silence


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
