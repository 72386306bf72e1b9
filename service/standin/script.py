"""What the stand-in hears, says and does wrong, as data: from YAML, or made in a test.

heard: ["when are you open", "book me in"]     # the first utterance, the second, ...
phrases: ["when are you open"]                 # without `heard`: recognised among these
replies:
  - hears: "when are you open"                 # one or several; "*" is anything
    says: "From nine to five."
  - hears: "book me in"
    calls: {name: book, arguments: {day: monday}}
    then: "Done: {result}."                    # after the tool's result
otherwise: "You said: {heard}."
delays: {first_token_ms: 200}
faults: [{at: chat, number: 2, does: status, status: 429}]
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

TEXT_MOST_CHARACTERS = 20_000
_LIST_MOST = 1000
_WAIT_MOST_MS = 3_600_000

Text = Annotated[str, Field(max_length=TEXT_MOST_CHARACTERS)]
Ms = Annotated[int, Field(ge=0, le=_WAIT_MOST_MS)]
Stage = Literal[
    "models",  # HTTP requests, each kind counted by itself
    "chat",
    "speech",
    "transcription",
    "opening",  # of a Realtime socket: the upgrade, and the first event
    "session",  # what is sent on a Realtime socket; `after` counts events
    "response",  # answers of the model in Realtime sessions; `after` counts deltas
    "recognition",  # of an utterance in Realtime sessions
]
Deed = Literal[
    "status",  # the answer is this HTTP status with OpenAI's error
    "html",  # a proxy answers, with a page
    "empty",  # no body, no text, no sound
    "stall",  # nothing comes any more
    "cut",  # the connection is gone, with no close
    "close",  # a socket is closed with this `code` and `reason`
    "error",  # an error event, or an error inside a stream
    "failed",  # a response, or a recognition, ends as failed with this `reason` as its code
    "malformed",  # something that is no JSON
    "unknown",  # an event, or a chunk, of a kind nobody knows
    "odd",  # sound of half a sample more
    "expire",  # the session is too old
]


def _several(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _answer(value: Any) -> Any:
    return {"says": value} if isinstance(value, str) else value


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=False, use_attribute_docstrings=True
    )


class Call(_Part):
    """A tool the model calls. Arguments given as text are sent as they are, JSON or not."""

    name: Text
    arguments: dict[str, Any] | Text = {}
    server: Text = ""
    """Label of the remote MCP server whose tool it is; empty: a function of the client's."""


class Answer(_Part):
    """What the model says, and then does."""

    says: Text = ""
    """`{heard}` is what the person said, `{result}` what the last tool gave."""
    calls: Annotated[tuple[Call, ...], BeforeValidator(_several)] = ()
    then: Annotated["Answer | None", BeforeValidator(_answer)] = None
    """After the tools' results; None: says the results."""
    again: bool = False
    """After the tools' results it calls them once more, for ever."""
    ends: Literal["stop", "length", "content_filter"] = "stop"


class Reply(Answer):
    """An answer to what was heard."""

    hears: Annotated[tuple[Text, ...], BeforeValidator(_several)]


class Delays(_Part):
    """How long things take; all zero unless set."""

    recognition_ms: Ms = 0
    first_token_ms: Ms = 0
    token_ms: Ms = 0
    """Between pieces of text: about a word each."""
    first_audio_ms: Ms = 0
    """From the first text to the first sound."""


class Sound(_Part):
    """How sound comes."""

    speed: Annotated[float, Field(ge=0, le=1000)] = 8.0
    """Times the speed of speech; 0: all at once."""
    chunk_bytes: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Of each delta or chunk; 0: irregular, as the API's."""
    words_per_minute: Annotated[int, Field(ge=80, le=450)] = 165


class McpTool(_Part):
    """A tool on a remote MCP server."""

    name: Text
    description: Text = ""
    input_schema: dict[str, Any] = {"type": "object"}
    result: Text = "ok"
    fails: bool = False
    takes_ms: Ms = 0


class McpServer(_Part):
    """A remote MCP server, as the Realtime API would find it."""

    tools: tuple[McpTool, ...] = ()
    fails: bool = False
    """Its tools cannot be listed."""


class Fault(_Part):
    """Something that goes wrong on purpose."""

    at: Stage
    does: Deed
    number: Annotated[int, Field(ge=0)] = 1
    """The first of its stage, the second, ...; 0: every one."""
    after: Annotated[int, Field(ge=0)] = 0
    """So many chunks, events or deltas come first."""
    status: Annotated[int, Field(ge=200, le=599)] = 500
    code: Annotated[int, Field(ge=1000, le=4999)] = 1011
    reason: Text = ""
    """OpenAI's code in an error body or event, or the reason of a close."""
    retry_after_s: float | None = None


class Script(_Part):
    """All of it."""

    heard: tuple[Text, ...] = Field(default=(), max_length=_LIST_MOST)
    heard_by: Literal["server", "session"] = "server"
    """Whether `heard` is one list for all, or begins anew in every Realtime session."""
    repeats: bool = False
    """`heard` begins anew at its end; else what comes then is recognised."""
    phrases: tuple[Text, ...] = Field(default=(), max_length=_LIST_MOST)
    replies: tuple[Reply, ...] = Field(default=(), max_length=_LIST_MOST)
    otherwise: Text = "You said: {heard}."
    opens: Text = "Hello."
    """Said when nobody has said anything yet."""
    models: tuple[Text, ...] = Field(default=(), max_length=_LIST_MOST)
    """Known besides OpenAI's own."""
    session_s: Annotated[float, Field(gt=0, le=86_400)] = 3600.0
    """How old a Realtime session becomes."""
    delays: Delays = Delays()
    sound: Sound = Sound()
    mcp: dict[Text, McpServer] = {}
    faults: tuple[Fault, ...] = Field(default=(), max_length=_LIST_MOST)

    def known_phrases(self) -> tuple[str, ...]:
        """What can be recognised, in the recogniser's spelling."""
        named = [*self.phrases, *(phrase for reply in self.replies for phrase in reply.hears)]
        plain = (normal(phrase) for phrase in named if phrase != "*")
        return tuple(dict.fromkeys(phrase for phrase in plain if phrase))


def normal(text: str) -> str:
    """Small letters and words alone: how texts are compared, and recognised."""
    kept = (c if c.isalnum() or c == "'" else " " for c in text.lower().replace("\u2019", "'"))
    return " ".join("".join(kept).split())


def load(path: Path) -> Script:
    """The script in a file; ValidationError, yaml.YAMLError or OSError when it is none."""
    return Script.model_validate(yaml.safe_load(path.read_text("utf-8")) or {})
