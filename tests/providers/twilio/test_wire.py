"""Media Streams messages as Twilio sends them, and those that it must not send."""

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.twilio.wire import TwilioWire
from service.core.audio import PCMA_8K, PCMU_8K, AudioFrame, Encoding, MediaFormat, Party
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

SID = "MZ77777777777777777777777777777777"
CALL = "CA01010101010101010101010101010101"
FORMAT = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}


def start(**changed: Any) -> str:
    body = {
        "accountSid": "AC99",
        "streamSid": SID,
        "callSid": CALL,
        "tracks": ["inbound"],
        "mediaFormat": FORMAT,
        "customParameters": {"t": "one"},
        **changed,
    }
    return json.dumps({"event": "start", "sequenceNumber": "1", "start": body, "streamSid": SID})


def media(
    number: int, data: bytes = b"\x7f" * 160, *, at_ms: int | None = None, **other: Any
) -> str:
    body = {
        "track": "inbound",
        "chunk": str(number),
        "timestamp": str(135 + 20 * number if at_ms is None else at_ms),
        "payload": base64.b64encode(data).decode(),
        **other,
    }
    return json.dumps(
        {"event": "media", "sequenceNumber": str(number + 1), "media": body, "streamSid": SID}
    )


def live(**changed: Any) -> TwilioWire:
    wire = TwilioWire()
    wire.parse(start(**changed), 0)
    return wire


def hear(wire: TwilioWire, *messages: str, step_ms: int = 20) -> list[MediaEvent]:
    return [e for at, m in enumerate(messages) for e in wire.parse(m, at * step_ms)]


def frames(events: list[MediaEvent]) -> list[AudioFrame]:
    return [e.frame for e in events if isinstance(e, MediaReceived)]


def places(events: list[MediaEvent]) -> list[tuple[int, int]]:
    return [(f.start_ms, f.duration_ms) for f in frames(events)]


# What arrives ----------------------------------------------------------------------------------


def test_connected_says_nothing_that_matters() -> None:
    hello = '{"event":"connected","protocol":"Call","version":"1.0.0"}'
    assert TwilioWire().parse(hello, 0) == []


def test_start_tells_call_stream_format_and_parameters() -> None:
    [told] = TwilioWire().parse(start(), 0)
    assert told == StreamStarted(SID, CALL, PCMU_8K, {"t": "one"})


def test_start_without_parameters_has_none() -> None:
    for absent in (dict[str, str](), None):
        [told] = TwilioWire().parse(start(customParameters=absent), 0)
        assert isinstance(told, StreamStarted)
        assert told.parameters == {}


@pytest.mark.parametrize(
    ("encoding", "rate_hz", "understood"),
    [
        ("audio/x-mulaw", 8000, PCMU_8K),
        ("audio/x-alaw", 8000, PCMA_8K),
        ("audio/x-l16", 16000, MediaFormat(Encoding.L16, 16000)),
        ("audio/x-l16", 24000, MediaFormat(Encoding.L16, 24000)),
    ],
)
def test_the_declared_format_is_obeyed(
    encoding: str, rate_hz: int, understood: MediaFormat
) -> None:
    wire = TwilioWire()
    declared = {"encoding": encoding, "sampleRate": rate_hz, "channels": 1}
    [told] = wire.parse(start(mediaFormat=declared), 0)
    assert isinstance(told, StreamStarted)
    assert told.format == understood
    width = 2 if understood.encoding is Encoding.L16 else 1
    [event] = wire.parse(media(1, bytes(rate_hz * width // 50)), 0)
    assert frames([event])[0].duration_ms == 20
    assert frames([event])[0].format == understood


@pytest.mark.parametrize(
    ("declared", "field"),
    [
        ({"encoding": "audio/opus"}, "encoding"),
        ({"sampleRate": 0}, "sampleRate"),
        ({"sampleRate": 10**9}, "sampleRate"),
        ({"channels": 2}, "channels"),
    ],
)
def test_a_format_that_cannot_be_used_is_refused(declared: dict[str, Any], field: str) -> None:
    with pytest.raises(ProtocolError, match=rf"unsupported_format: .*{field}"):
        TwilioWire().parse(start(mediaFormat=FORMAT | declared), 0)


def test_sound_passes_unchanged_with_its_place_in_time() -> None:
    wire = live()
    sound = bytes(range(160))
    [first] = wire.parse(media(1, sound), 0)
    assert first == MediaReceived(AudioFrame(sound, PCMU_8K, 0, 20, Party.REMOTE), 1)
    [second] = wire.parse(media(2), 20)
    assert isinstance(second, MediaReceived)
    assert (second.frame.start_ms, second.sequence) == (20, 2)


def test_numbers_may_come_as_numbers() -> None:
    wire = live()
    [told] = wire.parse(media(1, chunk=1, timestamp=155), 0)
    assert isinstance(told, MediaReceived)
    assert told.sequence == 1


def test_frames_of_any_length_are_taken() -> None:
    wire = live()
    told = hear(wire, media(1, b"\x01" * 80, at_ms=100), media(2, b"\x02" * 800, at_ms=110))
    assert places(told) == [(0, 10), (10, 100)]


def test_the_other_track_is_not_heard() -> None:
    wire = live()
    assert wire.parse(media(1, track="outbound"), 0) == []
    assert len(wire.parse(media(1), 0)) == 1


def test_shuffled_and_repeated_frames_are_put_right() -> None:
    told = hear(live(), *[media(n) for n in (1, 3, 2, 2, 4, 6, 5, 1)])
    assert [e.sequence for e in told if isinstance(e, MediaReceived)] == [1, 2, 3, 4, 5, 6]
    assert places(told) == [(20 * n, 20) for n in range(6)]


def test_lost_frames_become_silence_so_that_time_stays_right() -> None:
    told = hear(live(), *[media(n) for n in (1, 2, 5, 6, 7, 8, 9, 10, 11)])
    assert places(told)[:4] == [(0, 20), (20, 20), (40, 40), (80, 20)]
    concealed = frames(told)[2]
    assert concealed.data == b"\xff" * 320
    assert concealed.format == PCMU_8K


@pytest.mark.parametrize(
    ("encoding", "silence"), [("audio/x-alaw", b"\xd5" * 160), ("audio/x-l16", b"\x00" * 320)]
)
def test_concealment_is_silence_of_the_stream_s_own_encoding(encoding: str, silence: bytes) -> None:
    wire = live(mediaFormat=FORMAT | {"encoding": encoding})
    sound = b"\x55" * len(silence)
    told = hear(wire, media(1, sound), media(3, sound), step_ms=20)
    told += wire.parse(media(4, sound), 500)
    assert frames(told)[1].data == silence


def test_a_long_hole_is_skipped_and_time_goes_on_behind_it() -> None:
    told = hear(live(), media(1), *[media(n) for n in range(40, 50)])
    assert places(told)[:2] == [(0, 20), (39 * 20, 20)]


def test_media_time_never_runs_back() -> None:
    told = hear(live(), *[media(n, at_ms=0 if n == 3 else 135 + 20 * n) for n in range(1, 6)])
    assert places(told) == [(0, 20), (20, 20), (40, 20), (60, 20), (80, 20)]


def test_a_key_press_is_told() -> None:
    wire = live()
    for digit in "0123456789*#ABCD":
        message = {
            "event": "dtmf",
            "streamSid": SID,
            "sequenceNumber": "212",
            "dtmf": {"track": "inbound_track", "digit": digit},
        }
        assert wire.parse(json.dumps(message), 0) == [DtmfReceived(digit)]


def test_a_mark_comes_back_by_its_name() -> None:
    message = json.dumps({"event": "mark", "streamSid": SID, "mark": {"name": 'utt-3/7 "ñ"'}})
    assert live().parse(message, 0) == [MarkPlayed('utt-3/7 "ñ"')]


STOP = json.dumps(
    {"event": "stop", "streamSid": SID, "stop": {"accountSid": "AC", "callSid": "CA"}}
)


def test_stop_delivers_what_was_held_and_ends_the_stream() -> None:
    wire = live()
    told = hear(wire, media(1), media(3), STOP)
    assert places(told) == [(0, 20), (20, 20), (40, 20)]
    assert isinstance(told[-1], StreamStopped)
    assert wire.render(ClearAudio(), 0) == []
    with pytest.raises(ProtocolError, match="not_started"):
        wire.parse(media(4), 0)


def test_the_order_of_keys_and_unknown_keys_do_not_matter() -> None:
    message = json.loads(media(1))
    turned = dict(reversed(message.items())) | {"new": {"a": [1]}}
    turned["media"] = {"new": None, **dict(reversed(message["media"].items()))}
    assert len(live().parse(json.dumps(turned), 0)) == 1


# What must not arrive --------------------------------------------------------------------------

SECRET = "sesame"


@pytest.mark.parametrize(
    ("message", "code", "field"),
    [
        (b"\x00\x01", "twilio.binary_message", ""),
        (media(1).encode(), "twilio.binary_message", ""),
        (SECRET, "twilio.not_json", ""),
        ("", "twilio.not_json", ""),
        ('{"event":"media"', "twilio.not_json", ""),
        ("\ud800", "twilio.not_json", ""),
        ("[" * 100_000, "twilio.malformed", "event"),
        ('{"event":"media","media":7,', "twilio.not_json", ""),
        ('{"event":"sesame","x":' + "[" * 100_000, "twilio.not_json", ""),
        ('{"event":"media","x":' + "[" * 100_000, "twilio.not_json", ""),
        ("[]", "twilio.malformed", "event"),
        ("{}", "twilio.malformed", "event"),
        ('{"event":7}', "twilio.malformed", "event"),
        (json.dumps({"event": SECRET}), "twilio.unknown_event", "event"),
        (json.dumps({"event": "media", "media": {}}), "twilio.malformed", "streamSid|media.track"),
        (media(1, payload=SECRET + "="), "twilio.malformed", "media.payload"),
        (media(1, payload=7), "twilio.malformed", "media.payload"),
        (media(1, chunk=SECRET), "twilio.malformed", "media.chunk"),
        (media(1, timestamp=None), "twilio.malformed", "media.timestamp"),
        (media(1).replace(SID, SECRET), "twilio.wrong_stream", "streamSid"),
        (STOP.replace(SID, SECRET), "twilio.wrong_stream", "streamSid"),
        (start(), "twilio.started_twice", "event"),
        (start(callSid="CA2"), "twilio.started_twice", "event"),
        (start(mediaFormat=SECRET), "twilio.malformed", "start.mediaFormat"),
        (start(customParameters={SECRET: 7}), "twilio.malformed", "start.customParameters[...]"),
        (
            json.dumps({"event": "dtmf", "streamSid": SID, "dtmf": {"digit": SECRET}}),
            "twilio.malformed",
            "dtmf.digit",
        ),
        (json.dumps({"event": "mark", "streamSid": SID}), "twilio.malformed", "mark"),
        (
            json.dumps({"event": "mark", "streamSid": SID, "mark": {}}),
            "twilio.malformed",
            "mark.name",
        ),
    ],
)
def test_a_bad_message_is_named_by_field_without_its_content_and_the_stream_goes_on(
    message: str | bytes, code: str, field: str
) -> None:
    wire = live()
    with pytest.raises(ProtocolError) as fault:
        wire.parse(message, 0)
    assert fault.value.code == code
    assert fault.value.detail in field.split("|")
    assert SECRET not in str(fault.value)
    assert len(wire.parse(media(1), 0)) == 1


def test_nothing_is_heard_before_start() -> None:
    wire = TwilioWire()
    with pytest.raises(ProtocolError, match="not_started"):
        wire.parse(media(1), 0)
    wire.parse(start(), 0)
    assert len(wire.parse(media(1), 0)) == 1


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_whatever_comes_is_an_event_or_a_protocol_error(message: str | bytes) -> None:
    with pytest.raises(ProtocolError):
        live().parse(message, 0)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(
    st.sampled_from(["media", "mark", "dtmf", "start", "stop", "connected"]),
    st.dictionaries(
        st.sampled_from(["streamSid", "media", "mark", "dtmf", "start"]),
        json_values
        | st.dictionaries(
            st.sampled_from(["chunk", "timestamp", "payload", "track", "name", "digit"]),
            json_values,
        ),
    ),
)
def test_known_kinds_with_any_content_never_break_the_wire(
    kind: str, fields: dict[str, Any]
) -> None:
    message = json.dumps({"streamSid": SID, **fields, "event": kind})
    wire = live()
    with suppress(ProtocolError):
        assert isinstance(wire.parse(message, 0), list)


# What leaves -----------------------------------------------------------------------------------


def sent(wire: TwilioWire, command: Any) -> Any:
    [message] = wire.render(command, 0)
    assert isinstance(message, str)
    return json.loads(message)


@given(st.binary(min_size=1, max_size=400))
def test_sound_leaves_as_it_is_with_no_field_too_many(data: bytes) -> None:
    frame = AudioFrame(data, PCMU_8K, 0, 20, Party.AGENT)
    told = sent(live(), PlayAudio(frame, TurnId("t")))
    assert told == {
        "event": "media",
        "streamSid": SID,
        "media": {"payload": base64.b64encode(data).decode()},
    }


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_a_mark_leaves_with_exactly_its_name(name: str) -> None:
    told = sent(live(), PlaceMark(name))
    assert told == {"event": "mark", "streamSid": SID, "mark": {"name": name}}


def test_clear_leaves_with_the_stream_s_name_alone() -> None:
    assert sent(live(), ClearAudio()) == {"event": "clear", "streamSid": SID}


@pytest.mark.parametrize(
    "command",
    [
        SendDigits("12#"),
        ShowText("agent", TurnId("t"), "hello"),
        PlayAudio(AudioFrame(b"", PCMU_8K, 0, 0, Party.AGENT), TurnId("t")),
    ],
)
def test_what_the_wire_has_no_word_for_is_not_sent(command: Any) -> None:
    assert live().render(command, 0) == []


def test_nothing_is_sent_before_start() -> None:
    assert TwilioWire().render(ClearAudio(), 0) == []
