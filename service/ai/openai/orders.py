"""What we want of a Realtime server, as its client events. Pure.

Answers are always asked for and cancelled by us, also where the server detects the turns, so that
an "uh-huh" stops nobody and nothing is answered twice.
https://platform.openai.com/docs/api-reference/realtime-client-events
"""

import binascii
from typing import Any, Literal

from openai.types.realtime import ConversationItemParam, RealtimeClientEventParam

from service.ai.openai.events import TURN_KEY

Order = RealtimeClientEventParam

Wish = Literal["create", "commit", "update", "item", "cancel", "truncate", "delete", "clear"]
"""What an order is for: the first part of its event's id, which a complaint about it repeats."""

_FORGIVEN: tuple[Wish, ...] = ("cancel", "truncate", "delete", "clear")

_WORD_FOR_WORD = (
    "Say exactly the following text, word for word, in the language it is written in and in your "
    "usual tone. Add nothing, leave nothing out, do not translate, answer or comment:\n\n"
)


def wish_of(event_id: str | None) -> str:
    """What the order with this id was for; empty when it is none of ours."""
    return (event_id or "").partition("_")[0]


def is_forgiven(event_id: str | None) -> bool:
    """Whether it does not matter that this order failed: what it was about is over already."""
    return wish_of(event_id) in _FORGIVEN


def hear(data: bytes) -> str:
    """More sound for the input buffer. As text: it is sent ten times a second."""
    sound = binascii.b2a_base64(data, newline=False).decode()
    return f'{{"type":"input_audio_buffer.append","audio":"{sound}"}}'


def commit(number: int) -> Order:
    """Make what is in the input buffer an item of the conversation."""
    return {"type": "input_audio_buffer.commit", "event_id": f"commit_{number}"}


def clear() -> Order:
    """Forget what is in the input buffer."""
    return {"type": "input_audio_buffer.clear", "event_id": "clear"}


def answer(turn: str, *, with_tools: bool = True) -> Order:
    """Answer the conversation so far; `turn` names the answer."""
    return {
        "type": "response.create",
        "event_id": f"create_{turn}",
        "response": {
            "metadata": {TURN_KEY: turn},
            "tool_choice": "auto" if with_tools else "none",
        },
    }


def say(turn: str, text: str) -> Order:
    """Say exactly this; the conversation so far is not looked at, and remembers it."""
    return {
        "type": "response.create",
        "event_id": f"create_{turn}",
        "response": {
            "metadata": {TURN_KEY: turn},
            "instructions": _WORD_FOR_WORD + text,
            "input": [],
            "tool_choice": "none",
        },
    }


def cancel(response_id: str | None) -> Order:
    """Stop the answer: this one, or whichever is being made."""
    if response_id is None:
        return {"type": "response.cancel", "event_id": "cancel"}
    return {"type": "response.cancel", "event_id": "cancel", "response_id": response_id}


def truncate(item_id: str, heard_ms: int) -> Order:
    """Forget what comes after `heard_ms` of an item's sound."""
    return {
        "type": "conversation.item.truncate",
        "event_id": "truncate",
        "item_id": item_id,
        "content_index": 0,
        "audio_end_ms": heard_ms,
    }


def delete(item_id: str) -> Order:
    """Forget an item."""
    return {"type": "conversation.item.delete", "event_id": "delete", "item_id": item_id}


def caller_said(text: str, item_id: str | None = None) -> Order:
    """The person on the line said, or did, this."""
    content: Any = [{"type": "input_text", "text": text}]
    return _item({"type": "message", "role": "user", "content": content}, item_id)


def agent_said(text: str, item_id: str | None = None) -> Order:
    """The agent said this."""
    content: Any = [{"type": "output_text", "text": text}]
    return _item({"type": "message", "role": "assistant", "content": content}, item_id)


def mind(text: str) -> Order:
    """Mind this from now on."""
    content: Any = [{"type": "input_text", "text": text}]
    return _item({"type": "message", "role": "system", "content": content}, None)


def tool_called(call_id: str, name: str, arguments: str) -> Order:
    """The agent called a function."""
    return _item(
        {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}, None
    )


def tool_told(call_id: str, output: str) -> Order:
    """What came of a function that was called."""
    return _item({"type": "function_call_output", "call_id": call_id, "output": output}, None)


def _item(item: ConversationItemParam, item_id: str | None) -> Order:
    if item_id is not None:
        item["id"] = item_id
    return {"type": "conversation.item.create", "event_id": "item", "item": item}
