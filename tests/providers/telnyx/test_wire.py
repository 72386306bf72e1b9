"""The media socket's language, as Telnyx's examples have it and as it must survive it."""

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.telnyx.wire import TelnyxWire
from service.core.audio import PCMA_8K, PCMU_8K, AudioFrame, Encoding, MediaFormat, Party
from service.core.commands import ClearAudio, PlaceMark, PlayAudio, SendDigits, ShowText
from service.core.errors import ProtocolError
from service.core.events import (
    DtmfReceived,
    MarkPlayed,
    MediaEvent,
    MediaReceived,
    StreamFaulted,
    StreamStarted,
    StreamStopped,
    TurnId,
)

STREAM = "5a1c0b7e-2222-4c3d-8e9f-000000000042"
CONNECTED = '{"event":"connected","version":"1.0.0"}'
PCMU = {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}


def start(stream_id: str = STREAM, media_format: object = PCMU, **more: object) -> str:
    body = {"call_control_id": "v3:AbC", "media_format": media_format, **more}
    return json.dumps(
        {"event": "start", "sequence_number": "1", "stream_id": stream_id, "start": body}
    )


def media(chunk: object, data: bytes = b"\x11" * 160, **more: object) -> str:
    body = {"track": "inbound", "chunk": chunk, "timestamp": "40"}
    body |= {"payload": base64.b64encode(data).decode(), **more}
    return json.dumps(
        {"event": "media", "sequence_number": "4", "stream_id": STREAM, "media": body}
    )


def started(media_format: object = PCMU) -> TelnyxWire:
    wire = TelnyxWire()
    wire.parse(start(media_format=media_format), 0)
    return wire


def hear(wire: TelnyxWire, *messages: str, now_ms: int = 0) -> list[AudioFrame]:
    events = [event for message in messages for event in wire.parse(message, now_ms)]
    assert all(isinstance(event, MediaReceived) for event in events)
    return [event.frame for event in events if isinstance(event, MediaReceived)]


def refused(wire: TelnyxWire, message: str | bytes) -> tuple[str, str]:
    """The code and the field that a message is refused with."""
    with pytest.raises(ProtocolError) as caught:
        wire.parse(message, 0)
    return caught.value.code, caught.value.detail


# Start -----------------------------------------------------------------------------------------


def test_connected_tells_nothing() -> None:
    wire = TelnyxWire()
    with_token = '{"event":"connected","version":"1.0.0","protocol":"Call",'
    with_token += '"connected":{"x-telnyx-streaming-auth-token":"t0k"}}'
    assert wire.parse(CONNECTED, 0) == wire.parse(with_token, 0) == []


def test_the_documented_start_is_understood() -> None:
    message = """{"event":"start","sequence_number":"1",
     "stream_id":"5a1c0b7e-2222-4c3d-8e9f-000000000042",
     "start":{"user_id":"0c9d8e7f-1111-4a2b-9c3d-000000000007","call_control_id":"v3:AbC",
      "call_session_id":"1f2d-...","from":"+15550100001","to":"+15550100002",
      "client_state":"e30=","tags":["a"],"custom_parameters":{"session":"42"},
      "media_format":{"encoding":"PCMU","sample_rate":8000,"channels":1}}}"""
    assert TelnyxWire().parse(message, 0) == [
        StreamStarted(
            stream_id=STREAM,
            provider_call_id="v3:AbC",
            format=PCMU_8K,
            parameters={"session": "42", "from": "+15550100001", "to": "+15550100002"},
            send_format=PCMU_8K,
        )
    ]


def test_everything_but_the_ids_may_be_missing_from_start() -> None:
    message = json.dumps(
        {"event": "start", "stream_id": STREAM, "start": {"call_control_id": "v3:AbC"}}
    )
    (event,) = TelnyxWire().parse(message, 0)
    assert event == StreamStarted(STREAM, "v3:AbC", PCMU_8K, {}, PCMU_8K)


def test_numbers_that_telnyx_does_not_tell_may_come_as_the_users_own_parameters() -> None:
    own = {"from": "+15550100001", "to": "+15550100002"}
    message = start(custom_parameters=own, from_=None, to=None).replace("from_", "from")
    (event,) = TelnyxWire().parse(message, 0)
    assert isinstance(event, StreamStarted)
    assert event.parameters == own


@pytest.mark.parametrize("odd", [None, [], 7, [{"name": "a", "value": "b"}], {"a": 1, "b": None}])
def test_odd_extras_do_not_cost_the_call(odd: object) -> None:
    message = start(custom_parameters=odd, from_=odd, to=odd, tags=odd).replace("from_", "from")
    (event,) = TelnyxWire().parse(message, 0)
    assert isinstance(event, StreamStarted)
    assert event.parameters == {}


@pytest.mark.parametrize(
    ("told", "arrives"),
    [
        ({"encoding": "PCMU", "sample_rate": 8000, "channels": 1}, PCMU_8K),
        ({"encoding": "PCMA", "sample_rate": "8000", "channels": "1"}, PCMA_8K),
        ({"encoding": "L16", "sample_rate": 16000}, MediaFormat(Encoding.PCM16, 16000)),
        ({"encoding": "L16", "sample_rate": 24000}, MediaFormat(Encoding.PCM16, 24000)),
    ],
)
def test_the_declared_format_is_obeyed_and_we_always_send_mu_law(
    told: dict[str, object], arrives: MediaFormat
) -> None:
    wire = TelnyxWire()
    (event,) = wire.parse(start(media_format=told), 0)
    assert isinstance(event, StreamStarted)
    assert event.format == arrives
    assert event.send_format == PCMU_8K
    data = bytes(arrives.sample_rate_hz // 50 * (2 if arrives.encoding is Encoding.PCM16 else 1))
    assert hear(wire, media(1, data)) == [AudioFrame(data, arrives, 0, 20, Party.REMOTE)]


@pytest.mark.parametrize(
    ("told", "field"),
    [
        ({"encoding": "OPUS", "sample_rate": 16000}, "encoding"),
        ({"encoding": "G722"}, "encoding"),
        ({"encoding": "pcmu"}, "encoding"),
        ({"encoding": "PCMU", "sample_rate": 16000}, "sample_rate"),
        ({"encoding": "L16", "sample_rate": 0}, "sample_rate"),
        ({"encoding": "PCMU", "channels": 2}, "channels"),
    ],
)
def test_a_format_that_we_cannot_hear_is_refused(told: dict[str, object], field: str) -> None:
    wire = TelnyxWire()
    expected = ("telnyx.unsupported_format", f"start.media_format.{field}")
    assert refused(wire, start(media_format=told)) == expected
    assert refused(wire, media(1)) == ("telnyx.not_started", "event")


def test_a_known_stream_that_starts_again_goes_on() -> None:
    wire = started()
    assert [frame.start_ms for frame in hear(wire, media(1), media(2))] == [0, 20]
    assert wire.parse(CONNECTED, 0) == wire.parse(start(), 0) == []
    assert [frame.start_ms for frame in hear(wire, media(3))] == [40]


def test_another_stream_on_the_same_socket_starts_afresh() -> None:
    wire = started()
    hear(wire, media(1), media(2))
    wire.parse(CONNECTED, 0)
    (event,) = wire.parse(start("another"), 0)
    assert isinstance(event, StreamStarted)
    assert event.stream_id == "another"
    assert refused(wire, media(3)) == ("telnyx.wrong_stream", "stream_id")
    frames = hear(wire, media(1).replace(STREAM, "another"))
    assert [frame.start_ms for frame in frames] == [0]


def test_a_start_for_another_call_is_never_swallowed() -> None:
    wire = started()
    (event,) = wire.parse(start(call_control_id="v3:other"), 0)
    assert isinstance(event, StreamStarted)
    assert event.provider_call_id == "v3:other"


# Sound -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [str, int])
def test_numbers_come_as_text_or_as_numbers(number: type) -> None:
    wire = started()
    events = wire.parse(media(number(1)), 0) + wire.parse(media(number(2)), 20)
    data = b"\x11" * 160
    assert events == [
        MediaReceived(AudioFrame(data, PCMU_8K, 0, 20, Party.REMOTE), 1),
        MediaReceived(AudioFrame(data, PCMU_8K, 20, 20, Party.REMOTE), 2),
    ]


def test_a_stream_may_begin_with_a_later_number_and_nothing_is_lost_then() -> None:
    wire = started()
    assert wire.parse(media(3), 0) == []
    frames = hear(wire, media(4), media(5), now_ms=100)
    assert [frame.start_ms for frame in frames] == [0, 20, 40]


def test_frames_may_have_any_length() -> None:
    frames = hear(started(), media(1, bytes(792)), media(2, bytes(161)), media(3, bytes(7)))
    assert [(frame.start_ms, frame.duration_ms) for frame in frames] == [
        (0, 99),
        (99, 20),
        (119, 0),
    ]


def test_what_the_person_hears_is_dropped_and_takes_no_number() -> None:
    wire = started()
    assert len(hear(wire, media(1), media(1, track="outbound"), media(2))) == 2


def test_the_first_byte_is_sound_even_when_it_looks_like_an_rtp_header() -> None:
    data = b"\x9e" + bytes(159)
    assert hear(started(), media(1, data))[0].data == data


def test_frames_out_of_order_are_put_right() -> None:
    wire = started()
    frames = hear(wire, *(media(n, bytes([n]) * 160) for n in (1, 3, 2, 6, 5, 4, 7)), now_ms=10)
    assert [frame.data[0] for frame in frames] == [1, 2, 3, 4, 5, 6, 7]
    assert [frame.start_ms for frame in frames] == [0, 20, 40, 60, 80, 100, 120]


def test_a_repeated_frame_is_heard_once() -> None:
    assert len(hear(started(), media(1), media(2), media(2), media(1), media(3))) == 3


def test_a_lost_frame_becomes_silence_after_a_short_wait() -> None:
    wire = started({"encoding": "PCMA"})
    assert len(wire.parse(media(1), 0)) == 1
    for n in range(3, 7):
        assert wire.parse(media(n), (n - 1) * 20) == []
    events = wire.parse(media(8), 160)  # 120 ms after frame 3
    assert [e.sequence for e in events if isinstance(e, MediaReceived)] == [2, 3, 4, 5, 6]
    assert isinstance(events[0], MediaReceived)
    assert events[0].frame == AudioFrame(b"\xd5" * 160, PCMA_8K, 20, 20, Party.REMOTE)


def test_a_burst_with_a_hole_waits_for_ten_frames_at_most() -> None:
    wire = started()
    frames = hear(wire, media(1), *(media(n) for n in range(3, 13)))
    assert len(frames) == 12  # the first, the silence for the second, and the ten held


def test_a_hole_up_to_half_a_second_is_filled_and_a_longer_one_only_takes_its_time() -> None:
    for missing, filled in ((25, True), (26, False)):
        wire = started()
        hear(wire, media(1))
        later = [media(n) for n in range(2 + missing, 12 + missing)]
        frames = hear(wire, *later)
        silence = [frame for frame in frames if frame.data[0] == 0xFF]
        assert [frame.duration_ms for frame in silence] == ([500] if filled else [])
        assert frames[-1].start_ms == (missing + 10) * 20


def test_a_stop_brings_out_what_was_still_held() -> None:
    wire = started()
    hear(wire, media(1), media(3))
    *events, last = wire.parse(f'{{"event":"stop","stream_id":"{STREAM}","stop":{{}}}}', 0)
    assert [e.sequence for e in events if isinstance(e, MediaReceived)] == [2, 3]
    assert last == StreamStopped("stop")
    assert refused(wire, media(4)) == ("telnyx.not_started", "event")


def test_a_frame_without_sound_keeps_the_order_and_is_not_passed_on() -> None:
    assert len(hear(started(), media(1), media(2, b""), media(3))) == 2


def test_half_a_sample_is_refused() -> None:
    wire = started({"encoding": "L16", "sample_rate": 16000})
    assert refused(wire, media(1, bytes(639))) == ("telnyx.malformed", "media.payload")


def test_sound_before_start_is_refused() -> None:
    assert refused(TelnyxWire(), media(1)) == ("telnyx.not_started", "event")
    without_id = media(1).replace(f'"stream_id": "{STREAM}", ', "")
    assert "stream_id" not in without_id
    assert refused(TelnyxWire(), without_id) == ("telnyx.not_started", "event")
    assert len(hear(started(), without_id)) == 1


# Other messages --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "event"),
    [
        (
            '{"event":"dtmf","stream_id":"%s","occurred_at":"2026-01-01T12:00:05.100000Z",'
            '"sequence_number":"5","dtmf":{"digit":"1"}}',
            DtmfReceived("1"),
        ),
        ('{"event":"dtmf","stream_id":"%s","dtmf":{"digit":"d"}}', DtmfReceived("D")),
        (
            '{"event":"mark","stream_id":"%s","sequence_number":"6","mark":{"name":"utt-7"}}',
            MarkPlayed("utt-7"),
        ),
        (
            '{"event":"error","stream_id":"%s",'
            '"payload":{"code":100004,"title":"invalid_media","detail":"not base64"}}',
            StreamFaulted("telnyx.100004", "invalid_media"),
        ),
        (
            '{"event":"error","stream_id":"%s","payload":{"code":"7","title":"call +15550100001"}}',
            StreamFaulted("telnyx.7", "unknown_error"),
        ),
        (
            '{"event":"stop","sequence_number":"9","stream_id":"%s",'
            '"stop":{"user_id":"0c9d...","call_control_id":"v3:AbC"}}',
            StreamStopped("stop"),
        ),
    ],
)
def test_the_other_messages(message: str, event: MediaEvent) -> None:
    assert started().parse(message % STREAM, 0) == [event]


def test_an_error_may_come_before_start() -> None:
    message = '{"event":"error","payload":{"code":100003,"title":"malformed_frame"}}'
    assert TelnyxWire().parse(message, 0) == [StreamFaulted("telnyx.100003", "malformed_frame")]


def test_an_old_streams_stop_does_not_stop_the_new_one() -> None:
    message = '{"event":"stop","stream_id":"old","stop":{}}'
    assert refused(started(), message) == ("telnyx.wrong_stream", "stream_id")


# Bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "code", "field"),
    [
        (b'{"event":"connected"}', "telnyx.binary_message", ""),
        (b"\x80\x00" + bytes(170), "telnyx.binary_message", ""),
        ("", "telnyx.not_json", ""),
        ("hello", "telnyx.not_json", ""),
        ('{"event":"connected"', "telnyx.not_json", ""),
        ("\ud800", "telnyx.not_json", ""),
        ("[]", "telnyx.malformed", "event"),
        ("{}", "telnyx.malformed", "event"),
        ('{"event":7}', "telnyx.malformed", "event"),
        ('{"event":"s3cret"}', "telnyx.unknown_event", "event"),
        ('{"event":"media"}', "telnyx.malformed", "media"),
        ('{"event":"media","media":"s3cret"}', "telnyx.malformed", "media"),
        ('{"event":"media","media":{"chunk":1}}', "telnyx.malformed", "media.payload"),
        ('{"event":"media","media":{"payload":""}}', "telnyx.malformed", "media.chunk"),
        (media("s3cret"), "telnyx.malformed", "media.chunk"),
        (media(1, payload="s3cret!"), "telnyx.malformed", "media.payload"),
        (media(1, payload="////_w=="), "telnyx.malformed", "media.payload"),
        ('{"event":"start","start":{}}', "telnyx.malformed", "start.call_control_id"),
        (start(call_control_id=""), "telnyx.malformed", "start.call_control_id"),
        (start(""), "telnyx.malformed", "stream_id"),
        (start(media_format="s3cret"), "telnyx.malformed", "start.media_format"),
        ('{"event":"dtmf","dtmf":{"digit":"s3cret"}}', "telnyx.malformed", "dtmf.digit"),
        ('{"event":"dtmf","dtmf":{"digit":""}}', "telnyx.malformed", "dtmf.digit"),
        ('{"event":"mark","mark":{}}', "telnyx.malformed", "mark.name"),
        ('{"event":"error"}', "telnyx.malformed", "payload"),
        ('{"event":"stop","stream_id":7}', "telnyx.malformed", "stream_id"),
    ],
)
def test_a_bad_message_is_refused_by_its_field_and_without_its_content(
    message: str | bytes, code: str, field: str
) -> None:
    wire = started()
    assert refused(wire, message) == (code, field)
    assert len(hear(wire, media(1))) == 1  # and the call goes on


@pytest.mark.parametrize("inside", ['{"event":"media","media":', '{"event":"mark","x":', ""])
def test_deep_nesting_is_refused(inside: str) -> None:
    code, _ = refused(started(), inside + "[" * 60_000)
    assert code in ("telnyx.not_json", "telnyx.malformed")


KINDS = ["media", "start", "dtmf", "mark", "stop", "error", "connected", "other"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["payload", "chunk", "track", "digit", "name", "code", "media_format"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


@given(
    messages=st.lists(
        st.fixed_dictionaries(
            {"event": st.sampled_from(KINDS)},
            optional={
                "stream_id": st.sampled_from([STREAM, "other"]),
                **dict.fromkeys((*KINDS, "payload"), JSON),
            },
        ),
        max_size=4,
    )
)
@settings(max_examples=200, deadline=None)
def test_no_message_does_anything_but_events_or_a_protocol_error(
    messages: list[dict[str, Any]],
) -> None:
    wire = started()
    for message in messages:
        with suppress(ProtocolError):
            wire.parse(json.dumps(message), 0)


@given(
    order=st.permutations(range(1, 9)),
    repeated=st.lists(st.integers(1, 8), max_size=4),
)
def test_however_a_window_of_frames_is_shuffled_each_is_heard_once_and_in_order(
    order: list[int], repeated: list[int]
) -> None:
    wire = started()
    hear(wire, media(0, b"\x00" * 160))
    frames = hear(wire, *(media(n, bytes([n]) * 160) for n in [*order, *repeated]))
    assert [frame.data[0] for frame in frames] == list(range(1, 9))


# To Telnyx -------------------------------------------------------------------------------------


def play(data: bytes) -> list[str | bytes]:
    frame = AudioFrame(data, PCMU_8K, 0, PCMU_8K.duration_ms(len(data)), Party.AGENT)
    return started().render(PlayAudio(frame, TurnId("turn_1")), 0)


@pytest.mark.parametrize("size_bytes", [160, 161, 480, 8000])
def test_sound_goes_out_as_bare_bytes_in_text(size_bytes: int) -> None:
    data = bytes(n % 256 for n in range(size_bytes))
    (message,) = play(data)
    assert isinstance(message, str)
    payload = base64.b64encode(data).decode()
    assert json.loads(message) == {"event": "media", "media": {"payload": payload}}


@pytest.mark.parametrize("size_bytes", [1, 80, 159])
def test_less_than_20_ms_is_filled_up_with_silence(size_bytes: int) -> None:
    (message,) = play(b"\x11" * size_bytes)
    payload = base64.b64decode(json.loads(message)["media"]["payload"])
    assert payload == b"\x11" * size_bytes + b"\xff" * (160 - size_bytes)


def test_no_sound_is_no_message() -> None:
    assert play(b"") == []


@pytest.mark.parametrize("name", ["g1.turn_1.3", 'quo"te', "Zoë\n"])
def test_a_mark_goes_out_by_its_name(name: str) -> None:
    (message,) = started().render(PlaceMark(name), 0)
    assert isinstance(message, str)
    assert json.loads(message) == {"event": "mark", "mark": {"name": name}}


def test_a_clear_is_one_message() -> None:
    assert started().render(ClearAudio(), 0) == ['{"event":"clear"}']


def test_keys_and_captions_have_no_message() -> None:
    assert started().render(SendDigits("1"), 0) == []
    assert started().render(ShowText("agent", TurnId("turn_1"), "Hello"), 0) == []
