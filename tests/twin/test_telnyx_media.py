"""Which frames of a bridge Telnyx takes, and how it words its own."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from service.core.audio import Encoding
from service.media.g711 import decode_pcmu, encode_pcma
from service.twin.line import Bad, Clear, PlaceMark, Play
from service.twin.telnyx_media import TelnyxMedia, connected
from tests.twin.sounds import tone


def _stream(encoding: Encoding = Encoding.PCMU) -> TelnyxMedia:
    return TelnyxMedia(
        stream_id="s1",
        encoding=encoding,
        call={"user_id": "u", "call_control_id": "v3:a"},
        utc=lambda: datetime(2026, 1, 1, 12, 0, 5, 100_000, tzinfo=UTC),
    )


def _media(data: bytes = b"a" * 160) -> dict[str, Any]:
    return {"event": "media", "media": {"payload": base64.b64encode(data).decode()}}


def test_the_three_frames_of_the_protocol_are_taken() -> None:
    stream = _stream()
    assert stream.accept(json.dumps(_media())) == [Play(b"a" * 160)]
    assert stream.accept('{"event":"mark","mark":{"name":"m"}}') == [PlaceMark("m")]
    assert stream.accept('{"event":"clear"}') == [Clear()]


@pytest.mark.parametrize(
    ("message", "code", "title"),
    [
        ("{", 100003, "malformed_frame"),
        ('{"event":"hangup"}', 100003, "malformed_frame"),
        ('{"event":"media","media":{}}', 100003, "malformed_frame"),
        ('{"event":"media","media":{"payload":5}}', 100003, "malformed_frame"),
        ('{"event":"media","payload":""}', 100003, "malformed_frame"),
        ('{"event":"mark","name":"m"}', 100003, "malformed_frame"),
        ('{"event":"media","media":{"payload":"no base64"}}', 100004, "invalid_media"),
    ],
)
def test_bad_frames_are_answered_with_an_error_frame(message: str, code: int, title: str) -> None:
    [order] = _stream().accept(message)
    assert isinstance(order, Bad)
    assert order.reply is not None
    assert order.reply["event"] == "error"
    assert order.reply["payload"]["code"] == code
    assert order.reply["payload"]["title"] == title


def test_binary_is_dropped_without_a_word() -> None:
    [order] = _stream().accept(b"\xff" * 160)
    assert isinstance(order, Bad)
    assert order.reply is None


@pytest.mark.parametrize("size", [1, 159, 240_001])
def test_a_length_outside_the_documented_range_is_noted_and_played(size: int) -> None:
    noted, played = _stream().accept(json.dumps(_media(b"a" * size)))
    assert isinstance(noted, Bad)
    assert noted.reply is None
    assert played == Play(b"a" * size)


def test_numbers_are_strings_and_the_format_says_what_the_bytes_are() -> None:
    stream = _stream(Encoding.PCMA)
    start = stream.start()
    assert start["sequence_number"] == "1"
    assert start["start"]["media_format"] == {
        "encoding": "PCMA",
        "sample_rate": 8000,
        "channels": 1,
    }
    first, second = stream.media(tone(20)), stream.media(tone(20))
    assert (second["sequence_number"], second["media"]["chunk"]) == ("3", "2")
    assert second["media"]["timestamp"] == "40"
    payload = base64.b64decode(first["media"]["payload"])
    assert payload == encode_pcma(decode_pcmu(tone(20)))
    assert stream.stop()["stop"] == {"user_id": "u", "call_control_id": "v3:a"}
    assert stream.digit("#")["occurred_at"] == "2026-01-01T12:00:05.100000Z"


def test_the_auth_token_is_repeated_in_the_first_frame() -> None:
    assert connected("")["event"] == "connected"
    assert connected("t0k")["connected"] == {"x-telnyx-streaming-auth-token": "t0k"}
