"""TwiML that Twilio would not carry out is a fault with its code."""

import pytest

from service.twin.twiml import (
    Dial,
    Hangup,
    Pause,
    Played,
    Press,
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


def test_a_dial_is_read_with_all_it_says() -> None:
    body = (
        b'<Response><Dial callerId="+14155550123" timeout="25" timeLimit="600" action="/done"'
        b' answerOnBridge="true" method="GET"><Number statusCallback="/leg"'
        b' statusCallbackEvent="initiated answered">+14155550111</Number></Dial></Response>'
    )
    assert parse(body, _BASE) == [
        Dial(
            number="+14155550111",
            caller_id="+14155550123",
            ring_s=25,
            limit_s=600,
            answer_on_bridge=True,
            action="https://bridge.example/done",
            method="GET",
            status_url="https://bridge.example/leg",
            status_events=("initiated", "answered"),
        )
    ]
    assert parse(b"<Response><Dial>+14155550111</Dial></Response>", _BASE) == [
        Dial(number="+14155550111")
    ]


def test_a_dial_shows_a_number_or_nothing() -> None:
    with pytest.raises(TwimlFault, match="13214"):
        parse(b'<Response><Dial callerId="me">+14155550111</Dial></Response>', _BASE)


def test_a_document_may_press_keys_and_play_a_sound() -> None:
    body = b'<Response><Play digits="ww1#"/><Play>/hold.mp3</Play></Response>'
    assert parse(body, _BASE) == [Press("ww1#"), Played("https://bridge.example/hold.mp3")]


@pytest.mark.parametrize(
    "verb",
    [
        "<Dial><Conference>x</Conference></Dial>",
        '<Dial answerOnBridge="yes">+14155550111</Dial>',
        '<Dial timeout="soon">+14155550111</Dial>',
        '<Dial colour="red">+14155550111</Dial>',
        '<Dial><Number statusCallbackEvent="hung-up">+14155550111</Number></Dial>',
        "<Play/>",
        '<Play digits="x"/>',
        '<Play digits="1">/hold.mp3</Play>',
    ],
)
def test_what_twilio_would_not_dial_or_play_is_a_fault(verb: str) -> None:
    with pytest.raises(TwimlFault, match="12200"):
        parse(f"<Response>{verb}</Response>".encode(), _BASE)


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
