"""The language model: a conversation in, an answer out, piece by piece as it is written.

By chat completions, the API that every compatible server knows.
https://platform.openai.com/docs/api-reference/chat/create
"""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any, cast

from msgspec import Struct
from openai import AsyncOpenAI, AsyncStream
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

from service.agents.openai import LanguageModel as Settings
from service.ai.openai.access import Server, is_openai
from service.ai.openai.attempts import in_time
from service.ai.openai.errors import FIRST_TOKEN_S, NEXT_TOKEN_S, OpenAIFault, stage
from service.ai.openai_pipeline.thoughts import Thoughts
from service.tools import ToolSpec

TEXT_MOST_CHARACTERS = 20_000
ARGUMENTS_MOST_CHARACTERS = 100_000
TOOLS_MOST = 32
"""Of one answer."""

_NOT_EVENTS = ("text/html", "application/json")


class ToolAsked(Struct, frozen=True):
    """The model calls a function; `arguments` are as it wrote them."""

    call_id: str
    name: str
    arguments: str


class Refused(Struct, frozen=True):
    """The server's filter has cut the answer off."""


Piece = str | ToolAsked | Refused


class LanguageModel:
    """One agent's, on its server. `new_id` names calls whose server does not."""

    def __init__(
        self,
        client: AsyncOpenAI,
        server: Server,
        settings: Settings,
        *,
        new_id: Callable[[str], str],
    ) -> None:
        self._client = client
        self._settings = settings
        self._new_id = new_id
        # OpenAI's newer models refuse the old name, and servers of others do not know the new one.
        self._limit = "max_completion_tokens" if is_openai(server.url) else "max_tokens"

    async def answer(
        self,
        messages: Sequence[ChatCompletionMessageParam],
        tools: Sequence[ToolSpec],
        *,
        may_use_tools: bool,
    ) -> AsyncGenerator[Piece, None]:
        """The answer's text in pieces, then the tools it calls. OpenAIFault when there is none."""
        request = self._request(messages, tools, may_use_tools=may_use_tools)
        answer = _Answer(self._new_id)
        thoughts = Thoughts()
        async with aclosing(self._chunks(request)) as chunks:
            async for chunk in chunks:
                if text := thoughts.push(answer.read(chunk)):
                    yield text
        if text := thoughts.flush():
            yield text
        if not answer.begun:
            raise OpenAIFault("openai.confused", "first token")
        for last in answer.complete():
            yield last

    async def _chunks(self, request: dict[str, Any]) -> AsyncGenerator[ChatCompletionChunk, None]:
        """The answer's chunks, from the first that says something on, each in time."""
        stream, chunk = await in_time("first token", FIRST_TOKEN_S, lambda: self._begin(request))
        try:
            while chunk is not None:
                yield chunk
                async with stage("between tokens", NEXT_TOKEN_S):
                    chunk = await _next(stream)
        finally:
            await stream.close()

    async def _begin(
        self, request: dict[str, Any]
    ) -> tuple[AsyncStream[ChatCompletionChunk], ChatCompletionChunk | None]:
        create = cast("Any", self._client.chat.completions.create)
        stream: AsyncStream[ChatCompletionChunk] = await create(**request)
        try:
            kind = stream.response.headers.get("content-type", "")
            if kind.startswith(_NOT_EVENTS):
                raise OpenAIFault("openai.confused", "first token")
            chunk = await _next(stream)
            while chunk is not None and not _says_something(chunk):
                chunk = await _next(stream)
        except BaseException:
            await stream.close()
            raise
        return stream, chunk

    def _request(
        self,
        messages: Sequence[ChatCompletionMessageParam],
        tools: Sequence[ToolSpec],
        *,
        may_use_tools: bool,
    ) -> dict[str, Any]:
        settings = self._settings
        # The package walks through all messages by their types, which takes it longer than all
        # else in a request; what is given as extra goes out as it is.
        extra: dict[str, Any] = {"messages": messages}
        request: dict[str, Any] = {
            "model": settings.name,
            "messages": (),
            "stream": True,
            "extra_body": extra,
        }
        if settings.temperature is not None:
            request["temperature"] = settings.temperature
        if settings.max_output_tokens is not None:
            request[self._limit] = settings.max_output_tokens
        if tools:
            extra["tools"] = [_function(spec) for spec in tools]
            if not may_use_tools:
                extra["tool_choice"] = "none"
        return request


class _Call(Struct):
    """A tool's call, as far as it has come."""

    call_id: str = ""
    name: str = ""
    arguments: str = ""


class _Answer:
    """Puts an answer together. What breaks the shape of a chunk is OpenAIFault."""

    def __init__(self, new_id: Callable[[str], str]) -> None:
        self.begun = False
        self._new_id = new_id
        self._calls: dict[int, _Call] = {}
        self._characters = 0
        self._finish = ""

    def read(self, chunk: ChatCompletionChunk) -> str:
        """The text in a chunk."""
        try:
            return self._read(chunk)
        except (AttributeError, TypeError, IndexError):
            raise OpenAIFault("openai.confused", "token") from None

    def complete(self) -> Iterator[ToolAsked | Refused]:
        """What follows from it, now that all is there."""
        if self._finish == "content_filter":
            yield Refused()
        for call in [*self._calls.values()][:TOOLS_MOST]:
            if call.name:
                call_id = call.call_id or self._new_id("call")
                yield ToolAsked(call_id, call.name, call.arguments)

    def _read(self, chunk: ChatCompletionChunk) -> str:
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        self.begun = True
        self._finish = choice.finish_reason or self._finish
        if choice.delta is None:
            return ""
        for fragment in choice.delta.tool_calls or ():
            self._add(fragment)
        return self._bounded(choice.delta.content or "")

    def _add(self, fragment: Any) -> None:
        """A fragment belongs to the call of its index; some servers give whole calls, and none."""
        index = fragment.index if isinstance(fragment.index, int) else len(self._calls)
        call = self._calls.setdefault(index, _Call())
        call.call_id = call.call_id or fragment.id or ""
        if fragment.function is None:
            return
        call.name = call.name or fragment.function.name or ""
        call.arguments += fragment.function.arguments or ""
        if len(call.arguments) > ARGUMENTS_MOST_CHARACTERS:
            raise OpenAIFault("openai.confused", "tool call")

    def _bounded(self, text: str) -> str:
        room = TEXT_MOST_CHARACTERS - self._characters
        self._characters += len(text)
        return text[: max(0, room)]


async def _next(stream: AsyncStream[ChatCompletionChunk]) -> ChatCompletionChunk | None:
    try:
        return await anext(stream)
    except StopAsyncIteration:
        return None


def _says_something(chunk: ChatCompletionChunk) -> bool:
    """Not the first chunk of most servers, which names the role and no more."""
    try:
        if not chunk.choices:
            return False
        choice = chunk.choices[0]
        delta = choice.delta
        return bool(choice.finish_reason or delta.content or delta.tool_calls)
    except (AttributeError, TypeError, IndexError):
        raise OpenAIFault("openai.confused", "first token") from None


def _function(spec: ToolSpec) -> dict[str, Any]:
    function = {
        "name": spec.name,
        "description": spec.description,
        "parameters": spec.parameters,
    }
    return {"type": "function", "function": function}
