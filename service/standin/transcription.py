"""POST /v1/audio/transcriptions: a WAV file in a form to text; whole, or streamed as events.

https://platform.openai.com/docs/api-reference/audio/createTranscription
"""

import io
import wave
from collections.abc import Iterator, Mapping
from typing import Any, get_type_hints

import numpy as np
from openai.types.audio.transcription_create_params import TranscriptionCreateParamsBase
from starlette.datastructures import FormData, UploadFile
from typing_extensions import TypedDict

from service.core.audio import PCM16_8K, Encoding, MediaFormat
from service.standin.refusals import Refusal
from service.standin.shapes import Shape
from service.standin.sound import converted, pieces

FILE_MOST_BYTES = 25 * 1024 * 1024
SUPPORTED = ("json", "text")
_LEAST_S = 0.1
_RATES_HZ = range(8000, 48_001)
_LISTS = ("include", "timestamp_granularities", "keywords", "languages")

_FIELDS = {
    name: hint
    for name, hint in get_type_hints(TranscriptionCreateParamsBase, include_extras=True).items()
    if name != "file"
}
_make: Any = TypedDict  # from fields that are known only now, which no type checker likes
_SHAPE = Shape(_make("Form", {**_FIELDS, "stream": bool}, total=False), lax=True)


async def check(form: FormData) -> tuple[dict[str, Any], bytes]:
    """The form's fields, and its sound as PCM16 at 8 kHz; Refusal when it is no request."""
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise Refusal("Missing required parameter: 'file'.", param="file")
    fields = _SHAPE.check(_fields(form))
    if "model" not in fields:
        message = "Missing required parameter: 'model'."
        raise Refusal(message, code="missing_required_parameter", param="model")
    if fields.get("response_format", "json") not in SUPPORTED:
        message = "This stand-in answers in json and text alone."
        raise Refusal(message, code="unsupported_value", param="response_format")
    if (file.size or 0) > FILE_MOST_BYTES:
        raise Refusal("Maximum content size limit exceeded.", status=413)
    return fields, _sound(await file.read(), file.filename or "")


def _fields(form: FormData) -> dict[str, Any]:
    """Fields as the package's types name them: `include[]` comes several times, for a list."""
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        plain = name.removesuffix("[]")
        if plain in _LISTS:
            fields.setdefault(plain, []).append(value)
        elif name != "file":
            fields[name] = value
    return fields


def _sound(data: bytes, name: str) -> bytes:
    if not name.lower().endswith(".wav"):
        raise _unreadable("Unrecognized file format. This stand-in reads wav alone.")
    try:
        with wave.open(io.BytesIO(data)) as file:
            width, channels, rate_hz = file.getsampwidth(), file.getnchannels(), file.getframerate()
            promised = file.getnframes()
            pcm = file.readframes(promised)
    except (wave.Error, EOFError):
        raise _unreadable("Audio file might be corrupted or unsupported.") from None
    if width != 2 or channels not in (1, 2) or rate_hz not in _RATES_HZ:
        raise _unreadable("Audio file might be corrupted or unsupported.")
    if len(pcm) != promised * width * channels:
        raise _unreadable("Audio file might be corrupted or unsupported.")
    if promised < rate_hz * _LEAST_S:
        message = "Audio file is too short. Minimum audio length is 0.1 seconds."
        raise Refusal(message, code="audio_too_short", param="file")
    if channels == 2:
        pcm = np.frombuffer(pcm, "<i2").reshape(-1, 2).mean(axis=1).astype("<i2").tobytes()
    return converted(pcm, MediaFormat(Encoding.PCM16, rate_hz), PCM16_8K)


def _unreadable(message: str) -> Refusal:
    return Refusal(message, code="invalid_value", param="file")


def usage(text: str, seconds: float) -> dict[str, Any]:
    """What it cost."""
    heard, said = round(seconds * 10), len(pieces(text))
    return {
        "type": "tokens",
        "input_tokens": heard,
        "input_token_details": {"text_tokens": 0, "audio_tokens": heard},
        "output_tokens": said,
        "total_tokens": heard + said,
    }


def events(text: str, used: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A streamed transcription."""
    for piece in pieces(text):
        yield {"type": "transcript.text.delta", "delta": piece}
    yield {"type": "transcript.text.done", "text": text, "usage": used}
