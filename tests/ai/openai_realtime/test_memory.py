"""What a new session is told of the conversation so far."""

from typing import Any

from service.ai.openai_realtime.memory import CHARACTERS_MOST, ENTRIES_MOST, Memory
from service.core.turns import PastTurn


def told(memory: Memory) -> list[str]:
    found: list[str] = []
    for order in memory.seeds():
        item: Any = order["item"]  # type: ignore[typeddict-item]
        parts = item.get("content") or [{"text": item.get("output") or item.get("arguments")}]
        found += [f"{item.get('role', item['type'])}: {part['text']}" for part in parts]
    return found


def test_it_is_told_in_the_order_in_which_it_was_said() -> None:
    memory = Memory([PastTurn("agent", "Hello."), PastTurn("caller", "hi")])
    memory.said("caller", "caller_1", "")
    memory.called("c1", "look", '{"day": 1}')
    memory.told("c1", "free")
    memory.said("agent", "turn_1", "It is free.")
    memory.said("caller", "caller_1", "is it free")  # its text came late
    assert told(memory) == [
        "assistant: Hello.",
        "user: hi",
        "user: is it free",
        'function_call: {"day": 1}',
        "function_call_output: free",
        "assistant: It is free.",
    ]


def test_what_was_not_heard_or_not_said_is_not_told() -> None:
    memory = Memory([])
    memory.said("agent", "turn_1", "From nine to five.")
    memory.said("agent", "turn_1", "From nine")
    memory.said("agent", "turn_2", "Hm.")
    memory.forget("turn_2")
    memory.forget("turn_3")
    memory.said("caller", "caller_1", "")
    memory.called("c1", "look", "{}")  # its result is still to come
    assert told(memory) == ["assistant: From nine"]


def test_the_newest_counts() -> None:
    memory = Memory([])
    for number in range(ENTRIES_MOST * 2):
        memory.said("caller", f"caller_{number}", f"number {number}")
    assert len(told(memory)) == ENTRIES_MOST
    assert told(memory)[-1] == f"user: number {ENTRIES_MOST * 2 - 1}"
    memory.said("agent", "turn_1", "x" * (CHARACTERS_MOST - 9))
    assert len(told(memory)) == 1


def test_an_items_id_is_as_short_as_openai_wants_it() -> None:
    memory = Memory([PastTurn("agent", "Hello.")])
    memory.said("agent", "turn_01JDR0000000000000000000AB", "Hi.")
    ids = [order["item"]["id"] for order in memory.seeds()]  # type: ignore[typeddict-item]
    assert len({*ids}) == 2
    assert max(len(item_id) for item_id in ids) <= 32
