"""Which messages of a bridge Twilio takes, and how it words its own."""

import base64
import json
from typing import Any

import pytest

from service.twin.line import Bad, Clear, PlaceMark, Play
from service.twin.twilio_media import TwilioMedia


def _stream() -> TwilioMedia:
    return TwilioMedia(account_sid="AC1", call_sid="CA1", stream_sid="MZ1")


def _media(**changes: Any) -> str:
    payload = base64.b64encode(b"abc").decode()
    message = {"event": "media", "streamSid": "MZ1", "media": {"payload": payload}}
    return json.dumps(message | changes)


def test_the_three_messages_of_the_protocol_are_taken() -> None:
    stream = _stream()
    assert stream.accept(_media()) == [Play(b"abc")]
    mark = {"event": "mark", "streamSid": "MZ1", "mark": {"name": "m"}}
    assert stream.accept(json.dumps(mark)) == [PlaceMark("m")]
    assert stream.accept('{"event":"clear","streamSid":"MZ1"}') == [Clear()]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"\xff" * 160, "31950"),
        ("{", "31950"),
        ("[]", "31951"),
        (_media(event="hangup"), "31951"),
        (_media(event=None), "31951"),
        (_media(streamSid="MZ2"), "31951"),
        (_media(sequenceNumber="1"), "31951"),
        (_media(media={"payload": "", "track": "outbound"}), "31951"),
        (_media(media={"payload": "no base64"}), "31951"),
        (_media(media={"payload": 5}), "31951"),
        (_media(media="abc"), "31951"),
        ('{"event":"mark","streamSid":"MZ1","name":"m"}', "31951"),
        ('{"event":"clear"}', "31951"),
        ('{"event":"clear","stream_sid":"MZ1"}', "31951"),
    ],
)
def test_what_breaks_the_schema_is_refused(message: str | bytes, code: str) -> None:
    [order] = _stream().accept(message)
    assert isinstance(order, Bad)
    assert order.code == code


def test_a_warning_is_given_once_per_stream_and_the_stream_goes_on() -> None:
    stream = _stream()
    assert len(stream.accept('{"event":"x"}')) == 1
    assert stream.accept('{"event":"y"}') == []
    assert len(stream.accept(b"")) == 1
    assert stream.accept(_media()) == [Play(b"abc")]


def test_numbers_are_strings_and_counted_as_twilio_counts() -> None:
    stream = _stream()
    connected, start = stream.opening({"k": "v"})
    assert connected == {"event": "connected", "protocol": "Call", "version": "1.0.0"}
    assert start["sequenceNumber"] == "1"
    assert start["start"]["customParameters"] == {"k": "v"}
    media = [stream.media(b"\xff" * 160) for _ in range(3)]
    assert [m["sequenceNumber"] for m in media] == ["2", "3", "4"]
    assert [m["media"]["chunk"] for m in media] == ["1", "2", "3"]
    assert [m["media"]["timestamp"] for m in media] == ["155", "175", "195"]
    assert media[0]["media"]["track"] == "inbound"
    digit = stream.digit("5")
    assert digit["dtmf"] == {"track": "inbound_track", "digit": "5"}
    assert digit["sequenceNumber"] == "5"


def test_a_lost_frame_leaves_a_gap_in_chunk_and_timestamp() -> None:
    stream = _stream()
    stream.media(bytes(160))
    stream.skip_media()
    after = stream.media(bytes(160))["media"]
    assert (after["chunk"], after["timestamp"]) == ("3", "195")
