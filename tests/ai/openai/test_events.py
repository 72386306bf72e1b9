"""Server events in, what they mean out; nothing that breaks the rules gets through."""

import json
from typing import Any

import pytest
from openai.resources.realtime.realtime import AsyncRealtimeConnection

from service.ai.openai.events import (
    Committed,
    Complained,
    ItemBegan,
    RemoteToolAsked,
    RemoteToolOver,
    RemoteToolsMissing,
    ResponseBegan,
    ResponseOver,
    ServerEvent,
    SessionReady,
    Sound,
    SoundDone,
    SoundText,
    ToolAsked,
    Understanding,
    Understood,
    VoiceBegan,
    VoiceEnded,
    read,
)
from service.core.errors import ProtocolError

decode = AsyncRealtimeConnection(None).parse_event  # type: ignore[arg-type]
HEARD = "conversation.item.input_audio_transcription"
OF = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
MESSAGE = {"id": "i", "type": "message", "role": "assistant", "content": []}
CALL = {"id": "i", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
MCP = {"id": "i", "type": "mcp_call", "server_label": "s", "name": "f", "arguments": "{}"}
FAILED = {"type": "http_error", "code": 500, "message": "no"}
LIMITED = {"type": "failed", "error": {"type": "tokens", "code": "rate_limit_exceeded"}}


def event(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind, "event_id": "e", **fields}).encode()


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        (event("session.updated", session={"type": "realtime"}), SessionReady()),
        (event("input_audio_buffer.committed", item_id="i"), Committed("i")),
        (
            event("input_audio_buffer.speech_started", audio_start_ms=120, item_id="i"),
            VoiceBegan(120),
        ),
        (
            event("input_audio_buffer.speech_stopped", audio_end_ms=900, item_id="i"),
            VoiceEnded(900),
        ),
        (event(f"{HEARD}.delta", item_id="i", delta="hel"), Understanding("i", "hel")),
        (event(f"{HEARD}.completed", item_id="i", transcript=" hello "), Understood("i", "hello")),
        (event(f"{HEARD}.failed", item_id="i", error={"message": "no"}), Understood("i", "")),
        (
            event("response.created", response={"id": "r", "metadata": {"turn": "t"}}),
            ResponseBegan("r", "t"),
        ),
        (event("response.created", response={"id": "r"}), ResponseBegan("r", None)),
        (event("response.output_item.added", **OF, item=MESSAGE), ItemBegan("r", "i")),
        (
            event("response.output_audio.delta", **OF, delta="AAEC"),
            Sound("r", "i", bytes([0, 1, 2])),
        ),
        (
            event("response.output_audio_transcript.delta", **OF, delta="he"),
            SoundText("r", "i", "he"),
        ),
        (event("response.output_audio.done", **OF), SoundDone("r", "i")),
        (event("response.output_item.done", **OF, item=CALL), ToolAsked("r", "i", "c", "f", "{}")),
        (
            event("response.output_item.done", **OF, item=CALL | {"status": "incomplete"}),
            ItemBegan("r", "i"),
        ),
        (event("response.output_item.done", **OF, item=MESSAGE), ItemBegan("r", "i")),
        (event("response.output_item.done", **OF, item=MCP), RemoteToolAsked("r", "i", "f", "{}")),
        (event("response.mcp_call.completed", item_id="i"), RemoteToolOver("i", False)),
        (event("response.mcp_call.failed", item_id="i"), RemoteToolOver("i", True)),
        (event("mcp_list_tools.failed", item_id="i"), RemoteToolsMissing()),
        (
            event("response.done", response={"id": "r", "status": "completed"}),
            ResponseOver("r", "completed"),
        ),
        (
            event(
                "response.done",
                response={"id": "r", "status": "failed", "status_details": LIMITED},
            ),
            ResponseOver("r", "failed", code="rate_limit_exceeded", kind="tokens"),
        ),
        (
            event(
                "response.done",
                response={
                    "id": "r",
                    "status": "incomplete",
                    "status_details": {"type": "incomplete", "reason": "content_filter"},
                },
            ),
            ResponseOver("r", "incomplete", reason="content_filter"),
        ),
        (
            event("error", error={"type": "t", "code": "c", "message": "m", "event_id": "x"}),
            Complained("c", "t", "x"),
        ),
        (event("rate_limits.updated", rate_limits=[]), None),
        (event("conversation.item.truncated", **OF, audio_end_ms=1), None),
    ],
)
def test_each_event_has_its_meaning(message: bytes, meaning: ServerEvent | None) -> None:
    assert read(message, decode) == meaning


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (b"<html>busy</html>", "no event"),
        (b"\xff\xfe", "no event"),
        (b"[1]", "no event"),
        (b"{}", "no event"),
        (event("response.sung", item_id="i"), "response.sung"),
        (event("Somebody's words, to be logged?"), "unnamed"),
        (event("error"), "error"),
        (event("error", error="busy"), "error"),
        (event("response.created"), "response.created"),
        (event("response.done", response=None), "response.done"),
        (event("response.output_audio.delta", **OF), "response.output_audio.delta"),
        (event("response.output_audio.delta", **OF, delta="?"), "response.output_audio.delta"),
        (event("response.output_item.added", response_id="r"), "response.output_item.added"),
        (
            event("response.output_item.done", response_id="r", item={"type": "message"}),
            "response.output_item.done",
        ),
        (event("input_audio_buffer.committed", item_id=7), "input_audio_buffer.committed"),
        (event(f"{HEARD}.completed", item_id="i", transcript=None), f"{HEARD}.completed"),
    ],
)
def test_what_is_no_event_or_breaks_its_rules_is_named_and_refused(
    message: bytes, kind: str
) -> None:
    with pytest.raises(ProtocolError) as caught:
        read(message, decode)
    assert (caught.value.code, caught.value.detail) == ("openai.confused", kind)
