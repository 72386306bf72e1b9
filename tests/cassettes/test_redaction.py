"""Tests of redaction: nothing of the people on a call is left in its cassette, however written."""

import base64
import html
import json
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cassettes.cassette import VERSION, Happening, Header, Line, Request, Response, encode
from service.cassettes.lines import message_line
from service.cassettes.redaction import Redactor
from service.cassettes.sound import Keep
from service.core.audio import PCMU_8K
from service.media.g711 import PCMU_SILENCE, encode_pcmu
from service.media.tones import dial_tones

SID = "CA" + "0123456789abcdef" * 2
CALL_ID = "call_01J9ZQ4V5T6W7X8Y9ZABCDEFGH"
SECRET = "feedc0ffee" * 5

names = st.text(st.sampled_from("ABCDEFGHIJKLMNÄÖüßéñabcdefghijklmn '&<-"), min_size=8, max_size=24)
names = names.map(str.strip).filter(lambda name: sum(map(str.isalpha, name)) >= 6)
numbers = st.from_regex(r"\+[2-9][0-9]{8,13}", fullmatch=True)
sids = st.from_regex(r"CA[0-9a-f]{32}", fullmatch=True)
controls = st.from_regex(r"v3:[A-Za-z0-9_-]{30,60}", fullmatch=True)
tokens = st.from_regex(r"[0-9a-f]{48}", fullmatch=True)
mails = st.from_regex(r"[a-z]{6,12}@[a-z]{5,9}\.(com|org)", fullmatch=True)


def _header(**order: Any) -> Header:
    return Header(
        cassette=VERSION,
        provider="twilio",
        title="a call",
        agent="receptionist",
        redacted=False,
        order=order or None,
    )


def _webhook(path: str, form: dict[str, Any]) -> Line:
    request = Request(method="POST", path=path, form=form)
    return Line(at_ms=0, lane="webhook", from_="carrier", request=request)


def _reply(body: Any) -> Line:
    return Line(at_ms=1, lane="webhook", from_="bridge", response=Response(200, body))


def _entry(kind: str, **data: Any) -> Line:
    return Line(at_ms=2, lane="store", from_="bridge", event=Happening(kind, data))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _written(header: Header, lines: list[Line], keep: Keep = "keep") -> str:
    redactor = Redactor(keep)
    rows = [encode(redactor.header(header)), *(encode(redactor.line(line)) for line in lines)]
    return b"".join(rows).decode()


def _redacted(line: Line, keep: Keep = "keep") -> Line:
    return Redactor(keep).line(line)


def _spellings(value: str) -> set[str]:
    """How a value may be found again in a file."""
    plain = {value, html.escape(value), json.dumps(value)[1:-1], json.dumps(value)}
    encoded = {quote(value), quote(value, safe=""), quote_plus(value), quote(quote(value))}
    lower = {text.lower() if "%" in text else text for text in encoded}
    coded = {_base64(text)[:-4] for text in (value, f"  {value}", f" {value}")}
    return {text for text in plain | encoded | lower | coded if len(text) >= 8}


@given(number=numbers, sid=sids, control=controls, token=tokens, mail=mails, name=names, note=names)
def test_nothing_of_the_people_is_left_in_any_spelling(
    number: str, sid: str, control: str, token: str, mail: str, name: str, note: str
) -> None:
    url = f"wss://bridge.example/twilio/stream/{CALL_ID}.{token}"
    state = _base64(json.dumps({"call": CALL_ID, "to": number, "name": name}))
    lines = [
        _webhook(
            "/twilio/voice?" + urlencode({"To": number, "CallSid": sid, "who": mail}),
            {"CallSid": sid, "From": number, "CallerName": name, "SipTo": f"sip:{mail}"},
        ),
        _reply(f'<Response><Stream url="{html.escape(url)}"/><Say>{html.escape(name)}</Say>'),
        _reply(json.dumps({"to": number, "nested": json.dumps({"id": control, "note": note})})),
        _reply(quote(url) + "?state=" + quote(state)),
        message_line(3, "carrier", json.dumps({"event": "start", "start": {"callSid": sid}})),
        message_line(3, "carrier", json.dumps({"client_state": state, "stream_auth_token": token})),
        message_line(3, "carrier", f"not json: {number} {mail} {name}"),
        message_line(3, "carrier", f"{number} {name}".encode()),
        _entry("turn.user", text=f"I am {name}, call me at {number}, {note}"),
        _entry("recording.saved", url=f"https://media.example/{sid}?to={quote(number)}"),
    ]
    order = {"to": number, "variables": {"name": name}, "metadata": {"note": note}}
    written = _written(_header(**order), lines)
    for original in (number, number.removeprefix("+"), sid, control, token, mail, name, note):
        found = [spelling for spelling in _spellings(original) if spelling in written]
        assert not found, original


def test_the_same_number_has_the_same_stand_in_however_it_is_written() -> None:
    number = "+4930123456789"
    line = _webhook(f"/twilio/voice?To={quote(number)}", {"To": number, "Called": number[1:]})
    request = _redacted(line).request
    assert request is not None
    assert request.form == {"To": "+15550100001", "Called": "15550100001"}
    assert request.path == "/twilio/voice?To=%2B15550100001"


def test_stand_ins_have_the_shape_of_what_they_stand_for() -> None:
    redactor = Redactor()
    header = redactor.header(
        _header(to="+14155550100", variables={"name": "Ana-Lee", "plan": "B7"})
    )
    assert header.order is not None
    name = header.order["variables"]["name"]
    assert (len(name), name[3], name[0].isupper(), name[1].islower()) == (7, "-", True, True)
    said = redactor.line(_entry("turn.agent", text=f"Hello Ana-Lee, plan B7, {SID}"))
    assert said.event is not None
    plan = header.order["variables"]["plan"]
    assert said.event.data["text"] == f"Hello {name}, plan {plan}, CA{1:032x}"
    assert header.redacted


def test_a_call_id_stays_one_and_a_token_stays_that_of_its_call() -> None:
    url = f"wss://bridge.example/telnyx/stream/{CALL_ID}.{SECRET}"
    redacted = _redacted(_reply(f"<Stream url='{url}'/>?call_id={CALL_ID}")).response
    assert redacted is not None
    call_id = "call_" + "1".zfill(26)
    assert redacted.body == (
        f"<Stream url='wss://bridge.example/telnyx/stream/{call_id}.{'1'.zfill(50)}'/>"
        f"?call_id={call_id}"
    )


def test_what_is_no_secret_stays_as_it_was() -> None:
    form = {
        "CallStatus": "in-progress",
        "Timestamp": "Fri, 20 Nov 2026 08:00:00 +0000",
        "ApiVersion": "2010-04-01",
        "Duration": "12",
        "at": "2026-11-20T08:00:00.123456Z",
        "host": "127.0.0.1",
        "codec": "audio/x-mulaw",
    }
    line = _webhook("/twilio/voice?agent=receptionist", form)
    assert _redacted(line) == line
    media = {"event": "media", "media": {"payload": "////", "timestamp": "1234567890"}}
    line = message_line(0, "carrier", json.dumps(media))
    assert _redacted(line) == line


@pytest.mark.parametrize(
    ("address", "stand_in"),
    [("203.0.113.77", "192.0.2.1"), ("2a02:8108:1:2::9", "2001:db8::1"), ("12:30:45", "12:30:45")],
)
def test_addresses_become_those_kept_for_documentation(address: str, stand_in: str) -> None:
    redacted = _redacted(_entry("fault", detail=f"from {address} again")).event
    assert redacted is not None
    assert redacted.data["detail"] == f"from {stand_in} again"


# Sound -------------------------------------------------------------------------------------------


def _media(sound: bytes) -> Line:
    payload = base64.b64encode(sound).decode()
    return message_line(0, "carrier", json.dumps({"event": "media", "media": {"payload": payload}}))


def _sound_of(line: Line) -> bytes:
    assert line.message is not None
    return base64.b64decode(line.message["media"]["payload"])


def _loud(frames: int) -> list[bytes]:
    """Something that begins and moves as speech does."""
    keys = [frame.data for frame in dial_tones("1w5", PCMU_8K)]
    return [keys[at % 5] for at in range(frames)]


def test_silenced_sound_is_as_long_as_it_was() -> None:
    redactor = Redactor("silence")
    for sound in _loud(5):
        assert _sound_of(redactor.line(_media(sound))) == PCMU_SILENCE * len(sound)


def test_a_hum_is_where_somebody_spoke_and_nothing_of_what_they_said() -> None:
    redactor = Redactor("voice")
    quiet = [PCMU_SILENCE * 160] * 50
    loud = _loud(60)
    heard = [_sound_of(redactor.line(_media(sound))) for sound in [*quiet, *loud, *quiet]]
    assert {len(sound) for sound in heard} == {160}
    voiced = [at for at, sound in enumerate(heard) if sound != PCMU_SILENCE * 160]
    assert voiced
    assert 50 <= voiced[0] <= 60
    assert 105 <= voiced[-1] <= 120
    assert not set(loud) & set(heard)


@pytest.mark.parametrize(
    ("encoding", "silence"), [("PCMA", b"\xd5"), ("L16", b"\x00"), ("audio/x-mulaw", b"\xff")]
)
def test_silence_is_that_of_the_streams_encoding(encoding: str, silence: bytes) -> None:
    redactor = Redactor("silence")
    start = {"event": "start", "start": {"media_format": {"encoding": encoding}}}
    redactor.line(message_line(0, "carrier", json.dumps(start)))
    assert _sound_of(redactor.line(_media(encode_pcmu(bytes(320))))) == silence * 160


def test_words_go_with_the_voices_and_their_number_and_points_stay() -> None:
    redactor = Redactor("silence")
    line = _entry("turn.agent", text="We are open, until 5!", heard_text="We are", turn_id="t")
    event = redactor.line(line).event
    assert event is not None
    assert event.data == {"text": "lo lor lore, lorem l!", "heard_text": "lo lor", "turn_id": "t"}


def test_sound_alone_may_be_replaced() -> None:
    redactor = Redactor("silence", names=False)
    header = _header(to="+4930123456789")
    assert redactor.header(header) == header
    line = _reply("+4930123456789")
    assert redactor.line(line) == line
    assert _sound_of(redactor.line(_media(b"\x01" * 160))) == PCMU_SILENCE * 160


def test_a_message_nested_beyond_reason_is_no_json_and_ends_no_recording() -> None:
    nested = message_line(0, "carrier", "[" * 5000)
    assert nested.text is not None
    assert Redactor().line(nested).text == nested.text
