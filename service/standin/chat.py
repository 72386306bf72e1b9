"""POST /v1/chat/completions: whole, or streamed as server-sent events.

https://platform.openai.com/docs/api-reference/chat
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)

from service.standin.functions import as_text, check_function
from service.standin.model import Line
from service.standin.refusals import Refusal
from service.standin.script import Answer, Delays
from service.standin.shapes import Shape
from service.standin.sound import pieces

_STREAMED = Shape(CompletionCreateParamsStreaming)
_WHOLE = Shape(CompletionCreateParamsNonStreaming)
_ARGUMENTS_PIECE = 12


def check(body: Any) -> dict[str, Any]:
    """The request, when it is one; Refusal when not."""
    shape = _STREAMED if isinstance(body, Mapping) and body.get("stream") is True else _WHOLE
    checked: dict[str, Any] = shape.check(body)
    _check_messages(checked["messages"])
    _check_numbers(checked)
    for number, tool in enumerate(checked.get("tools") or ()):
        if tool["type"] == "function":
            check_function(tool["function"], f"tools[{number}].function")
    if checked.get("stream_options") is not None and not checked.get("stream"):
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise Refusal(message, param="stream_options")
    if checked.get("tool_choice") is not None and not checked.get("tools"):
        raise Refusal(
            "'tool_choice' is only allowed when 'tools' are specified.", param="tool_choice"
        )
    return checked


def _check_messages(messages: Sequence[Mapping[str, Any]]) -> None:
    if not messages:
        raise Refusal("[] is too short - 'messages'", code="empty_array", param="messages")
    owed: set[str] = set()
    for number, message in enumerate(messages):
        where = f"messages[{number}]"
        if message["role"] == "tool":
            if message["tool_call_id"] not in owed:
                raise Refusal(
                    f"Invalid parameter: messages with role 'tool' must be a response to a "
                    f"preceeding message with 'tool_calls'. ({where})",
                    param=f"{where}.role",
                )
            owed.discard(message["tool_call_id"])
            continue
        if owed:
            raise _unanswered(owed)
        calls = message.get("tool_calls")
        if calls is not None and not calls:
            raise Refusal("[] is too short", code="empty_array", param=f"{where}.tool_calls")
        owed = {call["id"] for call in calls or ()}
        if message["role"] == "assistant" and not calls and message.get("content") is None:
            raise Refusal(
                "Invalid value for 'content': expected a string, got null.",
                param=f"{where}.content",
            )
    if owed:
        raise _unanswered(owed)


def _unanswered(owed: set[str]) -> Refusal:
    ids = ", ".join(sorted(owed))
    return Refusal(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to "
        f"each 'tool_call_id'. The following tool_call_ids did not have response messages: {ids}",
        param="messages",
    )


def _check_numbers(body: Mapping[str, Any]) -> None:
    for name, least, most in (("temperature", 0, 2), ("top_p", 0, 1), ("n", 1, 1)):
        value = body.get(name)
        if value is not None and not least <= value <= most:
            bounds = f"between {least} and {most}"
            message = f"Invalid '{name}': expected a number {bounds}, but got {value} instead."
            raise Refusal(message, code="decimal_out_of_range", param=name)
    for name in ("max_tokens", "max_completion_tokens"):
        value = body.get(name)
        if value is not None and value < 1:
            message = f"Invalid '{name}': integer below minimum value. Expected a value >= 1."
            raise Refusal(message, code="integer_below_min_value", param=name)


def lines(body: Mapping[str, Any]) -> list[Line]:
    """The conversation, as the model takes it."""
    made: list[Line] = []
    for message in body["messages"]:
        text = _text(message.get("content"))
        match message["role"]:
            case "system" | "developer":
                made.append(Line("system", text))
            case "user":
                made.append(Line("user", text))
            case "tool":
                made.append(Line("result", text))
            case _:
                if text:
                    made.append(Line("assistant", text))
                for call in message.get("tool_calls") or ():
                    function = call.get("function", {})
                    called = f"{function.get('name')}({function.get('arguments')})"
                    made.append(Line("call", called))
    return made


def _text(content: Any) -> str:
    if isinstance(content, str) or content is None:
        return content or ""
    return " ".join(part["text"] for part in content if part.get("type") == "text")


def tool_calls(
    answer: Answer, body: Mapping[str, Any], new_id: Callable[[str], str]
) -> list[dict[str, Any]]:
    """The answer's calls, as the API tells of them; none where none may be called."""
    if not body.get("tools") or body.get("tool_choice") == "none":
        return []
    return [
        {
            "id": new_id("call"),
            "type": "function",
            "function": {"name": call.name, "arguments": as_text(call.arguments)},
        }
        for call in answer.calls
    ]


def whole(head: dict[str, Any], answer: Answer, calls: list[dict[str, Any]]) -> dict[str, Any]:
    """The completion in one piece. `head` is what every piece says: id, created, model."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": answer.says or None,
        "refusal": None,
    }
    if calls:
        message["tool_calls"] = calls
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": _finish(answer, calls),
    }
    return head | {"object": "chat.completion", "choices": [choice], "usage": _usage(answer)}


async def streamed(
    head: dict[str, Any],
    answer: Answer,
    calls: list[dict[str, Any]],
    *,
    usage: bool,
    delays: Delays,
) -> AsyncIterator[dict[str, Any]]:
    """The completion chunk by chunk, at the script's pace."""
    rest = head | {"object": "chat.completion.chunk"} | ({"usage": None} if usage else {})
    await asyncio.sleep(delays.first_token_ms / 1000)
    yield rest | {"choices": [_delta({"role": "assistant", "content": "", "refusal": None})]}
    for number, delta in enumerate(_deltas(answer, calls)):
        if number:
            await asyncio.sleep(delays.token_ms / 1000)
        yield rest | {"choices": [_delta(delta)]}
    yield rest | {"choices": [_delta({}, _finish(answer, calls))]}
    if usage:
        yield rest | {"choices": [], "usage": _usage(answer)}


def _deltas(answer: Answer, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [{"content": piece} for piece in pieces(answer.says)]
    for index, call in enumerate(calls):
        function = call["function"]
        opened = call | {"index": index, "function": function | {"arguments": ""}}
        made.append({"tool_calls": [opened]})
        text = function["arguments"]
        for begin in range(0, len(text), _ARGUMENTS_PIECE):
            piece = {"arguments": text[begin : begin + _ARGUMENTS_PIECE]}
            made.append({"tool_calls": [{"index": index, "function": piece}]})
    return made


def _delta(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}


def _finish(answer: Answer, calls: list[dict[str, Any]]) -> str:
    return "tool_calls" if calls and answer.ends == "stop" else answer.ends


def _usage(answer: Answer) -> dict[str, Any]:
    made = len(pieces(answer.says)) + 10 * len(answer.calls)
    return {"prompt_tokens": 100, "completion_tokens": made, "total_tokens": 100 + made}
