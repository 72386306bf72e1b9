"""Texts out of what servers for recognition answer."""

import io
import json
import wave

import pytest

from service.ai.openai.errors import OpenAIFault
from service.ai.openai_pipeline.transcripts import Delta, Done, read_event, read_text, wav
from service.core.audio import PCM16_8K


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("application/json", b'{"text": "hello", "usage": {}}', "hello"),
        ("text/plain", b"hello\n", "hello"),
        ("text/plain", b' {"text": "hello"}', "hello"),
        ("", b"hello", "hello"),
        ("text/plain", b"\xff", "\ufffd"),
        ("application/json", b'{"text": ""}', ""),
    ],
)
def test_json_and_text_are_both_read(kind: str, body: bytes, text: str) -> None:
    assert read_text(kind, body) == text


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/html", b"hello"),
        ("text/plain", b"<html>"),
        ("application/json", b"{}"),
        ("application/json", b"[]"),
        ("application/json", b'{"text": 1}'),
        ("text/plain", b""),
    ],
)
def test_what_is_no_text_is_confusing(kind: str, body: bytes) -> None:
    with pytest.raises(OpenAIFault) as fault:
        read_text(kind, body)
    assert fault.value.code == "openai.confused"


def test_events_tell_the_text_in_pieces() -> None:
    delta = {"type": "transcript.text.delta", "delta": "hel", "logprobs": None}
    done = {"type": "transcript.text.done", "text": "hello", "usage": {}}
    assert read_event(f"data: {json.dumps(delta)}") == Delta("hel")
    assert read_event(f"data:{json.dumps(done)}") == Done("hello")
    for nothing in ("", ": ping", "event: x", "data: [DONE]", 'data: {"type": "else"}'):
        assert read_event(nothing) is None


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("data: {", "openai.confused"),
        ('data: {"delta": 1}', "openai.confused"),
        ('data: {"error": {"code": "rate_limit_exceeded"}}', "openai.rate_limited"),
        ('data: {"error": {"code": 500, "type": "server_error"}}', "openai.server_error"),
    ],
)
def test_errors_in_events_have_their_codes(line: str, code: str) -> None:
    with pytest.raises(OpenAIFault) as fault:
        read_event(line)
    assert fault.value.code == code


def test_a_wav_file_holds_the_sound() -> None:
    with wave.open(io.BytesIO(wav(b"\x01\x02" * 10, PCM16_8K))) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (8000, 2, 1)
        assert file.readframes(10) == b"\x01\x02" * 10
