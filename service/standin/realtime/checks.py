"""Is a client event one? By the openai package's types, and the rules that types do not say.

Pure: a Refusal says what is wrong and where.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_type_hints

from openai.types.realtime.realtime_client_event_param import RealtimeClientEventParam
from openai.types.realtime.response_create_event_with_references_param import (
    ResponseCreateEventWithReferencesParam,
)

from service.core.audio import MediaFormat
from service.standin.functions import check_function
from service.standin.refusals import Refusal
from service.standin.shapes import Shape
from service.standin.sound import width

EVENT_MOST_BYTES = 15 * 1024 * 1024
_ID_MOST = 32
_METADATA_MOST, _KEY_MOST, _VALUE_MOST = 16, 64, 512
_NULLABLE = ("noise_reduction", "transcription")
"""Null turns them off, says the documentation; the types do not."""


def _shapes() -> dict[str, Shape]:
    made = {}
    for params in (*get_args(RealtimeClientEventParam), ResponseCreateEventWithReferencesParam):
        [kind] = get_args(get_args(get_type_hints(params, include_extras=True)["type"])[0])
        made[kind] = Shape(params)
    return made


_SHAPES = _shapes()


def parse(text: str | bytes) -> dict[str, Any]:
    """The event in a message. Refusal when it is none."""
    if len(text) > EVENT_MOST_BYTES:
        raise Refusal("The event is larger than 15 MiB.", code="event_too_large")
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        raise Refusal("The message is not valid JSON.", code="invalid_json") from None
    if not isinstance(event, dict):
        raise Refusal("The event is not an object.", code="invalid_type")
    return event


def check(event: Mapping[str, Any]) -> None:
    """Refusal when the event is not as the API wants it."""
    kind = event.get("type")
    if kind is None:
        raise missing("type")
    shape = _SHAPES.get(kind) if isinstance(kind, str) else None
    if shape is None:
        names = ", ".join(f"'{name}'" for name in sorted(_SHAPES))
        message = f"Invalid value: '{str(kind)[:80]}'. Supported values are: {names}."
        raise Refusal(message, code="invalid_value", param="type")
    shape.check(_without_nulls(event))
    if isinstance(event.get("item"), dict):
        check_item(event["item"])


def _without_nulls(event: Mapping[str, Any]) -> Mapping[str, Any]:
    session = event.get("session")
    audio = session.get("audio") if isinstance(session, dict) else None
    heard = audio.get("input") if isinstance(audio, dict) else None
    if not isinstance(session, dict) or not isinstance(audio, dict) or not isinstance(heard, dict):
        return event
    kept = {k: v for k, v in heard.items() if v is not None or k not in _NULLABLE}
    return {**event, "session": {**session, "audio": {**audio, "input": kept}}}


def check_item(item: Mapping[str, Any], where: str = "item") -> None:
    """Refusal when an item is none that a client may make."""
    if len(item.get("id") or "") > _ID_MOST:
        message = f"Invalid '{where}.id': string too long. Expected a maximum length of {_ID_MOST}."
        raise Refusal(message, code="string_above_max_length", param=f"{where}.id")
    if item.get("type") != "message":
        return
    for number, part in enumerate(item["content"]):
        _check_part(item["role"], part, f"{where}.content[{number}]")


def _check_part(role: str, part: Mapping[str, Any], where: str) -> None:
    kind = part.get("type")
    if kind is None:
        raise missing(f"{where}.type")
    if kind == "output_audio":
        message = "Audio of the assistant cannot be created by the client."
        raise Refusal(message, code="invalid_value", param=f"{where}.type")
    needed = {"input_audio": "audio", "input_image": "image_url"}.get(kind, "text")
    if needed not in part:
        raise missing(f"{where}.{needed}")
    if role == "assistant" and kind != "output_text":
        raise Refusal("Invalid content type.", code="invalid_value", param=f"{where}.type")


def check_response(asked: Mapping[str, Any]) -> None:
    """Refusal when an answer cannot be had like this."""
    check_modalities(asked.get("output_modalities"), "response.output_modalities")
    check_tokens(asked.get("max_output_tokens"), "response.max_output_tokens")
    check_tools(asked.get("tools") or (), "response.tools")
    metadata = asked.get("metadata") or {}
    if len(metadata) > _METADATA_MOST or any(
        len(key) > _KEY_MOST or len(value) > _VALUE_MOST for key, value in metadata.items()
    ):
        message = "Metadata has at most 16 pairs, of 64 and 512 characters."
        raise Refusal(message, code="invalid_value", param="response.metadata")
    for number, item in enumerate(asked.get("input") or ()):
        check_item(item, f"response.input[{number}]")


def check_modalities(modalities: Sequence[str] | None, where: str) -> None:
    """Text or sound, never both."""
    if modalities is not None and list(modalities) not in (["text"], ["audio"]):
        message = (
            f"Invalid modalities: {list(modalities)}. "
            "Supported combinations are: ['text'] and ['audio']."
        )
        raise Refusal(message, code="invalid_value", param=where)


def check_tokens(tokens: object, where: str) -> None:
    """1 to 4096, or "inf"."""
    if isinstance(tokens, int):
        check_range(tokens, where, 1, 4096)


def check_range(value: float | None, where: str, least: float, most: float) -> None:
    """Refusal when a number is out of bounds."""
    if value is not None and not least <= value <= most:
        message = f"Invalid '{where}': expected a value between {least} and {most}."
        raise Refusal(message, code="invalid_value", param=where)


def check_tools(tools: Sequence[Mapping[str, Any]], where: str) -> None:
    """Each has a name, or is a server that can be found."""
    for number, tool in enumerate(tools):
        at = f"{where}[{number}]"
        if tool.get("type") is None:
            raise missing(f"{at}.type")
        if tool["type"] == "mcp":
            if not any(tool.get(name) for name in ("server_url", "connector_id", "tunnel_id")):
                raise missing(f"{at}.server_url")
        elif not tool.get("name"):
            raise missing(f"{at}.name")
        else:
            check_function(tool, at)


def sound(text: str, audio_format: MediaFormat, where: str = "audio") -> bytes:
    """The samples in base64; Refusal when they are not whole ones."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        message = f"Invalid '{where}'. Expected base64-encoded audio."
        raise Refusal(message, code="invalid_value", param=where) from None
    if len(data) % width(audio_format):
        message = f"Invalid '{where}'. The audio is not a whole number of samples."
        raise Refusal(message, code="invalid_value", param=where)
    return data


def missing(where: str) -> Refusal:
    """Something that must be there is not."""
    message = f"Missing required parameter: '{where}'."
    return Refusal(message, code="missing_required_parameter", param=where)
