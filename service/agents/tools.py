"""What an agent may do beside talking: end and transfer calls, keys, HTTP requests, MCP servers."""

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    JsonValue,
)
from pydantic_core import CoreSchema

from service.agents.parts import (
    LISTED,
    Description,
    Form,
    Name,
    Number,
    Part,
    Seconds,
    Sentence,
)
from service.agents.web import Headers, Method, Url

ToolName = Annotated[
    str, Form("[A-Za-z][A-Za-z0-9_-]{0,63}", "a letter, then letters, digits, - and _, at most 64")
]
Destination = Annotated[
    str, Form("[A-Za-z0-9][A-Za-z0-9 _-]{0,63}", "letters, digits, blanks, - and _, at most 64")
]


class _Tool(Part):
    says: Sentence = ""
    """Said when the answer is not there in half a second; empty: nothing."""


class _OneOfAKind(_Tool):
    kind: str

    @property
    def name(self) -> str:
        """As the model calls it."""
        return self.kind


class EndCallTool(_OneOfAKind):
    """The agent may end the call; that is done when its goodbye was heard."""

    kind: Literal["end_call"]
    """end_call"""
    description: Description = (
        "End the call. Use it when the conversation is over and you have said goodbye."
    )
    """Tells the model when to use it."""


class TransferCallTool(_OneOfAKind):
    """The agent may hand the call to one of these numbers."""

    kind: Literal["transfer_call"]
    """transfer_call"""
    description: Description = (
        "Transfer the call to a person. Use it when the caller asks for that, or when you cannot "
        "help."
    )
    """Tells the model when to use it."""
    to: Annotated[dict[Destination, Number], Field(min_length=1, max_length=50)]
    """Where to: a name that the model chooses by, and the number."""


class SendDtmfTool(_OneOfAKind):
    """The agent may press keys, for the menus of those it calls."""

    kind: Literal["send_dtmf"]
    """send_dtmf"""
    description: Description = (
        "Press keys of the telephone, for a menu that asks for them: 0-9, *, #; w waits half a "
        "second."
    )
    """Tells the model when to use it."""


class CollectDigitsTool(_OneOfAKind):
    """The agent may have the caller type a number on the keys of the telephone."""

    kind: Literal["collect_digits"]
    """collect_digits"""
    description: Description = (
        "Wait for digits that the caller types on the telephone, such as a customer number. Ask "
        "the caller to type them first."
    )
    """Tells the model when to use it."""


class HttpTool(_Tool):
    """An HTTP request that the agent may make."""

    kind: Literal["http"]
    """http"""
    name: ToolName
    """As the model calls it."""
    description: Description
    """Tells the model what it does and when to use it."""
    method: Method = "GET"
    """Arguments that the URL does not name go into the query of GET and DELETE, else into a JSON
    body."""
    url: Url
    """{argument}, {variable}, {caller}, {called} and {call_id} are filled in, percent-encoded."""
    headers: Headers = {}
    """{secret.NAME} stands for the environment variable CALLBRIDGE_SECRET_NAME; {variable}, too."""
    parameters: dict[str, JsonValue] = {"type": "object", "properties": {}}
    """The arguments, as the JSON Schema of an object."""
    timeout_s: Seconds = 5
    """The model is told that there was no answer after this, in seconds."""


def _spelled_out(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


class _OrABareWord:
    """`- end_call` is short for `- {kind: end_call}`, where a kind needs nothing else."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"enum": [*BARE_WORDS]}, handler(schema)]}


BARE_WORDS = ("end_call", "send_dtmf", "collect_digits")
Tool = Annotated[
    EndCallTool | TransferCallTool | SendDtmfTool | CollectDigitsTool | HttpTool,
    Field(discriminator="kind"),
]
Tools = Annotated[
    tuple[Annotated[Tool, BeforeValidator(_spelled_out), _OrABareWord()], ...],
    Field(max_length=32),
    LISTED,
]


class McpServer(Part):
    """A server of tools (Model Context Protocol, streamable HTTP)."""

    name: ToolName
    """Stands before the names of its tools."""
    url: Url
    """Where it is."""
    headers: Headers = {}
    """{secret.NAME} stands for the environment variable CALLBRIDGE_SECRET_NAME; {variable}, too."""
    allow: Annotated[tuple[Name, ...], Field(max_length=128), LISTED] = ()
    """The tools that may be used; []: all."""
    timeout_s: Seconds = 10
    """The model is told that there was no answer after this, in seconds."""
    by: Literal["bridge", "openai"] = "bridge"
    """Who talks to it: callbridge, or OpenAI's own servers in the Realtime API."""
    says: Sentence = ""
    """Said when an answer is not there in half a second; empty: nothing."""


McpServers = Annotated[tuple[McpServer, ...], Field(max_length=8), LISTED]
