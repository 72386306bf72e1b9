"""The webhooks of a running service, as strict carriers send them and as strangers would."""

import asyncio
import json
import random
import re
import socket
from typing import Any
from urllib.parse import parse_qsl
from xml.etree import ElementTree

import httpx
import pytest
from starlette.datastructures import FormData
from twilio.request_validator import RequestValidator

from tests.service.bench import Announced, Bench
from tests.service.carriers import (
    PUBLIC_URL,
    SECONDARY_TOKEN,
    Caller,
    knock,
    line,
    new_control_id,
    new_sid,
    target_of,
    telnyx_event,
    telnyx_headers,
    twilio_form,
    until,
    upgrade_headers,
)
from tests.service.process import Process
from tests.service.rest_api import AUTH_TOKEN, RestApi

FORM = {"content-type": "application/x-www-form-urlencoded"}


async def calls_named(bench: Bench, provider_call_id: str) -> list[dict[str, Any]]:
    calls = (await bench.api.get("/v1/calls?limit=100")).json()["calls"]
    return [call for call in calls if call["provider_call_id"] == provider_call_id]


# TwiML -------------------------------------------------------------------------------------------


async def test_the_twiml_of_an_inbound_call_is_exactly_this(bench: Bench) -> None:
    sid = new_sid()
    answer = await bench.carrier.twilio("/twilio/voice", twilio_form(sid))
    assert answer.status_code == 200
    assert answer.headers["content-type"].split(";")[0] == "text/xml"
    [call] = await calls_named(bench, sid)
    root = ElementTree.fromstring(answer.text)
    assert [child.tag for child in root] == ["Connect", "Hangup"]
    connect = root[0]
    call_id = call["call_id"]
    assert connect.attrib == {
        "action": f"{PUBLIC_URL}/twilio/connect-done?call_id={call_id}",
        "method": "POST",
    }
    [stream] = connect
    url = stream.attrib.pop("url")
    assert stream.attrib == {
        "statusCallback": f"{PUBLIC_URL}/twilio/stream-status?call_id={call_id}",
        "statusCallbackMethod": "POST",
    }
    # No query: Twilio strips it. No port, the prefix kept, a token nobody can guess.
    match = re.fullmatch(
        r"wss://bridge\.example\.org/phone/twilio/stream/([A-Za-z0-9_.~-]{40,200})", url
    )
    assert match is not None, url
    assert (call["state"], call["direction"]) == ("ringing", "inbound")
    assert (call["to"], call["from"]) == ("+14155550123", "+14155550100")


async def test_the_same_call_asked_for_again_gets_the_same_socket(bench: Bench) -> None:
    form = twilio_form(new_sid())
    answers = await asyncio.gather(*(bench.carrier.twilio("/twilio/voice", form) for _ in range(5)))
    assert len({answer.text for answer in answers}) == 1
    assert len(await calls_named(bench, form["CallSid"])) == 1


@pytest.mark.parametrize(
    ("query", "to", "agent"),
    [
        ("?agent=parrot", "+14155550123", "parrot"),
        ("", "+14155550177", "parrot"),
        ("?agent=default", "+14155550177", "default"),
        ("", "+14155550123", "default"),
        ("?agent=nobody", "+14155550123", "default"),
        ("?agent=" + "x" * 600, "+14155550123", "default"),
        ("?agent=%00%ff", "+14155550123", "default"),
    ],
)
@pytest.mark.parametrize("carrier", ["twilio", "telnyx"])
async def test_the_url_or_the_number_chooses_the_agent(
    bench: Bench, carrier: str, query: str, to: str, agent: str
) -> None:
    facts = {"To": to} if carrier == "twilio" else {"to": to}
    call = await bench.announce(carrier, query, **facts)
    assert (await bench.call(call.call_id))["agent"] == agent
    types = await bench.story(call.call_id)
    assert ("fault" in types) == (query not in ("", "?agent=parrot", "?agent=default"))


# Signatures --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["voice", "connect-done", "status", "stream-status", "amd"])
async def test_an_unsigned_webhook_is_refused(bench: Bench, path: str) -> None:
    form = twilio_form(new_sid())
    target = f"/twilio/{path}"
    signed = RequestValidator(AUTH_TOKEN).compute_signature(PUBLIC_URL + target, form)
    for headers in (
        {},
        {"x-twilio-signature": ""},
        {"x-twilio-signature": "x" * 10_000},
        {"x-twilio-signature": signed[:-1]},
        {"x-twilio-signature": signed + "="},
        {"x-twilio-signature": signed.swapcase()},
    ):
        http = bench.carrier.http
        answer = await http.post(target, data=form, headers=headers)
        assert answer.status_code == 403
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"].startswith("twilio.")
    assert await calls_named(bench, form["CallSid"]) == []


async def test_a_signature_covers_everything(bench: Bench) -> None:
    form = twilio_form(new_sid())
    send = bench.carrier.twilio
    signed = RequestValidator(AUTH_TOKEN).compute_signature(PUBLIC_URL + "/twilio/voice", form)
    changed = [
        ("/twilio/voice", form | {"From": "+14155550199"}),
        ("/twilio/voice", form | {"Extra": ""}),
        ("/twilio/voice", {k: v for k, v in form.items() if v}),  # blanks dropped
        ("/twilio/voice?agent=parrot", form),
        ("/twilio/status", form),
    ]
    for target, fields in changed:
        assert (await send(target, fields, signature=signed)).status_code == 403
    for url in ("http://bridge.example.org/phone", "https://bridge.example.org"):
        refused = await send("/twilio/voice", form, signed_url=f"{url}/twilio/voice")
        assert refused.status_code == 403
    assert (await send("/twilio/voice", form, token="stolen")).status_code == 403
    assert (await send("/twilio/voice", form, signature=signed)).status_code == 200


async def test_both_tokens_and_both_spellings_of_the_port_are_good(bench: Bench) -> None:
    form = twilio_form(new_sid())
    with_port = "https://bridge.example.org:443/phone/twilio/voice"
    for token in (AUTH_TOKEN, SECONDARY_TOKEN):
        for url in (None, with_port):
            answer = await bench.carrier.twilio("/twilio/voice", form, token=token, signed_url=url)
            assert answer.status_code == 200


async def test_headers_that_anybody_can_write_do_not_change_what_is_signed(bench: Bench) -> None:
    form = twilio_form(new_sid())
    evil = "https://evil.example.org/phone/twilio/voice"
    signature = RequestValidator(AUTH_TOKEN).compute_signature(evil, form)
    headers = {"x-forwarded-host": "evil.example.org", "x-forwarded-proto": "https"}
    headers |= {"host": "evil.example.org", "x-twilio-signature": signature}
    http = bench.carrier.http
    assert (await http.post("/twilio/voice", data=form, headers=headers)).status_code == 403


async def test_encoded_characters_of_the_url_are_signed_as_they_come(bench: Bench) -> None:
    form = twilio_form(new_sid())
    target = "/twilio/voice?agent=parrot&lang=es%2DMX&x=a+b%20c&&y"
    assert (await bench.carrier.twilio(target, form)).status_code == 200
    wrong = PUBLIC_URL + target.replace("%2D", "-")
    answer = await bench.carrier.twilio(target, form, signed_url=wrong)
    assert answer.status_code == 403


async def test_blank_repeated_and_foreign_fields_are_signed_too(bench: Bench) -> None:
    sid = new_sid()
    text = f"CallSid={sid}&CallStatus=ringing&B=2&B=1&B=1&CallerName=Ana+N%C3%BA%C3%B1ez&Blank="
    fields = FormData([*parse_qsl(text, keep_blank_values=True)])
    url = PUBLIC_URL + "/twilio/voice"
    signature = RequestValidator(AUTH_TOKEN).compute_signature(url, fields)
    headers = FORM | {"x-twilio-signature": signature}
    answer = await bench.carrier.http.post("/twilio/voice", content=text, headers=headers)
    assert answer.status_code == 200


async def test_a_webhook_may_come_by_get(bench: Bench) -> None:
    sid = new_sid()
    query = "From=%2B14155550100&To=%2B14155550177&CallStatus=ringing&FromCity="
    answer = await bench.carrier.twilio_get(f"/twilio/voice?CallSid={sid}&{query}")
    assert answer.status_code == 200
    assert "<Stream" in answer.text
    [call] = await calls_named(bench, sid)
    assert call["agent"] == "parrot"
    unsigned = await bench.carrier.http.get(f"/twilio/voice?CallSid={new_sid()}&{query}")
    assert unsigned.status_code == 403


async def test_a_json_body_is_covered_by_its_hash(bench: Bench) -> None:
    body = b'{"CallSid":"CAffeeddccbbaa99887766554433221100","event":"done"}'
    assert (await bench.carrier.twilio_json("/twilio/status", body)).status_code == 204
    changed = await bench.carrier.twilio_json("/twilio/status", body, sent=body + b" ")
    assert changed.status_code == 403


@pytest.mark.parametrize("skew_s", [-290, 290])
async def test_telnyxs_clock_may_be_a_little_off(bench: Bench, skew_s: int) -> None:
    raw = json.dumps(telnyx_event("call.cost", new_control_id())).encode()
    headers = telnyx_headers(raw, skew_s=skew_s)
    http = bench.carrier.http
    assert (await http.post("/telnyx/webhook", content=raw, headers=headers)).status_code < 300


async def test_a_telnyx_webhook_that_is_not_signed_just_so_is_refused(bench: Bench) -> None:
    offer = telnyx_event("call.initiated", new_control_id(), direction="incoming", state="parked")
    raw = json.dumps(offer).encode()
    good = telnyx_headers(raw)
    bad: list[tuple[bytes, dict[str, str]]] = [
        (raw, {}),
        (raw + b"\n", good),
        (raw, telnyx_headers(raw, skew_s=-310)),
        (raw, telnyx_headers(raw, skew_s=310)),
        (raw, good | {"telnyx-timestamp": str(int(good["telnyx-timestamp"]) + 1)}),
        (raw, good | {"telnyx-timestamp": " " + good["telnyx-timestamp"]}),
        (raw, good | {"telnyx-timestamp": "soon"}),
        (raw, good | {"telnyx-timestamp": "9" * 500}),
        (raw, good | {"telnyx-signature-ed25519": "AAAA"}),
        (raw, good | {"telnyx-signature-ed25519": "not base64!"}),
        (raw, {k: v for k, v in good.items() if k != "telnyx-timestamp"}),
    ]
    for body, headers in bad[:5] + bad[6:]:  # a client strips the padding that the sixth has
        answer = await bench.carrier.http.post("/telnyx/webhook", content=body, headers=headers)
        assert answer.status_code == 403
        assert answer.json()["code"].startswith("telnyx.")
    assert bench.rest.orders_to(offer["data"]["payload"]["call_control_id"]) == []


# Bounds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/twilio/voice", "/twilio/status", "/telnyx/webhook"])
async def test_a_body_too_long_is_refused_before_its_signature_matters(
    bench: Bench, path: str
) -> None:
    big = b"A=" + b"x" * 262_144
    answer = await bench.carrier.http.post(path, content=big, headers=FORM)
    assert answer.status_code == 413
    assert answer.json()["code"] == "request.body_too_long"


@pytest.mark.parametrize("path", ["/twilio/voice", "/telnyx/webhook", "/v1/calls"])
async def test_a_body_without_end_is_answered_while_it_comes(bench: Bench, path: str) -> None:
    key = bench.api.headers["authorization"]
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {key}\r\n"
    head += "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.service.port)
    writer.write(head.encode())
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    for _ in range(17):  # just over what is allowed, and no end
        writer.write(chunk)
    async with asyncio.timeout(10):
        status = await reader.readline()
    assert status.split()[1] == b"413"
    writer.close()


async def test_the_longest_body_allowed_is_taken(bench: Bench) -> None:
    form = twilio_form(new_sid())
    form["Padding"] = "x" * (262_144 - len(str(httpx.QueryParams(form))) - len("&Padding="))
    assert (await bench.carrier.twilio("/twilio/voice", form)).status_code == 200
    form["Padding"] += "x"
    assert (await bench.carrier.twilio("/twilio/voice", form)).status_code == 413


async def test_too_many_fields_are_refused(bench: Bench) -> None:
    few = twilio_form(new_sid())
    few |= {f"F{n}": "" for n in range(200 - len(few))}
    assert (await bench.carrier.twilio("/twilio/voice", few)).status_code == 200
    many = few | {"OneMore": ""}
    answer = await bench.carrier.twilio("/twilio/voice", many)
    assert (answer.status_code, answer.json()["code"]) == (413, "request.too_many_fields")
    query = "&".join(f"f{n}=" for n in range(300))
    answer = await bench.carrier.http.get(f"/twilio/voice?{query}")
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "content_type", ["Application/X-WWW-Form-Urlencoded", "text/plain", "", "multipart/form-data"]
)
async def test_fields_are_bounded_whatever_the_body_is_said_to_be(
    bench: Bench, content_type: str
) -> None:
    form = twilio_form(new_sid()) | {f"F{n}": "" for n in range(40_000)}
    body = str(httpx.QueryParams(form))[:262_000]
    headers = {"content-type": content_type, "x-twilio-signature": "x"}
    answer = await bench.carrier.http.post("/twilio/voice", content=body, headers=headers)
    assert answer.status_code in (403, 413)


async def test_a_request_that_is_cut_off_harms_nobody(bench: Bench) -> None:
    with socket.create_connection(("127.0.0.1", bench.service.port)) as rude:
        rude.sendall(b"POST /twilio/voice HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nA=")
    assert (await bench.carrier.http.get("/healthz")).status_code == 200


# What is no event --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["voice", "connect-done", "status", "stream-status", "recording"])
@pytest.mark.parametrize(
    "form", [{}, {"A": "b"}, {"CallSid": ""}, {"CallSid": "../x"}, {"CallSid": "C" * 5000}]
)
async def test_signed_nonsense_is_acknowledged(
    bench: Bench, path: str, form: dict[str, str]
) -> None:
    assert (await bench.carrier.twilio(f"/twilio/{path}", form)).status_code == 204


@pytest.mark.parametrize("path", ["connect-done", "status", "stream-status", "amd", "recording"])
@pytest.mark.parametrize(
    "call_id", ["", "?call_id=", "?call_id=call_x", "?call_id=*", "?call_id=%00"]
)
async def test_a_callback_for_an_unknown_call_is_acknowledged(
    bench: Bench, path: str, call_id: str
) -> None:
    sid = new_sid()
    form = twilio_form(sid, CallStatus="completed")
    assert (await bench.carrier.twilio(f"/twilio/{path}{call_id}", form)).status_code == 204
    assert await calls_named(bench, sid) == []


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"not json",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"data":5}',
        b'{"data":{"event_type":"call.answered"}}',
        b'{"data":{"event_type":7,"id":"x","payload":{}}}',
        b'{"data":{"event_type":"call.answered","id":"x","payload":null}}',
        b'{"data":{"event_type":"call.answered","id":"x","payload":{"call_control_id":["a"]}}}',
        b'{"data":{"event_type":"call.hangup","id":"x","occurred_at":"9999-99-99","payload":'
        b'{"call_control_id":"v3:never-seen","client_state":"!!!"}}}',
        b'{"data":{"event_type":"call.initiated","id":"x","payload":'
        b'{"direction":"incoming","call_control_id":""}}}',
        b'{"data":{"event_type":"\\ud800","id":"x","payload":{}}}',
    ],
)
async def test_telnyxs_signed_nonsense_is_acknowledged(bench: Bench, raw: bytes) -> None:
    assert (await bench.carrier.telnyx(raw)).status_code == 204


async def test_a_number_may_be_withheld_or_no_number_at_all(bench: Bench) -> None:
    for from_ in ("anonymous", "client:ana", "sip:a@b.example", "", "<&\"'>", "Ünïcøde"):
        call = await bench.announce("twilio", From=from_)
        assert (await bench.call(call.call_id))["from"] == from_


async def test_methods_and_paths_that_are_not_ours_are_plain_problems(bench: Bench) -> None:
    for method, path, status in [
        ("PUT", "/twilio/voice", 405),
        ("POST", "/twilio/nothing", 404),
        ("GET", "/twilio/stream", 404),
        ("GET", "/twilio/stream/x", 404),
        ("POST", "/browser/webhook", 404),
        ("GET", "/../../etc/passwd", 404),
        ("POST", "/twilio/voice/", 404),
        ("POST", "/telnyx/webhook/", 404),
    ]:
        answer = await bench.carrier.http.request(method, path)
        assert answer.status_code == status, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status


# Lives of calls ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
async def test_outbound_webhooks_thrice_in_any_order_at_once_tell_one_story(
    bench: Bench, seed: int
) -> None:
    placed = await bench.place("twilio")
    call_id, sid = placed["call_id"], placed["provider_call_id"]
    target = f"/twilio/status?call_id={call_id}"
    steps = [("initiated", "0"), ("ringing", "1"), ("in-progress", "2")]
    forms = [
        twilio_form(
            sid,
            CallStatus=status,
            SequenceNumber=number,
            CallbackSource="call-progress-events",
            Direction="outbound-api",
            Timestamp=f"Fri, 20 Nov 2026 12:00:0{number} +0000",
        )
        for status, number in steps
    ]
    orders = random.Random(seed).sample(forms * 3, 9)
    answers = await asyncio.gather(
        *(bench.carrier.twilio(target, form) for form in orders),
        *(
            bench.carrier.twilio(
                f"/twilio/voice?call_id={call_id}", twilio_form(sid, CallStatus="in-progress")
            )
            for _ in range(3)
        ),
    )
    assert {answer.status_code for answer in answers} == {200, 204}
    [url] = {a.text.split('<Stream url="')[1].split('"')[0] for a in answers if a.text}
    call = Announced("twilio", call_id, sid, target_of(url))
    async with bench.socket(call) as opened:
        await opened.start()
        await bench.state(call_id, "bridged")
        done = twilio_form(sid, CallStatus="completed", SequenceNumber="3", CallDuration="1")
        await asyncio.gather(
            opened.stop(),
            *(bench.carrier.twilio(target, form) for form in [done, *forms, done, done]),
        )
    call_now = await bench.ended(call_id)
    assert call_now["end"]["outcome"] == "completed"
    types = await bench.story(call_id)
    assert [t for t in types if t != "call.ringing"] == [
        *("call.queued", "call.answered", "stream.started", "stream.stopped", "call.ended")
    ]
    assert types.count("call.ringing") <= 1


async def test_telnyx_webhooks_thrice_in_any_order_at_once_tell_one_story(bench: Bench) -> None:
    sid = new_control_id()
    offer = telnyx_event("call.initiated", sid, direction="incoming", state="parked")
    answered = telnyx_event("call.answered", sid)
    saved = telnyx_event(
        "call.recording.saved",
        sid,
        recording_id="r1",
        recording_urls={"wav": "https://s3.example.org/r.wav?X-Amz-Signature=secret"},
        recording_started_at="2026-11-20T08:00:00.000000Z",
        recording_ended_at="2026-11-20T08:00:02.500000Z",
    )
    await asyncio.gather(*(bench.carrier.telnyx(offer) for _ in range(3)))
    orders = await until(lambda: bench.rest.orders_to(sid))
    url = orders[0][1]["stream_url"]
    [stored] = await calls_named(bench, sid)
    call = Announced("telnyx", stored["call_id"], sid, target_of(url))
    async with bench.socket(call) as opened:
        await opened.start()
        await asyncio.gather(*(bench.carrier.telnyx(w) for w in [answered, offer] * 3))
        await bench.state(call.call_id, "bridged")
        hangup = telnyx_event("call.hangup", sid, hangup_cause="normal_clearing")
        late = [hangup, saved, answered, offer] * 3
        await asyncio.gather(opened.stop(), *(bench.carrier.telnyx(w) for w in late))
    await bench.ended(call.call_id)
    await bench.noted(call.call_id, "recording.saved")
    events = await bench.events(call.call_id)
    types = [event["type"] for event in events]
    assert sorted(types) == sorted(
        [
            *("call.ringing", "call.answered", "stream.started"),
            *("stream.stopped", "call.ended", "recording.saved"),
        ]
    )
    assert types[:3] == ["call.ringing", "call.answered", "stream.started"]
    assert types.index("stream.stopped") < types.index("call.ended")
    [recording] = [event["data"] for event in events if event["type"] == "recording.saved"]
    assert recording["urls"] == {"wav": "https://s3.example.org/r.wav?X-Amz-Signature=secret"}
    assert recording["duration_ms"] == 2500
    assert [action for action, _ in bench.rest.orders_to(sid)].count("answer") == 1


@pytest.mark.parametrize(
    ("status", "outcome", "by"),
    [
        ("busy", "busy", "caller"),
        ("no-answer", "no_answer", "caller"),
        ("failed", "carrier_failed", "carrier"),
        ("canceled", "canceled", "carrier"),
    ],
)
async def test_a_call_that_nobody_took_says_why(
    bench: Bench, status: str, outcome: str, by: str
) -> None:
    placed = await bench.place("twilio")
    form = twilio_form(placed["provider_call_id"], CallStatus=status, SequenceNumber="2")
    target = f"/twilio/status?call_id={placed['call_id']}"
    assert (await bench.carrier.twilio(target, form)).status_code == 204
    call = await bench.call(placed["call_id"])
    end = call["end"]
    assert (end["outcome"], end["ended_by"], end["duration_ms"]) == (outcome, by, 0)
    assert call["answered_at"] is None
    late = twilio_form(placed["provider_call_id"], CallStatus="ringing", SequenceNumber="1")
    await bench.carrier.twilio(target, late)
    assert await bench.story(placed["call_id"]) == ["call.queued", "call.ended"]


@pytest.mark.parametrize(
    ("cause", "outcome"),
    [
        ("user_busy", "busy"),
        ("timeout", "no_answer"),
        ("call_rejected", "rejected"),
        ("unspecified", "carrier_failed"),
        ("never heard of it +14155550100", "carrier_failed"),
    ],
)
async def test_telnyxs_causes_become_outcomes(bench: Bench, cause: str, outcome: str) -> None:
    placed = await bench.place("telnyx")
    sid = placed["provider_call_id"]
    await bench.carrier.telnyx(telnyx_event("call.hangup", sid, hangup_cause=cause))
    end = (await bench.call(placed["call_id"]))["end"]
    assert (end["outcome"], end["duration_ms"]) == (outcome, 0)
    assert "+" not in end["cause"]


async def test_a_telnyx_leg_renamed_by_its_webhooks_is_still_the_same_call(bench: Bench) -> None:
    placed = await bench.place("telnyx")
    [order] = [b for _, b in bench.rest.asked if placed["call_id"] in b.get("stream_url", "")]
    other = new_control_id()
    state = order["client_state"]
    ringing = telnyx_event("call.initiated", other, direction="outgoing", client_state=state)
    answered = telnyx_event("call.answered", other, client_state=state)
    for event in (ringing, answered):
        assert (await bench.carrier.telnyx(event)).status_code == 200
    assert (await bench.call(placed["call_id"]))["state"] == "answered"
    call = Announced("telnyx", placed["call_id"], other, target_of(order["stream_url"]))
    async with bench.socket(call) as opened:
        await opened.start()
        await bench.state(call.call_id, "bridged")
        await bench.hang_up_line(call, opened)
    assert (await bench.ended(call.call_id))["end"]["outcome"] == "completed"


async def test_amd_and_recordings_of_twilio_are_written_down_once(bench: Bench) -> None:
    placed = await bench.place("twilio", record=True)
    call_id, sid = placed["call_id"], placed["provider_call_id"]
    amd = twilio_form(sid, AnsweredBy="machine_start", MachineDetectionDuration="1840")
    del amd["CallStatus"]
    await asyncio.gather(
        *(bench.carrier.twilio(f"/twilio/amd?call_id={call_id}", amd) for _ in range(3))
    )
    done = twilio_form(sid, CallStatus="no-answer", SequenceNumber="3")
    await bench.carrier.twilio(f"/twilio/status?call_id={call_id}", done)
    recording = twilio_form(
        sid,
        RecordingSid="RE" + "1" * 32,
        RecordingStatus="completed",
        RecordingUrl="https://api.twilio.com/2010-04-01/Accounts/AC/Recordings/RE1",
        RecordingDuration="7",
    )
    for _ in range(3):
        target = f"/twilio/recording?call_id={call_id}"
        assert (await bench.carrier.twilio(target, recording)).status_code == 204
    events = await bench.events(call_id)
    assert [event["type"] for event in events] == [
        *("call.queued", "machine.detected", "call.ended", "recording.saved")
    ]
    assert events[1]["data"]["result"] == "machine"
    assert events[3]["data"]["duration_ms"] == 7000


async def test_a_key_press_by_socket_and_by_webhook_is_one_event(bench: Bench) -> None:
    async with bench.talking("telnyx") as (call, opened):
        events = [telnyx_event("call.dtmf.received", call.provider_call_id, digit=d) for d in "55#"]
        await bench.carrier.telnyx(events[0])
        for digit in "55#":
            await opened.press(digit)
        for event in [*events[1:], *events, *events]:
            await bench.carrier.telnyx(event)
        await bench.noted(call.call_id, "dtmf.received")
    pressed = [
        event["data"]
        for event in await bench.events(call.call_id)
        if event["type"] == "dtmf.received"
    ]
    assert pressed == [{"digit": "5"}, {"digit": "5"}, {"digit": "#"}]


async def test_a_stream_that_twilio_cannot_open_is_a_fault(bench: Bench) -> None:
    call = await bench.announce("twilio")
    form = {
        "AccountSid": "AC",
        "CallSid": call.provider_call_id,
        "StreamSid": "MZ1",
        "StreamEvent": "stream-error",
        "StreamError": "Stream - WebSocket - Handshake Error 31920 +14155550100",
        "Timestamp": "2026-09-01T12:00:00.123456789Z",
    }
    target = f"/twilio/stream-status?call_id={call.call_id}"
    for _ in range(3):
        assert (await bench.carrier.twilio(target, form)).status_code == 204
    faults = [e["data"] for e in await bench.events(call.call_id) if e["type"] == "fault"]
    assert faults == [{"code": "twilio.31920", "detail": "the media stream failed"}]


async def test_a_callback_about_two_calls_at_once_is_not_believed(bench: Bench) -> None:
    one, other = await bench.place("twilio"), await bench.place("twilio")
    form = twilio_form(one["provider_call_id"], CallStatus="busy", SequenceNumber="2")
    await bench.carrier.twilio(f"/twilio/status?call_id={other['call_id']}", form)
    assert (await bench.call(other["call_id"]))["state"] == "queued"


# A full house ------------------------------------------------------------------------------------


async def test_a_full_house_is_busy_for_everybody(
    open_service: Process, rest_api: tuple[RestApi, str]
) -> None:
    async with httpx.AsyncClient(base_url=open_service.url) as http:
        carrier = Caller(http)
        first = twilio_form(new_sid())
        accepted = await carrier.twilio("/twilio/voice", first)
        target = target_of(accepted.text.split('<Stream url="')[1].split('"')[0])
        async with line(open_service.ws_url, target, "twilio", first["CallSid"]) as opened:
            await opened.start()
            refused = await carrier.twilio("/twilio/voice", twilio_form(new_sid()))
            assert refused.status_code == 200
            root = ElementTree.fromstring(refused.text)
            assert [(verb.tag, verb.attrib) for verb in root] == [("Reject", {"reason": "busy"})]
            again = await carrier.twilio("/twilio/voice", first)  # our own is no new call
            assert "<Stream" in again.text
            sid = new_control_id()
            offer = telnyx_event("call.initiated", sid, direction="incoming", state="parked")
            assert (await carrier.telnyx(offer)).status_code == 200
            [(action, body)] = await until(lambda: rest_api[0].orders_to(sid))
            assert (action, body["cause"]) == ("reject", "USER_BUSY")
            order = {"provider": "twilio", "to": "+14155550100", "from": "+14155550123"}
            busy = await http.post("/v1/calls", json=order)
            assert (busy.status_code, busy.json()["code"]) == (503, "busy.max_calls")
            assert int(busy.headers["retry-after"]) >= 1
            path = "/twilio/stream"
            headers = upgrade_headers(path)
            assert await knock(open_service.ws_url, path, headers) == 403
            await opened.stop()
        done = twilio_form(first["CallSid"], CallStatus="completed")
        call_id = target.rpartition("/")[2].partition(".")[0]
        await carrier.twilio(f"/twilio/connect-done?call_id={call_id}", done)

        async def room() -> bool:
            answer = await carrier.twilio("/twilio/voice", twilio_form(new_sid()))
            return "<Stream" in answer.text

        await until(room, "there is never room again")
