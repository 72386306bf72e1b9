"""Chat completions by the official client."""

import asyncio
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionChunk

from service.replay import virtual
from service.standin import Standin
from tests.standin.client import client_of, fault, say, script, standin

TOOL: Any = {"type": "function", "function": {"name": "book", "parameters": {"type": "object"}}}
BOOKING: dict[str, Any] = {
    "hears": "book me in",
    "says": "One moment.",
    "calls": {"name": "book", "arguments": {"day": "monday"}},
    "then": "Done: {result}.",
}


async def chunks(client: AsyncOpenAI, **request: Any) -> list[ChatCompletionChunk]:
    stream: Any = await client.chat.completions.create(**request, stream=True)
    return [chunk async for chunk in stream]


def text_of(made: list[ChatCompletionChunk]) -> str:
    return "".join(c.choices[0].delta.content or "" for c in made if c.choices)


async def test_a_stream_says_the_answer_word_by_word_and_how_it_ended() -> None:
    server = standin(replies=[{"hears": "when are you open", "says": "From nine to five."}])
    async with client_of(server) as client:
        made = await chunks(client, **say("Hello, when are you open?"))
    assert text_of(made) == "From nine to five."
    assert len(made) > 4
    assert made[0].choices[0].delta.role == "assistant"
    assert made[-1].choices[0].finish_reason == "stop"
    assert made[-1].usage is None
    assert server.requests[0].end == "complete"


async def test_usage_comes_last_when_it_is_asked_for() -> None:
    async with client_of(standin()) as client:
        made = await chunks(client, **say("Hi"), stream_options={"include_usage": True})
    assert made[-1].choices == []
    assert made[-1].usage is not None
    assert made[-1].usage.total_tokens > 100


async def test_a_completion_also_comes_whole() -> None:
    async with client_of(standin()) as client:
        whole: Any = await client.chat.completions.create(**say("Hi there"))
    assert whole.choices[0].message.content == "You said: Hi there."


async def test_tool_calls_come_in_fragments_and_their_result_is_said() -> None:
    async with client_of(standin(replies=[BOOKING])) as client:
        made = await chunks(client, **say("Book me in, please"), tools=[TOOL])
        deltas = [d for c in made for d in c.choices[0].delta.tool_calls or ()]
        arguments = "".join(d.function.arguments or "" for d in deltas if d.function)
        assert text_of(made) == "One moment."
        assert [d.index for d in deltas] == [0] * len(deltas)
        assert len(deltas) > 2
        assert arguments == '{"day": "monday"}'
        assert made[-1].choices[0].finish_reason == "tool_calls"
        call = {
            "id": deltas[0].id,
            "type": "function",
            "function": {"name": "book", "arguments": arguments},
        }
        request = say("book me in")
        request["messages"] += [
            {"role": "assistant", "content": "One moment.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": deltas[0].id, "content": "monday at ten"},
        ]
        assert text_of(await chunks(client, **request, tools=[TOOL])) == "Done: monday at ten."


async def test_a_tool_may_be_called_for_ever_and_with_arguments_that_are_no_json() -> None:
    loop = {"hears": "*", "calls": {"name": "book", "arguments": '{"day": '}, "again": True}
    request = say("go")
    async with client_of(standin(replies=[loop])) as client:
        for number in range(4):
            whole: Any = await client.chat.completions.create(**request, tools=[TOOL])
            [call] = whole.choices[0].message.tool_calls
            assert call.function.arguments == '{"day": '
            request["messages"] += [
                whole.choices[0].message.model_dump(exclude_none=True),
                {"role": "tool", "tool_call_id": call.id, "content": str(number)},
            ]


async def test_without_tools_none_is_called() -> None:
    choices: Any = ({}, {"tools": [TOOL], "tool_choice": "none"})
    async with client_of(standin(replies=[BOOKING])) as client:
        for choice in choices:
            whole: Any = await client.chat.completions.create(**say("book me in"), **choice)
            assert whole.choices[0].message.tool_calls is None
            assert whole.choices[0].finish_reason == "stop"


ORPHAN = [{"role": "tool", "tool_call_id": "call_x", "content": "x"}]
OWED = [
    {"role": "user", "content": "go"},
    {
        "role": "assistant",
        "tool_calls": [
            {"id": "call_x", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ],
    },
    {"role": "user", "content": "well?"},
]


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"surprise": 1}, "unknown_parameter", "surprise"),
        ({"messages": []}, "empty_array", "messages"),
        ({"messages": [{"role": "user"}]}, "missing_required_parameter", "messages[0].content"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "invalid_value", "messages[0].role"),
        (
            {"messages": [{"role": "user", "content": "x", "heard": "x"}]},
            "unknown_parameter",
            "messages[0].heard",
        ),
        ({"messages": ORPHAN}, None, "messages[0].role"),
        ({"messages": OWED}, None, "messages"),
        ({"temperature": 3}, "decimal_out_of_range", "temperature"),
        ({"temperature": "hot"}, "invalid_type", "temperature"),
        ({"max_completion_tokens": 0}, "integer_below_min_value", "max_completion_tokens"),
        ({"tool_choice": "auto"}, None, "tool_choice"),
        ({"stream_options": {"include_usage": True}}, None, "stream_options"),
        (
            {"tools": [{"type": "function", "function": {"name": "a b"}}]},
            "invalid_value",
            "tools[0].function.name",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "a", "parameters": {}}}]},
            "invalid_function_parameters",
            "tools[0].function.parameters",
        ),
        ({"tools": [{"type": "function"}]}, "missing_required_parameter", "tools[0].function"),
    ],
)
async def test_what_is_no_request_is_refused_with_its_place(
    change: dict[str, Any], code: str | None, param: str
) -> None:
    server = standin()
    async with client_of(server) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(**say("Hi"), extra_body=change)
    assert (caught.value.code, caught.value.param) == (code, param)
    assert caught.value.type == "invalid_request_error"
    assert [(r.at, r.code, r.param) for r in server.refused] == [("chat", code, param)]
    assert server.requests[0].end == "refused"


async def test_another_key_and_an_unknown_model_are_refused() -> None:
    server = standin()
    async with client_of(server, key="sk-other") as client:
        with pytest.raises(openai.AuthenticationError) as stranger:
            await client.chat.completions.create(**say("Hi"))
    assert stranger.value.code == "invalid_api_key"
    async with client_of(server) as client:
        with pytest.raises(openai.NotFoundError) as unknown:
            await client.chat.completions.create(**{**say("Hi"), "model": "gpt-9"})
    assert unknown.value.code == "model_not_found"


async def test_errors_are_told_as_openai_tells_them() -> None:
    faults = [
        {"at": "chat", "does": "status", "status": 429, "retry_after_s": 2},
        {
            "at": "chat",
            "number": 2,
            "does": "status",
            "status": 429,
            "reason": "insufficient_quota",
        },
        {"at": "chat", "number": 3, "does": "status", "status": 503},
        {"at": "chat", "number": 4, "does": "html", "status": 502},
    ]
    async with client_of(standin(faults=faults)) as client:
        with pytest.raises(openai.RateLimitError) as limited:
            await client.chat.completions.create(**say("Hi"))
        assert limited.value.response.headers["retry-after"] == "2"
        assert limited.value.code == "rate_limit_exceeded"
        with pytest.raises(openai.RateLimitError) as broke:
            await client.chat.completions.create(**say("Hi"))
        assert broke.value.code == "insufficient_quota"
        assert "retry-after" not in broke.value.response.headers
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(**say("Hi"))
        with pytest.raises(openai.InternalServerError) as page:
            await client.chat.completions.create(**say("Hi"))
        assert "<html>" in page.value.response.text
        assert text_of(await chunks(client, **say("Hi"))) == "You said: Hi."


def test_a_stream_stalls_where_it_is_told_to_and_the_client_gives_up_in_time() -> None:
    async def main() -> tuple[str, float, str]:
        server = standin()
        server.faults.add(fault("chat", "stall", after=3))
        text = ""
        async with client_of(server, read_s=5) as client:
            stream: Any = await client.chat.completions.create(**say("a b c d"), stream=True)
            try:
                async for chunk in stream:
                    text += chunk.choices[0].delta.content or ""
            except openai.APITimeoutError:
                text += "|"
            await stream.close()
        return text, asyncio.get_running_loop().time(), server.requests[0].end

    text, seconds, end = virtual.run(main())
    assert text == "You said:|"
    assert seconds == pytest.approx(5)
    assert end == "left"


async def test_a_stream_is_cut_goes_wrong_or_tells_of_an_error() -> None:
    server = standin()
    for does in ("cut", "malformed", "error"):
        server.faults.add(fault("chat", does, after=2, number=len(server.faults.due) + 1))
    async with client_of(server) as client:
        with pytest.raises(openai.APIConnectionError):
            await chunks(client, **say("a b c"))
        with pytest.raises(ValueError, match="Expecting"):
            await chunks(client, **say("a b c"))
        with pytest.raises(openai.APIError, match="had an error"):
            await chunks(client, **say("a b c"))
    assert server.requests[0].end == "cut"


def test_an_answer_takes_the_time_the_script_says_and_ends_when_the_client_leaves() -> None:
    async def main() -> tuple[list[int], str]:
        server = standin(delays={"first_token_ms": 300, "token_ms": 50})
        loop = asyncio.get_running_loop()
        came: list[int] = []
        async with client_of(server) as client:
            stream: Any = await client.chat.completions.create(**say("a b c d e f"), stream=True)
            async for _ in stream:
                came.append(round(loop.time() * 1000))
                if len(came) == 4:
                    break
            await stream.close()
            await asyncio.sleep(1)
        return came, server.requests[0].end

    came, end = virtual.run(main())
    assert came == [300, 300, 350, 400]
    assert end == "left"


async def test_a_server_without_a_key_asks_for_none() -> None:
    server = Standin(script(), key=None)
    async with client_of(server, key="whatever") as client:
        assert text_of(await chunks(client, **say("Hi"))) == "You said: Hi."
