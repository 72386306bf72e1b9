"""What a Realtime server says, as what it means to us: `read` is the only way in.

Sound and its words are decoded here with just the fields they need, since the openai package takes
a tenth of a millisecond for an event; all else comes as the package's typed events. Those are not
validated by it, so every field is looked at here. https://platform.openai.com/docs/api-reference/realtime
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct
from openai.types import realtime as theirs

from service.core.errors import ProtocolError

Decode = Callable[[bytes], Any]
"""The package's own: bytes to one of its typed events."""


class SessionReady(Struct, frozen=True):
    """The session is as the last update asked for."""


class Committed(Struct, frozen=True):
    """What was in the input buffer is an item of the conversation now."""

    item_id: str


class Understanding(Struct, frozen=True):
    """The next piece of what the person said in an item."""

    item_id: str
    text: str


class Understood(Struct, frozen=True):
    """All of what the person said in an item; empty when that cannot be told."""

    item_id: str
    text: str


class VoiceBegan(Struct, frozen=True, gc=False):
    """The server hears speech: `start_ms` of the sound that this session was sent."""

    start_ms: int


class VoiceEnded(Struct, frozen=True, gc=False):
    """The server takes what was said as over; a Committed follows."""

    end_ms: int


class ResponseBegan(Struct, frozen=True):
    """The model answers; `turn` is the name that we gave the answer, if it is still known."""

    response_id: str
    turn: str | None


class ItemBegan(Struct, frozen=True):
    """The answer has a new item; `remote`: the server talks to an MCP server for it."""

    response_id: str
    item_id: str
    remote: bool = False


class Sound(Struct, frozen=True):
    """The next piece of an item's sound, of any length, in the session's output format."""

    response_id: str
    item_id: str
    data: bytes


class SoundText(Struct, frozen=True):
    """The next piece of the words to an item's sound; runs ahead of it."""

    response_id: str
    item_id: str
    text: str


class SoundDone(Struct, frozen=True):
    """All of an item's sound has been sent."""

    response_id: str
    item_id: str


class ToolAsked(Struct, frozen=True):
    """The model calls a function; `arguments` are as it wrote them."""

    response_id: str
    item_id: str
    call_id: str
    name: str
    arguments: str


class RemoteToolAsked(Struct, frozen=True):
    """The model has the server call a tool of an MCP server; `arguments` are as it wrote them."""

    response_id: str
    item_id: str
    name: str
    arguments: str


class RemoteToolOver(Struct, frozen=True):
    """The server has called it: what came of it is in the conversation."""

    item_id: str
    failed: bool


class RemoteToolsMissing(Struct, frozen=True):
    """An MCP server did not tell the Realtime server its tools."""


class ResponseOver(Struct, frozen=True):
    """The answer is complete, or will not be: `status` is theirs.

    `reason` says why it is "incomplete", `code` and `kind` why it "failed".
    """

    response_id: str
    status: str
    reason: str | None = None
    code: str | None = None
    kind: str | None = None


class Complained(Struct, frozen=True):
    """The server could not do something; `event_id` is of our event, when it was one."""

    code: str | None
    kind: str | None
    event_id: str | None


ServerEvent = (
    SessionReady
    | Committed
    | Understanding
    | Understood
    | VoiceBegan
    | VoiceEnded
    | ResponseBegan
    | ItemBegan
    | Sound
    | SoundText
    | SoundDone
    | ToolAsked
    | RemoteToolAsked
    | RemoteToolOver
    | RemoteToolsMissing
    | ResponseOver
    | Complained
)

_OF_NO_MEANING = frozenset(
    {
        "session.created",
        "conversation.created",
        "conversation.item.added",
        "conversation.item.created",
        "conversation.item.deleted",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.segment",
        "conversation.item.retrieved",
        "conversation.item.truncated",
        "input_audio_buffer.cleared",
        "input_audio_buffer.timeout_triggered",
        "mcp_list_tools.completed",
        "mcp_list_tools.in_progress",
        "rate_limits.updated",
        "response.content_part.added",
        "response.content_part.done",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.mcp_call.in_progress",
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.output_audio_transcript.done",
        "response.output_text.delta",
        "response.output_text.done",
    }
)
"""They say nothing, or what another event says better."""

TURN_KEY = "turn"
"""Under this name a response's metadata hold the name of our turn."""

_SOUND = "response.output_audio.delta"
_WORDS = "response.output_audio_transcript.delta"
_NAME = re.compile(r"[a-z_.]{1,80}")


class _Kind(Struct):
    type: str


class _Sound(Struct):
    response_id: str
    item_id: str
    delta: bytes  # base64 in JSON


class _Words(Struct):
    response_id: str
    item_id: str
    delta: str


_kinds = msgspec.json.Decoder(_Kind)
_sounds = msgspec.json.Decoder(_Sound)
_words = msgspec.json.Decoder(_Words)


def read(data: bytes, decode: Decode) -> ServerEvent | None:
    """What a message means, None when nothing.

    ProtocolError `openai.confused` when it is of a kind nobody knows, or breaks the rules of its
    kind; the detail is its kind.
    """
    try:
        kind = _kinds.decode(data).type
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ProtocolError("openai.confused", "no event") from None
    if kind in _OF_NO_MEANING:
        return None
    try:
        if kind == _SOUND:
            sound = _sounds.decode(data)
            return Sound(sound.response_id, sound.item_id, sound.delta)
        if kind == _WORDS:
            words = _words.decode(data)
            return SoundText(words.response_id, words.item_id, words.delta)
        return _meaning(decode(data), kind)
    except (msgspec.DecodeError, ValueError, TypeError, AttributeError):
        raise _confused(kind) from None


def _meaning(event: Any, kind: str) -> ServerEvent:
    family = kind.partition(".")[0]
    found = _of_responses(event) if family == "response" else _of_the_rest(event)
    if found is None:
        raise _confused(kind)
    return found


def _confused(kind: str) -> ProtocolError:
    return ProtocolError("openai.confused", kind if _NAME.fullmatch(kind) else "unnamed")


def _of_the_rest(event: Any) -> ServerEvent | None:
    match event:
        case theirs.SessionUpdatedEvent(type="session.updated"):
            return SessionReady()
        case theirs.InputAudioBufferCommittedEvent(
            type="input_audio_buffer.committed", item_id=str(item_id)
        ):
            return Committed(item_id)
        case theirs.InputAudioBufferSpeechStartedEvent(audio_start_ms=int(start_ms)):
            return VoiceBegan(start_ms)
        case theirs.InputAudioBufferSpeechStoppedEvent(audio_end_ms=int(end_ms)):
            return VoiceEnded(end_ms)
        case theirs.ConversationItemInputAudioTranscriptionDeltaEvent(
            item_id=str(item_id), delta=str(text)
        ):
            return Understanding(item_id, text)
        case theirs.ConversationItemInputAudioTranscriptionCompletedEvent(
            item_id=str(item_id), transcript=str(text)
        ):
            return Understood(item_id, text.strip())
        case theirs.ConversationItemInputAudioTranscriptionFailedEvent(item_id=str(item_id)):
            return Understood(item_id, "")
        case theirs.McpListToolsFailed(type="mcp_list_tools.failed"):
            return RemoteToolsMissing()
        case theirs.RealtimeErrorEvent(type="error", error=theirs.RealtimeError() as error):
            return Complained(_text(error.code), _text(error.type), _text(error.event_id))
        case _:
            return None


def _of_responses(event: Any) -> ServerEvent | None:
    match event:
        case theirs.ResponseCreatedEvent(response=theirs.RealtimeResponse(id=str(name)) as made):
            turn = (made.metadata or {}).get(TURN_KEY)
            return ResponseBegan(name, turn)
        case theirs.ResponseOutputItemAddedEvent(response_id=str(name), item=item):
            return ItemBegan(name, _id_of(item), str(item.type).startswith("mcp_"))
        case theirs.ResponseAudioDoneEvent(response_id=str(name), item_id=str(item_id)):
            return SoundDone(name, item_id)
        case theirs.ResponseOutputItemDoneEvent(response_id=str(name), item=item):
            return _item_done(name, item)
        case theirs.ResponseMcpCallCompleted(
            type="response.mcp_call.completed", item_id=str(item_id)
        ):
            return RemoteToolOver(item_id, failed=False)
        case theirs.ResponseMcpCallFailed(type="response.mcp_call.failed", item_id=str(item_id)):
            return RemoteToolOver(item_id, failed=True)
        case theirs.ResponseDoneEvent(response=theirs.RealtimeResponse(id=str(name)) as made):
            return _over(name, made)
        case _:
            return None


def _item_done(response_id: str, item: Any) -> ServerEvent:
    match item:
        case theirs.RealtimeConversationItemFunctionCall(
            type="function_call", call_id=str(call_id), name=str(name), arguments=str(arguments)
        ) if item.status != "incomplete":
            return ToolAsked(response_id, _id_of(item), call_id, name, arguments)
        case theirs.RealtimeMcpToolCall(type="mcp_call", name=str(name), arguments=str(arguments)):
            return RemoteToolAsked(response_id, _id_of(item), name, arguments)
        case _:
            return ItemBegan(response_id, _id_of(item))


def _over(response_id: str, made: theirs.RealtimeResponse) -> ResponseOver:
    details = made.status_details
    error = details.error if details is not None else None
    return ResponseOver(
        response_id,
        made.status or "completed",
        reason=details.reason if details is not None else None,
        code=_text(error.code) if error is not None else None,
        kind=_text(error.type) if error is not None else None,
    )


def _id_of(item: Any) -> str:
    if not isinstance(item.id, str):
        raise TypeError("an item without an id")
    return item.id


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
