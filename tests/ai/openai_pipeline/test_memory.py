"""What the language model is told of the conversation."""

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from service.ai.openai_pipeline.memory import (
    BEGINS,
    CHARACTERS_MOST,
    MESSAGES_MOST,
    ON_THE_PHONE,
    Memory,
    ToolUse,
)
from service.core.events import TurnId
from service.core.turns import PastTurn

ONE, TWO = TurnId("turn_1"), TurnId("turn_2")


def memory(*history: PastTurn, minded: tuple[str, ...] = ()) -> Memory:
    return Memory("Be kind.", minded, history)


def told(made: Memory, heard: str = "") -> list[tuple[str, Any]]:
    """Role and content of all messages but the first."""
    messages = cast("list[dict[str, Any]]", made.messages(heard))
    return [(message["role"], message["content"]) for message in messages[1:]]


def system(made: Memory) -> str:
    return str(made.messages()[0].get("content"))


def test_both_sides_are_remembered_in_turn() -> None:
    made = memory()
    made.said(ONE, "Hello.")
    made.heard("hi")
    made.said(TWO, "How are")
    made.said(TWO, "How are you?")
    assert told(made) == [
        ("user", BEGINS),
        ("assistant", "Hello."),
        ("user", "hi"),
        ("assistant", "How are you?"),
    ]


def test_what_may_be_said_is_told_and_not_remembered() -> None:
    made = memory()
    made.heard("when")
    assert told(made, "are you open") == [("user", "when\nare you open")]
    assert told(made) == [("user", "when")]


def test_of_a_turn_that_was_cut_off_what_was_heard_is_left() -> None:
    made = memory()
    made.heard("hi")
    made.said(ONE, "One two three.")
    made.cut(ONE, " One two ")
    assert told(made)[-1] == ("assistant", "One two")
    made.cut(ONE, "")
    assert told(made) == [("user", "hi")]
    made.cut(TWO, "never was")
    assert told(made) == [("user", "hi")]


def test_tools_stay_with_their_results_when_the_words_are_cut() -> None:
    made = memory()
    made.heard("book it")
    made.said(ONE, "I will do that.")
    tool = ToolUse("call_1", "book", '{"day": 1}')
    made.used(ONE, [tool, ToolUse("call_2", "slow", "{}")])
    assert told(made) == [("user", "book it"), ("assistant", "I will do that.")]
    tool.result = "done"
    made.cut(ONE, "")
    messages = cast("list[dict[str, Any]]", made.messages())
    assert [call["id"] for call in messages[2]["tool_calls"]] == ["call_1"]
    assert messages[2]["content"] is None
    assert messages[3] == {"role": "tool", "tool_call_id": "call_1", "content": "done"}


def test_arguments_that_are_no_json_are_not_told_again() -> None:
    for arguments in ("{oops", "[1]", "", "nul"):
        made = memory()
        made.used(ONE, [ToolUse("c", "book", arguments, "wrong arguments")])
        assistant = cast("dict[str, Any]", made.messages()[2])
        assert assistant["tool_calls"][0]["function"]["arguments"] == "{}"


def test_instructions_come_first_and_are_never_forgotten() -> None:
    made = memory(minded=("They are deaf.",))
    made.mind("Offer a discount.")
    for number in range(100):
        made.heard(f"word {number}")
    assert system(made) == f"Be kind.\n\n{ON_THE_PHONE}\n\nThey are deaf.\n\nOffer a discount."


def test_a_call_taken_over_goes_on_where_it_was() -> None:
    made = memory(PastTurn("agent", "Hello."), PastTurn("caller", "hi"))
    assert told(made) == [("user", BEGINS), ("assistant", "Hello."), ("user", "hi")]


def test_one_who_speaks_twice_says_one_thing() -> None:
    made = memory()
    made.said(ONE, "One.")
    made.said(TWO, "Two.")
    made.heard("a")
    made.heard("b")
    assert told(made)[1:] == [("assistant", "One.\nTwo."), ("user", "a\nb")]


Deed = st.one_of(
    st.tuples(st.just("heard"), st.integers(1, 9000)),
    st.tuples(st.just("said"), st.integers(0, 9000)),
    st.tuples(st.just("used"), st.integers(0, 3)),
)


@given(st.lists(Deed, max_size=80))
def test_whatever_happens_the_messages_are_sound_and_bounded(deeds: list[tuple[str, int]]) -> None:
    made = memory()
    for number, (deed, size) in enumerate(deeds):
        turn = TurnId(f"turn_{number}")
        if deed == "heard":
            made.heard("x" * size)
        elif deed == "said":
            made.said(turn, "y" * size)
        else:
            results = ["r" if at % 2 == 0 else None for at in range(size)]
            made.used(turn, [ToolUse(f"{turn}{at}", "t", "{}", r) for at, r in enumerate(results)])
    messages = cast("list[dict[str, Any]]", made.messages())
    owed: list[str] = []
    before = "system"
    for message in messages[1:]:
        if message["role"] == "tool":
            assert message["tool_call_id"] == owed.pop(0)
            continue
        assert not owed
        assert message["role"] != before or before == "assistant"
        assert message["content"] or message.get("tool_calls")
        owed = [call["id"] for call in message.get("tool_calls", ())]
        before = message["role"]
    assert not owed
    assert messages[0]["role"] == "system"
    assert len(messages) <= MESSAGES_MOST + 2
    assert sum(len(message["content"] or "") for message in messages[1:]) <= CHARACTERS_MOST + 200
