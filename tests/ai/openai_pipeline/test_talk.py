"""Whole conversations: what is heard, what is said, and what the model is told of it."""

import asyncio
from typing import Any

import pytest

from service.core.audio import PCMA_8K, PCMU_8K, Encoding, MediaFormat
from service.core.commands import Instruct, Interrupt, StartTurn, TellDigit
from service.core.events import (
    EndRequested,
    FillerRequested,
    SpeechDismissed,
    SpeechStarted,
    SpeechStopped,
    ToolCalled,
    Transcribed,
    TurnAudio,
    TurnEnded,
    TurnStarted,
    TurnText,
)
from service.core.turns import PastTurn
from service.standin import Standin, Voice
from service.tools import ToolResult
from tests.ai.openai_pipeline.calling import COUGH, QUESTION, Call, play
from tests.ai.openai_realtime.scene import Box
from tests.standin.client import script, standin
from tests.voices import silence

LONG = (
    "We are open from nine to five, Monday to Friday, and on Saturdays until noon. We are never "
    "open on Sundays. That is when all of us like to sleep. You could come on Monday instead. "
    "Would you like me to look for a free place on Monday? I could also send you a letter."
)
SCRIPT: dict[str, Any] = {
    "replies": [
        {"hears": "when are you open", "says": LONG},
        {"hears": "where are you", "says": "On Main Street. It is the house with the red door."},
        {"hears": "thank you", "says": "You are **welcome**! \U0001f600"},
        {"hears": "goodbye", "says": "Goodbye.", "calls": {"name": "end_call"}},
        {"hears": "book it", "calls": [{"name": "book"}, {"name": "pay"}], "then": "It is done."},
    ]
}
BEGINS = ("user", "(the call begins)")
UPLOAD: dict[str, Any] = {"pipeline": {"recognition": {"how": "upload"}}}
HOW: list[dict[str, Any]] = [{}, UPLOAD]


def server(voice: Voice, *heard: str, **parts: Any) -> Standin:
    return standin(voice, **{**SCRIPT, "heard": heard, **parts})


@pytest.mark.parametrize("how", HOW)
def test_several_turns_each_after_the_other(voice: Voice, how: dict[str, Any]) -> None:
    async def story(call: Call) -> None:
        await call.say("Hello.")
        await call.ask()
        await call.listen(4000)
        await call.ask()
        await call.listen(2000)

    call = play(server(voice, "where are you", "thank you"), story, **how)
    assert call.understood == ["where are you", "thank you"]
    answers = ["Hello.", "On Main Street. It is the house with the red door.", "You are welcome!"]
    assert call.said == answers
    assert call.phone.played == answers
    turn = ["TurnStarted", "TurnAudio", "TurnEnded"]
    question = ["SpeechStarted", "SpeechStopped", "Transcribed"]
    assert call.kinds() == [*turn, *question, *turn, *question, *turn]
    assert call.messages() == [
        BEGINS,
        ("assistant", "Hello."),
        ("user", "where are you"),
        ("assistant", answers[1]),
        ("user", "thank you"),
    ]
    assert call.codes == []


@pytest.mark.parametrize("how", HOW)
def test_one_who_is_interrupted_remembers_what_was_heard(voice: Voice, how: dict[str, Any]) -> None:
    async def story(call: Call) -> None:
        await call.ask()
        await call.listen(2500)
        await call.ask()
        await call.listen(1000)

    call = play(server(voice, "when are you open", "thank you"), story, **how)
    heard = call.phone.played[0]
    assert LONG.startswith(heard)
    assert 10 < len(heard) < 100
    assert call.messages() == [
        ("user", "when are you open"),
        ("assistant", heard),
        ("user", "thank you"),
    ]
    assert call.phone.played[1] == "You are welcome!"
    assert "six" not in str(call.asked("speech"))


def test_sentences_are_not_made_long_before_they_are_heard(voice: Voice) -> None:
    async def story(call: Call) -> None:
        await call.ask()
        made.append(len(call.asked("speech")))
        await call.listen(20_000)

    made: list[int] = []
    call = play(server(voice, "when are you open", sound={"speed": 0}), story)
    assert made == [3]  # the one that is heard, and two more
    assert len(call.asked("speech")) == 7
    assert call.phone.played == [LONG]
    assert call.said == [LONG]


@pytest.mark.parametrize("how", HOW)
def test_an_uh_huh_stops_nobody(voice: Voice, how: dict[str, Any]) -> None:
    async def story(call: Call) -> None:
        await call.ask()
        await call.listen(1500)
        await call.phone.hear(COUGH + silence(1500))
        await call.listen(15_000)

    call = play(server(voice, "when are you open", "uh-huh"), story, **how)
    assert call.of(SpeechDismissed)
    assert call.understood == ["when are you open"]
    assert call.phone.played == [LONG]
    assert len(call.asked()) == 1


@pytest.mark.parametrize("how", HOW)
def test_a_burst_that_says_something_is_a_turn(voice: Voice, how: dict[str, Any]) -> None:
    async def story(call: Call) -> None:
        await call.ask()
        await call.listen(1500)
        await call.phone.hear(COUGH + silence(1500))

    call = play(server(voice, "when are you open", "thank you"), story, **how)
    assert call.understood == ["when are you open", "thank you"]
    assert call.said[-1] == "You are welcome!"


@pytest.mark.parametrize("how", HOW)
def test_an_answer_is_ready_when_the_end_of_the_turn_is_certain(
    voice: Voice, how: dict[str, Any]
) -> None:
    async def story(call: Call) -> None:
        await call.ask()

    delays = {"recognition_ms": 80, "first_token_ms": 100, "first_audio_ms": 50}
    call = play(server(voice, "where are you", delays=delays), story, **how)
    stopped_ms = call.phone.first_ms(SpeechStopped)
    assert call.phone.first_ms(TurnAudio) == stopped_ms
    assert call.phone.first_ms(Transcribed) == stopped_ms
    assert len(call.asked()) == 1


def test_what_was_prepared_is_thrown_away_when_the_caller_goes_on(voice: Voice) -> None:
    async def story(call: Call) -> None:
        await call.phone.hear(QUESTION + silence(100) + QUESTION + silence(2000))

    delays = {"first_token_ms": 500}
    call = play(server(voice, "where are you", "thank you", delays=delays), story)
    assert call.understood == ["where are you thank you"]
    first, second = (request for request in call.server.requests if request.at == "chat")
    assert (first.end, second.end) == ("left", "complete")
    assert len(call.of(TurnStarted)) == 1
    assert call.messages() == [("user", "where are you thank you")]


def test_a_whole_utterance_is_sent_again_when_it_goes_on(voice: Voice) -> None:
    async def story(call: Call) -> None:
        await call.phone.hear(QUESTION + silence(100) + QUESTION + silence(1500))

    call = play(server(voice, "where are you", "thank you"), story, **UPLOAD)
    assert call.understood == ["thank you"]
    sounds = [len(r.audio) for r in call.server.requests if r.at == "transcription"]
    assert sounds[1] > 1.8 * sounds[0]
    assert call.said == ["You are welcome!"]


def test_nothing_is_said_to_one_who_speaks_again_before_the_answer_begins(voice: Voice) -> None:
    async def story(call: Call) -> None:
        await call.phone.hear(QUESTION + silence(700) + QUESTION + silence(3000))

    delays = {"recognition_ms": 100, "first_token_ms": 1000}
    call = play(server(voice, "where are you", "thank you", delays=delays), story)
    assert call.understood == ["where are you", "thank you"]
    assert len(call.of(TurnStarted)) == 1
    assert call.messages() == [("user", "where are you\nthank you")]


def test_words_that_come_late_are_answered_together(voice: Voice) -> None:
    async def story(call: Call) -> None:
        await call.phone.hear(QUESTION + silence(900) + QUESTION + silence(4000))

    delays = {"recognition_ms": 1500}
    call = play(server(voice, "where are you", "thank you", delays=delays), story)
    assert call.understood == ["where are you", "thank you"]
    assert call.messages() == [("user", "where are you\nthank you")]
    assert len(call.asked()) == 1


def test_speech_that_nobody_understands_is_asked_for_again(voice: Voice) -> None:
    async def story(call: Call) -> None:
        await call.ask()
        await call.listen(2000)

    call = play(server(voice, ""), story, not_understood="Pardon?")
    assert call.understood == [""]
    assert call.said == ["Pardon?"]
    assert call.asked() == []


# Tools -------------------------------------------------------------------------------------------


def test_tools_run_side_by_side_and_their_results_are_told(voice: Voice) -> None:
    box = Box(book=ToolResult("booked"), pay=ToolResult("paid"))
    box.takes_s = 0.2

    async def story(call: Call) -> None:
        await call.ask()
        await call.listen(2000)

    call = play(server(voice, "book it"), story, box=box)
    assert [name for name, _ in box.calls] == ["book", "pay"]
    assert [event.name for event in call.of(ToolCalled)] == ["book", "pay"]
    assert call.said == ["It is done."]
    last = call.asked()[-1]["messages"]
    assert [message["role"] for message in last[1:]] == ["user", "assistant", "tool", "tool"]
    assert [message["content"] for message in last[3:]] == ["booked", "paid"]
    assert call.of(FillerRequested) == []


def test_a_slow_tool_is_bridged_by_its_sentence(voice: Voice) -> None:
    box = Box(book=ToolResult("booked"), pay=ToolResult("paid"))
    box.takes_s = 2.0

    async def story(call: Call) -> None:
        await call.ask()
        await call.listen(3000)

    call = play(server(voice, "book it"), story, box=box)
    assert call.of(FillerRequested) == [FillerRequested("One moment, I book.")]
    assert call.said == ["It is done."]


def test_a_tool_that_was_called_is_not_taken_back_when_the_caller_speaks(voice: Voice) -> None:
    box = Box(book=ToolResult("booked"), pay=ToolResult("paid"))
    box.takes_s = 1.5

    async def story(call: Call) -> None:
        await call.ask()
        await call.ask()
        await call.listen(2000)

    call = play(server(voice, "book it", "thank you"), story, box=box)
    assert len(call.of(ToolCalled)) == 2
    assert call.said == ["You are welcome!"]
    roles = [message["role"] for message in call.asked()[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "tool", "user"]


def test_what_comes_of_a_tool_after_another_answer_is_told_all_the_same(voice: Voice) -> None:
    box = Box(book=ToolResult("booked"), pay=ToolResult("paid"))
    box.takes_s = 4.0

    async def story(call: Call) -> None:
        await call.ask()
        await call.ask()
        await call.listen(5000)

    call = play(server(voice, "book it", "thank you"), story, box=box)
    meanwhile, last = call.messages(1), call.messages(2)
    assert [role for role, _ in meanwhile] == ["user", "assistant", "tool", "tool", "user"]
    assert [content for _, content in last[-2:]] == ["booked", "paid"]
    assert len(call.said) == 2


def test_no_tool_runs_for_a_turn_that_goes_on(voice: Voice) -> None:
    box = Box(book=ToolResult("booked"), pay=ToolResult("paid"))

    async def story(call: Call) -> None:
        await call.phone.hear(QUESTION + silence(100) + QUESTION + silence(1500))

    play(server(voice, "book it", "thank you"), story, box=box)
    assert box.calls == []


def test_the_call_ends_after_the_words_that_go_with_it(voice: Voice) -> None:
    async def story(call: Call) -> None:
        await call.ask()
        await call.listen(1000)

    call = play(server(voice, "goodbye"), story, tools=["end_call"])
    assert call.said == ["Goodbye."]
    kinds = call.kinds()
    assert kinds.index("EndRequested") > kinds.index("TurnEnded")
    assert len(call.of(EndRequested)) == 1
    assert len(call.asked()) == 1


def test_without_a_word_the_call_ends_after_the_next_answer(voice: Voice) -> None:
    replies = [{"hears": "goodbye", "calls": {"name": "end_call"}, "then": "Take care."}]

    async def story(call: Call) -> None:
        await call.ask()
        await call.listen(2000)

    call = play(server(voice, "goodbye", replies=replies), story, tools=["end_call"])
    assert call.said == ["Take care."]
    assert call.kinds()[-2:] == ["TurnEnded", "EndRequested"]


def test_a_goodbye_that_is_interrupted_ends_nothing(voice: Voice) -> None:
    replies = [{"hears": "goodbye", "says": LONG, "calls": {"name": "end_call"}}]

    async def story(call: Call) -> None:
        await call.ask()
        await call.ask()
        await call.listen(1000)

    heard = ("goodbye", "where are you")
    replies = [*replies, {"hears": "where are you", "says": "Here."}]
    call = play(server(voice, *heard, replies=replies), story, tools=["end_call"])
    assert call.of(EndRequested) == []
    assert call.said[-1] == "Here."


def test_tools_that_call_for_more_tools_come_to_an_end(voice: Voice) -> None:
    box = Box(book=ToolResult("booked"))
    replies = [{"hears": "*", "calls": {"name": "book"}, "again": True}]

    async def story(call: Call) -> None:
        await call.ask()
        await call.listen(3000)

    call = play(server(voice, "book it", replies=replies), story, box=box, not_understood="Hm?")
    assert len(box.calls) == 8
    assert call.asked()[-1]["tool_choice"] == "none"
    assert call.said == ["Hm?"]


# What else happens on a call ---------------------------------------------------------------------


def test_sentences_that_are_given_are_said_word_for_word(voice: Voice) -> None:
    async def story(call: Call) -> None:
        call.phone.do(StartTurn("One, two and three."))
        call.phone.do(StartTurn("Four."))
        await call.listen(4000)

    call = play(server(voice), story)
    assert call.phone.played == ["One, two and three.", "Four."]
    assert call.kinds() == ["TurnStarted", "TurnAudio", "TurnEnded"] * 2
    assert call.asked() == []


def test_keys_are_told_once_no_more_come(voice: Voice) -> None:
    async def story(call: Call) -> None:
        for digit in "42":
            call.phone.do(TellDigit(digit))
            await call.listen(500)
        await call.listen(3000)

    call = play(server(voice), story)
    assert call.messages() == [("user", "(the caller pressed 42)")]
    assert call.said == ["You said: (the caller pressed 42)."]


def test_keys_that_a_tool_takes_are_nobodys_else(voice: Voice) -> None:
    box = Box()
    box.takes_keys = True

    async def story(call: Call) -> None:
        call.phone.do(TellDigit("4"))
        await call.listen(3000)

    call = play(server(voice), story, box=box)
    assert box.keys == "4"
    assert call.asked() == []


def test_instructions_are_minded_from_then_on(voice: Voice) -> None:
    async def story(call: Call) -> None:
        call.phone.do(Instruct("Offer a discount."))
        await call.ask()

    call = play(server(voice, "where are you"), story, minded=("They are deaf.",))
    [system] = [m["content"] for m in call.asked()[0]["messages"] if m["role"] == "system"]
    assert system.startswith("Be.\n\n")
    assert system.endswith("They are deaf.\n\nOffer a discount.")


def test_a_conversation_taken_over_goes_on_and_is_answered(voice: Voice) -> None:
    async def story(call: Call) -> None:
        await call.listen(2000)

    past = (PastTurn("agent", "Hello."), PastTurn("caller", "where are you"))
    call = play(server(voice), story, history=past, unanswered=True)
    assert call.messages() == [BEGINS, ("assistant", "Hello."), ("user", "where are you")]
    assert call.said == ["On Main Street. It is the house with the red door."]


def test_what_was_said_to_the_last_is_told_when_the_call_is_over(voice: Voice) -> None:
    async def story(call: Call) -> None:
        await call.phone.hear(QUESTION)
        await call.talk.hear_out()

    call = play(server(voice, "where are you", delays={"recognition_ms": 700}), story)
    assert call.understood == ["where are you"]
    assert call.of(TurnStarted) == []


def test_an_interruption_before_the_turn_began_leaves_nothing(voice: Voice) -> None:
    async def story(call: Call) -> None:
        call.phone.do(StartTurn("One."))
        await asyncio.sleep(0)
        [started] = call.of(TurnStarted)
        call.phone.do(Interrupt(started.turn_id, 0, ""))
        call.phone.turns.clear()
        await call.ask()

    call = play(server(voice, "where are you"), story)
    assert call.messages() == [("user", "where are you")]
    assert call.said == ["On Main Street. It is the house with the red door."]


def test_a_protected_sentence_is_said_to_its_end_before_the_answer(voice: Voice) -> None:
    async def story(call: Call) -> None:
        call.phone.do(StartTurn(LONG))
        await call.listen(100)
        call.phone.turns.clear()  # so that it does not tell of an interruption
        await call.ask()
        assert call.messages() == [BEGINS, ("assistant", LONG), ("user", "where are you")]
        await call.listen(30_000)

    call = play(server(voice, "where are you"), story)
    assert call.said == [LONG, "On Main Street. It is the house with the red door."]
    order = [e.turn_id for e in call.phone.events if isinstance(e, TurnStarted | TurnEnded)]
    assert order == sorted(order)
    assert len(order) == 4


@pytest.mark.parametrize("line", [PCMU_8K, PCMA_8K, MediaFormat(Encoding.L16, 16_000)])
@pytest.mark.parametrize("how", HOW)
def test_every_line_is_heard_and_spoken_to(
    voice: Voice, how: dict[str, Any], line: MediaFormat
) -> None:
    async def story(call: Call) -> None:
        await call.ask()
        await call.listen(3000)

    call = play(server(voice, "where are you"), story, line=line, **how)
    assert call.understood == ["where are you"]
    frames = [event.frame for event in call.sound]
    assert all(frame.format == line for frame in frames)
    assert [frame.start_ms for frame in frames] == [60 * at for at in range(len(frames))]
    assert {frame.duration_ms for frame in frames} == {60}


def test_three_servers_do_without_openai(voice: Voice) -> None:
    ears, mind, mouth = (
        Standin(
            script(**SCRIPT, heard=["where are you"], models=[f"own-{host}"]),
            key="sk-own" if host == "ears" else None,
            voice=voice,
        )
        for host in ("ears", "mind", "mouth")
    )
    unused = standin(voice)
    pipeline = {
        "recognition": {"url": "http://ears/v1", "secret": "OWN", "model": "own-ears"},
        "model": {"url": "http://mind/v1", "name": "own-mind", "temperature": 0.5},
        "speech": {"url": "http://mouth/v1", "model": "own-mouth", "voice": "ash", "speed": 1.2},
    }

    async def story(call: Call) -> None:
        await call.ask()
        await call.listen(2000)

    others = {"ears": ears, "mind": mind, "mouth": mouth}
    call = play(unused, story, key="", others=others, pipeline=pipeline)
    assert call.said == ["On Main Street. It is the house with the red door."]
    assert unused.requests == []
    assert [r.at for r in ears.requests] == ["opening"]
    assert ears.requests[0].query == {"intent": "transcription"}
    [asked] = call.asked(server=mind)
    assert (asked["model"], asked["temperature"], asked["max_tokens"]) == ("own-mind", 0.5, 400)
    assert call.asked("speech", mouth)[0] == {
        "model": "own-mouth",
        "voice": "ash",
        "input": "On Main Street.",
        "response_format": "pcm",
        "speed": 1.2,
    }
    assert not any(one.refused for one in others.values())


def test_words_are_told_where_they_are_heard(voice: Voice) -> None:
    async def story(call: Call) -> None:
        await call.ask()
        await call.listen(20_000)

    call = play(server(voice, "when are you open"), story)
    texts = call.of(TurnText)
    assert "".join(text.text for text in texts) == LONG
    starts = [text.start_ms for text in texts]
    assert starts == sorted(starts)
    assert max(starts) < sum(event.frame.duration_ms for event in call.sound)


def test_speech_begins_once(voice: Voice) -> None:
    async def story(call: Call) -> None:
        await call.ask()

    call = play(server(voice, "where are you"), story)
    assert len(call.of(SpeechStarted)) == len(call.of(SpeechStopped)) == 1
