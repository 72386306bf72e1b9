"""The softphone's wire: what a page sends becomes events, commands become what a page reads."""

import json

import pytest

from providers.browser.wire import MAX_MEDIA_BYTES, BrowserWire, announce
from service.core.audio import PCMU_8K, AudioFrame, Party
from service.core.calls import CallId
from service.core.commands import ClearAudio, PlaceMark, PlayAudio, SendDigits, ShowText
from service.core.errors import ProtocolError
from service.core.events import (
    DtmfReceived,
    MarkPlayed,
    MediaEvent,
    MediaReceived,
    StreamStarted,
    StreamStopped,
    TurnId,
)

CALL = "3f0c7a52-8f5e-4f6e-9a51-0b8f6b9b2c11"


def started() -> BrowserWire:
    wire = BrowserWire()
    wire.parse(json.dumps({"event": "start", "call": CALL, "agent": "receptionist"}), 0)
    return wire


def media(event: MediaEvent) -> MediaReceived:
    assert isinstance(event, MediaReceived)
    return event


def test_start_names_the_call_and_the_agent() -> None:
    message = json.dumps({"event": "start", "call": CALL, "agent": "receptionist"})
    assert BrowserWire().parse(message, 0) == [
        StreamStarted(
            stream_id=CALL,
            provider_call_id=CALL,
            format=PCMU_8K,
            parameters={"agent": "receptionist"},
        )
    ]


def test_without_an_agent_the_service_chooses() -> None:
    (event,) = BrowserWire().parse(json.dumps({"event": "start", "call": CALL}), 0)
    assert isinstance(event, StreamStarted)
    assert event.parameters == {}


def test_binary_messages_are_the_callers_sound_in_stream_time() -> None:
    wire = started()
    first, second, third = (
        media(wire.parse(data, 0)[0]) for data in (b"\x01" * 160, b"\x02" * 480, b"\x03" * 160)
    )
    assert first.frame == AudioFrame(b"\x01" * 160, PCMU_8K, 0, 20, Party.REMOTE)
    assert (second.frame.start_ms, second.frame.duration_ms) == (20, 60)
    assert third.frame.start_ms == 80
    assert [m.sequence for m in (first, second, third)] == [1, 2, 3]


def test_keys_marks_and_stop_are_told() -> None:
    wire = started()
    assert wire.parse('{"event":"dtmf","digit":"#"}', 0) == [DtmfReceived("#")]
    assert wire.parse('{"event":"mark","name":"3:1500"}', 0) == [MarkPlayed("3:1500")]
    assert wire.parse('{"event":"stop"}', 0) == [StreamStopped("hung_up")]


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"\xff" * 160, id="sound"),
        pytest.param('{"event":"dtmf","digit":"1"}', id="key"),
        pytest.param('{"event":"mark","name":"m"}', id="mark"),
        pytest.param('{"event":"stop"}', id="stop"),
    ],
)
def test_nothing_counts_before_start(message: str | bytes) -> None:
    with pytest.raises(ProtocolError, match="first message must be start"):
        BrowserWire().parse(message, 0)


@pytest.mark.parametrize(
    "message",
    [
        "",
        "hello",
        "[]",
        "{}",
        '{"event":7}',
        '{"event":"transfer"}',
        json.dumps({"event": "start", "call": CALL}),
        '{"event":"dtmf"}',
        '{"event":"dtmf","digit":"12"}',
        '{"event":"dtmf","digit":"5\\n"}',
        '{"event":"dtmf","digit":5}',
        '{"event":"mark","name":""}',
        json.dumps({"event": "mark", "name": "x" * 257}),
        b"",
        b"\xff" * 100,
        b"\xff" * (MAX_MEDIA_BYTES + 160),
    ],
)
def test_what_breaks_the_rules_is_refused_and_the_stream_goes_on(message: str | bytes) -> None:
    wire = started()
    with pytest.raises(ProtocolError) as refused:
        wire.parse(message, 0)
    assert refused.value.code == "browser.bad_message"
    assert media(wire.parse(b"\xff" * 160, 0)[0]).frame.start_ms == 0


@pytest.mark.parametrize(
    "call", ["", "call_1", CALL[:-1], CALL + "0", CALL + "\n", "../../etc/passwd", 7, None]
)
def test_a_call_without_a_proper_id_does_not_start(call: object) -> None:
    with pytest.raises(ProtocolError):
        BrowserWire().parse(json.dumps({"event": "start", "call": call}), 0)


@pytest.mark.parametrize(
    "message",
    [
        '{"event":"4155550100"}',
        '{"event":"dtmf","digit":"4155550100"}',
        '{"event":"start","call":"4155550100"}',
        "4155550100 is not JSON",
    ],
)
def test_faults_do_not_repeat_what_was_sent(message: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        started().parse(message, 0)
    assert "4155550100" not in str(refused.value)


def test_commands_reach_the_page_in_its_language() -> None:
    wire = started()
    frame = AudioFrame(b"\x7f" * 160, PCMU_8K, 0, 20, Party.AGENT)
    assert wire.render(PlayAudio(frame, TurnId("turn_1")), 0) == [b"\x7f" * 160]
    (mark,) = wire.render(PlaceMark('3:"1500"'), 0)
    assert json.loads(mark) == {"event": "mark", "name": '3:"1500"'}
    (clear,) = wire.render(ClearAudio(), 0)
    assert json.loads(clear) == {"event": "clear"}
    (text,) = wire.render(ShowText("agent", TurnId("turn_1"), "Grüß Gott"), 0)
    assert json.loads(text) == {
        "event": "text",
        "who": "agent",
        "turn_id": "turn_1",
        "text": "Grüß Gott",
    }
    assert wire.render(SendDigits("12"), 0) == []


def test_the_page_is_told_which_call_it_is() -> None:
    assert json.loads(announce(CallId("call_01J9"))) == {"event": "call", "call_id": "call_01J9"}
