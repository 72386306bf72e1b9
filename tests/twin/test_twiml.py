"""TwiML that Twilio would not carry out is a fault with its code."""

import pytest

from service.twin.twiml import (
    Dial,
    Hangup,
    Pause,
    Redirect,
    Reject,
    Spoken,
    Stream,
    TwimlFault,
    parse,
)

_BASE = "https://bridge.example/voice?x=1"


def _stream(attributes: str, inner: str = "", connect: str = "") -> bytes:
    return (
        f"<Response><Connect {connect}><Stream {attributes}>{inner}</Stream></Connect></Response>"
    ).encode()


def test_a_bidirectional_stream_is_read_with_all_it_says() -> None:
    body = _stream(
        'url="wss://bridge.example/s/t" name="n" statusCallback="https://b.example/ss"',
        '<Parameter name="k" value="v&amp;w"/>',
        'action="/done" method="GET"',
    )
    assert parse(body, _BASE) == [
        Stream(
            url="wss://bridge.example/s/t",
            name="n",
            status_callback="https://b.example/ss",
            parameters={"k": "v&w"},
            action="https://bridge.example/done",
            method="GET",
        )
    ]


def test_other_verbs_are_read() -> None:
    body = (
        b'<?xml version="1.0" encoding="UTF-8"?><Response><Say>Hi</Say><Pause length="2"/>'
        b'<Reject reason="busy"/><Redirect method="GET">/x</Redirect><Hangup/></Response>'
    )
    assert parse(body, _BASE) == [
        Spoken("Hi"),
        Pause(2),
        Reject("busy"),
        Redirect("https://bridge.example/x", "GET"),
        Hangup(),
    ]
    assert parse(b"<Response/>", _BASE) == []


def test_a_relative_stream_url_is_made_absolute_and_secure() -> None:
    [stream] = parse(_stream('url="/s"'), _BASE)
    assert isinstance(stream, Stream)
    assert stream.url == "wss://bridge.example/s"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "12100"),
        (b"hello", "12100"),
        (b"<response/>", "12100"),
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]><Response>&a;</Response>", "12100"),
        (b"<Response><connect/></Response>", "12200"),
        (b"<Response><Connect/></Response>", "12200"),
        (_stream('url="wss://h/s"', connect='Action="https://h/x"'), "12200"),
        (_stream('url="wss://h/s" status_callback="https://h/x"'), "12200"),
        (_stream('url="wss://h/s" statusCallback="/relative"'), "12200"),
        (_stream('url="wss://h/s" track="both_tracks"'), "31941"),
        (_stream('url="wss://h/s?t=1"'), "31920"),
        (_stream('url="ws://bridge.example/s"'), "31922"),
        (_stream('url="https://bridge.example/s"'), "31922"),
        (_stream(""), "31923"),
        (_stream('url="wss://h/s"', f'<Parameter name="k" value="{"v" * 499}"/>'), "12200"),
        (b'<Response><Reject reason="Busy"/></Response>', "12200"),
        (b'<Response><Pause length="-1"/></Response>', "12200"),
    ],
)
def test_faults_have_twilios_codes(body: bytes, code: str) -> None:
    with pytest.raises(TwimlFault) as caught:
        parse(body, _BASE)
    assert caught.value.code == code


def test_an_insecure_stream_is_allowed_on_this_machine_alone() -> None:
    for host in ("localhost", "127.0.0.1:8080", "[::1]:8080"):
        [stream] = parse(_stream(f'url="ws://{host}/s"'), _BASE)
        assert isinstance(stream, Stream)


def test_a_parameter_of_499_characters_passes() -> None:
    body = _stream('url="wss://h/s"', f'<Parameter name="k" value="{"v" * 498}"/>')
    assert len(parse(body, _BASE)) == 1


def test_a_dial_is_read_with_all_it_says() -> None:
    body = (
        b'<Response><Dial callerId="+14155550123" answerOnBridge="true" timeout="20"'
        b' timeLimit="60" action="/done"><Number statusCallback="https://b.example/s"'
        b' statusCallbackEvent="ringing completed">+14155550190</Number></Dial></Response>'
    )
    assert parse(body, _BASE) == [
        Dial(
            number="+14155550190",
            caller_id="+14155550123",
            timeout_s=20,
            time_limit_s=60,
            action="https://bridge.example/done",
            status_callback="https://b.example/s",
            status_events=("ringing", "completed"),
        )
    ]


@pytest.mark.parametrize(
    ("dial", "code"),
    [
        ("<Dial>+14155550190</Dial>", "12200"),
        ("<Dial/>", "12200"),
        ("<Dial><Number/></Dial>", "13224"),
        ("<Dial><Number>911</Number></Dial>", "13224"),
        ('<Dial callerId="me"><Number>+14155550190</Number></Dial>', "13224"),
        ('<Dial answerOnBridge="yes"><Number>+14155550190</Number></Dial>', "12200"),
        ('<Dial hangUp="1"><Number>+14155550190</Number></Dial>', "12200"),
        ('<Play digits="12x"/>', "12200"),
        ("<Play>https://b.example/song.mp3</Play>", "12200"),
    ],
)
def test_a_dial_that_connects_nobody_is_a_fault(dial: str, code: str) -> None:
    with pytest.raises(TwimlFault) as fault:
        parse(f"<Response>{dial}</Response>".encode(), _BASE)
    assert fault.value.code == code
