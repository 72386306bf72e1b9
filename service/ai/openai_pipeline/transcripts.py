"""What is uploaded for recognition, and how the text is read out of what comes back. Pure.

Servers answer with JSON, with plain text, or with server-sent events; whatever they were asked for.
"""

import io
import wave

import msgspec
from msgspec import Struct

from service.ai.openai.errors import OpenAIFault, named_error
from service.core.audio import MediaFormat

TEXT_MOST_CHARACTERS = 20_000


class Delta(Struct, frozen=True):
    """The next piece of the text."""

    text: str


class Done(Struct, frozen=True):
    """All of the text."""

    text: str


class _Whole(Struct):
    text: str


class _Error(Struct):
    code: str | int | None = None
    type: str | None = None


class _Event(Struct):
    type: str = ""
    delta: str = ""
    text: str = ""
    error: _Error | None = None


_wholes = msgspec.json.Decoder(_Whole)
_events = msgspec.json.Decoder(_Event)


def wav(pcm: bytes, audio_format: MediaFormat) -> bytes:
    """A WAV file of PCM16."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(audio_format.sample_rate_hz)
        writer.writeframes(pcm)
    return file.getvalue()


def read_text(kind: str, body: bytes) -> str:
    """The text in an answer of this content type. OpenAIFault when there is none in it."""
    if kind == "text/html" or body.lstrip()[:1] == b"<":
        raise _confused()
    if kind == "application/json" or body.lstrip()[:1] == b"{":
        try:
            return _wholes.decode(body).text[:TEXT_MOST_CHARACTERS]
        except msgspec.DecodeError:
            raise _confused() from None
    if not body:
        raise _confused()
    return body.decode(errors="replace").strip()[:TEXT_MOST_CHARACTERS]


def read_event(line: str) -> Delta | Done | None:
    """What a line of server-sent events says, None when nothing. OpenAIFault when it is wrong."""
    name, _, data = line.partition(":")
    data = data.strip()
    if name != "data" or data in ("", "[DONE]"):
        return None
    try:
        event = _events.decode(data)
    except msgspec.DecodeError:
        raise _confused() from None
    if event.error is not None:
        code = event.error.code
        raise named_error(str(code) if code else None, event.error.type, "recognition")
    match event.type:
        case "transcript.text.delta":
            return Delta(event.delta)
        case "transcript.text.done":
            return Done(event.text[:TEXT_MOST_CHARACTERS])
        case _:
            return None


def _confused() -> OpenAIFault:
    return OpenAIFault("openai.confused", "recognition")
