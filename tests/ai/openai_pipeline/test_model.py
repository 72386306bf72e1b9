"""Answers as servers stream them, in the shapes that are seen in the wild."""

import json
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI

from service.agents.openai import LanguageModel as Settings
from service.ai.openai.access import Server
from service.ai.openai.errors import OpenAIFault
from service.ai.openai_pipeline.model import LanguageModel, Piece, Refused, ToolAsked
from service.tools import ToolSpec

URL = "http://mind.test/v1"
TOOL = ToolSpec("book", "Books a table.", {"type": "object"})


class Far:
    """Streams these chunks to whoever asks, and keeps what was asked."""

    def __init__(self, *chunks: Any, kind: str = "text/event-stream") -> None:
        self.asked: list[dict[str, Any]] = []
        self._body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks)
        self._kind = kind

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(json.loads(request.content))
        headers = {"content-type": self._kind}
        return httpx.Response(200, headers=headers, content=f"{self._body}data: [DONE]\n\n")


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": fields, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "choices": [choice]}


def fragment(index: int | None, **fields: Any) -> dict[str, Any]:
    function = {k: v for k, v in fields.items() if k in ("name", "arguments")}
    call: dict[str, Any] = {"function": function} | ({} if index is None else {"index": index})
    return delta(tool_calls=[call | {k: v for k, v in fields.items() if k == "id"}])


async def answer(far: Far, *, url: str = URL, may: bool = True, **settings: Any) -> list[Piece]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(far.answer)) as http:
        client = AsyncOpenAI(api_key="k", base_url=url, http_client=http, max_retries=0)  # type: ignore[arg-type]
        model = LanguageModel(
            client, Server(url, "k"), Settings(**settings), new_id=lambda prefix: f"{prefix}_new"
        )
        pieces = model.answer([{"role": "user", "content": "hi"}], [TOOL], may_use_tools=may)
        return [piece async for piece in pieces]


async def test_text_comes_in_pieces() -> None:
    far = Far(delta(role="assistant", content=""), delta(content="Yes"), delta(content="."))
    assert await answer(far) == ["Yes", "."]


async def test_calls_come_in_fragments_by_their_index() -> None:
    far = Far(
        fragment(0, id="a", name="book", arguments=""),
        fragment(1, id="b", name="pay", arguments=""),
        fragment(0, arguments='{"d": '),
        fragment(1, arguments="{}"),
        fragment(0, arguments="1}"),
        delta("tool_calls"),
    )
    assert await answer(far) == [ToolAsked("a", "book", '{"d": 1}'), ToolAsked("b", "pay", "{}")]


async def test_whole_calls_without_index_or_id_are_understood() -> None:
    far = Far(
        fragment(None, name="book", arguments="{}"), fragment(None, name="pay", arguments="{}")
    )
    assert await answer(far) == [
        ToolAsked("call_new", "book", "{}"),
        ToolAsked("call_new", "pay", "{}"),
    ]


async def test_a_name_that_is_repeated_is_one_name() -> None:
    far = Far(fragment(0, name="book", arguments="{"), fragment(0, name="book", arguments="}"))
    assert await answer(far) == [ToolAsked("call_new", "book", "{}")]


async def test_what_a_filter_cuts_off_is_refused() -> None:
    assert await answer(Far(delta(content="Ye"), delta("content_filter"))) == ["Ye", Refused()]


async def test_thoughts_are_left_out() -> None:
    far = Far(delta(content="<think>so"), delta(content="</think>\nYes."))
    assert await answer(far) == ["Yes."]


async def test_chunks_without_choices_are_passed_over() -> None:
    far = Far({"choices": []}, delta(content="Yes."), {"choices": [], "usage": {}})
    assert await answer(far) == ["Yes."]


@pytest.mark.parametrize(
    "wrong",
    [
        {"choices": 7},
        {"choices": [{"delta": 7, "finish_reason": None}]},
        {"choices": [{"delta": {"tool_calls": [7]}}]},
        7,
    ],
)
@pytest.mark.parametrize("late", [False, True])
async def test_what_is_no_chunk_is_confusing(wrong: Any, late: bool) -> None:
    far = Far(*([delta(content="Yes")] if late else []), wrong)
    with pytest.raises(OpenAIFault) as fault:
        await answer(far)
    assert fault.value.code == "openai.confused"


async def test_an_answer_that_is_no_stream_is_confusing() -> None:
    for far in (Far(delta(content="Yes"), kind="text/html"), Far()):
        with pytest.raises(OpenAIFault) as fault:
            await answer(far)
        assert fault.value.code == "openai.confused"


async def test_arguments_without_end_are_confusing() -> None:
    piece = fragment(0, name="book", arguments="x" * 30_000)
    with pytest.raises(OpenAIFault):
        await answer(Far(*[piece] * 5))


async def test_text_without_end_is_cut() -> None:
    pieces = await answer(Far(*[delta(content="x" * 3000)] * 10))
    assert sum(len(piece) for piece in pieces if isinstance(piece, str)) == 20_000


async def test_the_request_is_as_the_agent_says() -> None:
    far = Far(delta(content="Yes."))
    await answer(far, name="own", temperature=0.3, max_output_tokens=50)
    await answer(far, url="https://api.openai.com/v1", may=False)
    await answer(far, max_output_tokens=None)
    own, theirs, free = far.asked
    assert (own["model"], own["temperature"], own["max_tokens"]) == ("own", 0.3, 50)
    assert "tool_choice" not in own
    assert own["tools"][0]["function"]["name"] == "book"
    assert theirs["max_completion_tokens"] == 400
    assert "max_tokens" not in theirs
    assert "temperature" not in theirs
    assert theirs["tool_choice"] == "none"
    assert not {"max_tokens", "max_completion_tokens"} & free.keys()
