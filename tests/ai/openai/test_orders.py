"""Every order is what OpenAI's own types allow, and no more than that."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from openai.types.realtime import RealtimeClientEventParam
from pydantic import TypeAdapter

from service.ai.openai import orders

EVENTS: TypeAdapter[Any] = TypeAdapter(RealtimeClientEventParam)
ORDERS = [
    orders.commit(1),
    orders.clear(),
    orders.answer("turn_1"),
    orders.answer("turn_1", with_tools=False),
    orders.say("turn_1", "Hello."),
    orders.cancel(None),
    orders.cancel("resp_1"),
    orders.truncate("item_1", 700),
    orders.delete("item_1"),
    orders.caller_said("hi", "s_1"),
    orders.agent_said("Hello."),
    orders.mind("Be brief."),
    orders.tool_called("call_1", "look", "{}"),
    orders.tool_told("call_1", "free"),
]


def plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [plain(inner) for inner in value]
    return value


def is_allowed(order: Any) -> bool:
    """Whether nothing is lost on the way through OpenAI's own types."""
    return bool(plain(EVENTS.validate_python(order)) == plain(order))


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order["type"])
def test_each_order_is_what_the_types_allow(order: Any) -> None:
    assert is_allowed(order)


def test_what_the_types_do_not_allow_is_seen() -> None:
    assert not is_allowed({**orders.clear(), "colour": "red"})


def test_sound_is_sent_as_it_is() -> None:
    assert orders.hear(bytes([0, 255, 7])) == '{"type":"input_audio_buffer.append","audio":"AP8H"}'


def test_a_complaint_about_an_order_can_be_told_by_its_id() -> None:
    assert orders.wish_of(orders.commit(3)["event_id"]) == "commit"
    assert orders.wish_of(None) == ""
    assert orders.is_forgiven("cancel")
    assert not orders.is_forgiven("create_turn_1")
