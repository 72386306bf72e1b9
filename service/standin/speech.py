"""POST /v1/audio/speech: text to sound, as it is made.

https://platform.openai.com/docs/api-reference/audio/createSpeech
"""

from typing import Any

from openai.types.audio.speech_create_params import SpeechCreateParams

from service.standin.refusals import Refusal
from service.standin.shapes import Shape
from service.standin.voice import VOICES

INPUT_MOST_CHARACTERS = 4096
SUPPORTED = ("pcm", "wav")
_SHAPE = Shape(SpeechCreateParams)


def check(body: Any) -> dict[str, Any]:
    """The request, when it is one; Refusal when not."""
    checked: dict[str, Any] = _SHAPE.check(body)
    if not checked["input"]:
        raise Refusal("Input must not be empty.", code="string_too_short", param="input")
    if len(checked["input"]) > INPUT_MOST_CHARACTERS:
        message = f"String should have at most {INPUT_MOST_CHARACTERS} characters"
        raise Refusal(message, code="string_above_max_length", param="input")
    voice = checked["voice"]
    if isinstance(voice, str) and voice not in VOICES:
        names = ", ".join(repr(name) for name in sorted(VOICES))
        message = f"Invalid value: {voice[:80]!r}. Supported values are: {names}."
        raise Refusal(message, code="invalid_value", param="voice")
    if not 0.25 <= checked.get("speed", 1.0) <= 4.0:
        raise Refusal("Speed must be between 0.25 and 4.", code="invalid_value", param="speed")
    _check_format(checked)
    return checked


def _check_format(checked: dict[str, Any]) -> None:
    if checked.get("response_format", "mp3") not in SUPPORTED:
        message = "This stand-in speaks pcm and wav alone."
        raise Refusal(message, code="unsupported_value", param="response_format")
    if checked.get("stream_format", "audio") != "audio":
        message = "This stand-in streams audio alone."
        raise Refusal(message, code="unsupported_value", param="stream_format")
