"""The media sockets of a running service, dialled by strict carriers and by strangers."""

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest
from twilio.request_validator import RequestValidator

from service.core.audio import PCM16_8K, PCMU_8K, Encoding, MediaFormat
from service.media.convert import Converter
from tests.service.bench import Announced, Bench
from tests.service.carriers import (
    FRAME_MS,
    PUBLIC_URL,
    SECONDARY_TOKEN,
    SILENCE,
    STREAM_KEY,
    Line,
    knock,
    line,
    new_control_id,
    new_sid,
    target_of,
    telnyx_event,
    twilio_form,
    until,
    upgrade_headers,
)
from tests.service.process import Process
from tests.service.rest_api import AUTH_TOKEN

CARRIERS = ("twilio", "telnyx")
both = pytest.mark.parametrize("carrier", CARRIERS)
TONE = bytes(range(0x10, 0x10 + 160)) * 5
KEY = {"x-telnyx-streaming-auth-token": STREAM_KEY}


def headers_for(carrier: str, target: str) -> dict[str, str]:
    return upgrade_headers(target) if carrier == "twilio" else {}


async def metric(bench: Bench, name: str) -> float:
    text = (await bench.carrier.http.get("/metrics")).text
    return sum(float(row.rsplit(" ", 1)[1]) for row in text.splitlines() if row.startswith(name))


# Who is let in -----------------------------------------------------------------------------------


@both
async def test_an_announced_socket_carries_sound_both_ways(bench: Bench, carrier: str) -> None:
    async with bench.talking(carrier) as (_, line):
        await line.say(TONE)
        await until(lambda: TONE in line.heard, "the loop does not come back")


@both
@pytest.mark.parametrize("twist", ["unknown", "altered", "shortened", "of nobody", "empty"])
async def test_a_wrong_token_is_refused_before_the_upgrade(
    bench: Bench, carrier: str, twist: str
) -> None:
    call = await bench.announce(carrier)
    folder, _, token = call.target.rpartition("/")
    wrong = {
        "unknown": "call_01ARZ3NDEKTSV4RRFFQ69G5FAV.abcdefghijklmnopqrstuvwxyz",
        "altered": token[:-1] + ("A" if token[-1] != "A" else "B"),
        "shortened": token[:-1],
        "of nobody": call.call_id,
        "empty": f"{call.call_id}.",
    }[twist]
    target = f"{folder}/{wrong}"
    assert await knock(bench.service.ws_url, target, headers_for(carrier, target)) == 403


async def test_a_token_of_the_other_carrier_is_refused(bench: Bench) -> None:
    ours = await bench.announce("telnyx")
    target = ours.target.replace("/telnyx/", "/twilio/")
    assert await knock(bench.service.ws_url, target, upgrade_headers(target)) == 403
    theirs = await bench.announce("twilio")
    target = theirs.target.replace("/twilio/", "/telnyx/")
    assert await knock(bench.service.ws_url, target) == 403


async def test_twilio_needs_the_signature_besides_the_token(bench: Bench) -> None:
    call = await bench.announce("twilio")
    wrong = [
        {},
        {"x-twilio-signature": ""},
        {"x-twilio-signature": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="},
        upgrade_headers("/twilio/stream/another"),
        upgrade_headers(call.target, token="not-our-token"),
        upgrade_headers(call.target, public_url="http://bridge.example.org/phone"),  # ws, not wss
        upgrade_headers(call.target, public_url="https://evil.example.org/phone"),
    ]
    for headers in wrong:
        assert await knock(bench.service.ws_url, call.target, headers) == 403
    http = {"x-twilio-signature": _signed_as_http(call.target)}
    assert await knock(bench.service.ws_url, call.target, http) == 403


def _signed_as_http(target: str) -> str:
    signature: str = RequestValidator(AUTH_TOKEN).compute_signature(PUBLIC_URL + target, {})
    return signature


@pytest.mark.parametrize(
    "variant", ["slash", "secondary token", "port in the signature", "slash and secondary token"]
)
async def test_every_signature_that_twilio_makes_is_let_in(bench: Bench, variant: str) -> None:
    call = await bench.announce("twilio")
    token = {"token": SECONDARY_TOKEN} if "secondary" in variant else {}
    url = {"public_url": "https://bridge.example.org:443/phone"} if "port" in variant else {}
    headers = upgrade_headers(call.target, slash="slash" in variant, **token, **url)
    assert await knock(bench.service.ws_url, call.target, headers) == 101


@both
async def test_a_token_is_worth_nothing_once_its_call_is_over(bench: Bench, carrier: str) -> None:
    async with bench.talking(carrier) as (call, _):
        pass
    assert await knock(bench.service.ws_url, call.target, headers_for(carrier, call.target)) == 403


@both
async def test_a_token_is_worth_nothing_once_its_stream_has_stopped(
    bench: Bench, carrier: str
) -> None:
    async with bench.talking(carrier) as (call, opened):
        await opened.stop()
        await bench.noted(call.call_id, "stream.stopped")
        headers = headers_for(carrier, call.target)
        assert await knock(bench.service.ws_url, call.target, headers) == 403


@pytest.mark.parametrize("path", ["/twilio/stream", "/telnyx/stream", "/twilio/stream/", "/nobody"])
async def test_strangers_find_no_open_socket(bench: Bench, path: str) -> None:
    for headers in ({}, {"origin": "https://evil.example.org"}):
        assert await knock(bench.service.ws_url, path, headers) in (403, 404)


async def test_a_wrong_key_does_not_open_telnyxs_bare_socket(bench: Bench) -> None:
    for key in ("", "wrong", STREAM_KEY + "x", STREAM_KEY[:-1], f"Bearer {STREAM_KEY}"):
        headers = {"x-telnyx-streaming-auth-token": key}
        assert await knock(bench.service.ws_url, "/telnyx/stream", headers) == 403


# Sockets that nobody announced -------------------------------------------------------------------


@both
async def test_an_unannounced_call_begins_with_its_start(bench: Bench, carrier: str) -> None:
    sid = new_sid() if carrier == "twilio" else new_control_id()
    path = f"/{carrier}/stream"
    headers = upgrade_headers(path) if carrier == "twilio" else KEY
    own = {"agent": "parrot", "tier": "gold"}
    given = {"customParameters": own} if carrier == "twilio" else {"custom_parameters": own}
    async with line(bench.service.ws_url, path, carrier, sid, headers=headers) as opened:
        await opened.start(**given)
        call = await until(lambda: _call_named(bench, sid))
        assert (call["agent"], call["direction"], call["state"]) == ("parrot", "inbound", "bridged")
        await until(lambda: opened.media, "no greeting")
        await opened.stop()
    assert (await bench.ended(call["call_id"]))["end"]["outcome"] == "completed"
    types = await bench.story(call["call_id"])
    assert types[:3] == ["call.ringing", "call.answered", "stream.started"]
    assert types[-2:] == ["stream.stopped", "call.ended"]


async def _call_named(bench: Bench, provider_call_id: str) -> dict[str, Any] | None:
    calls: list[dict[str, Any]] = (await bench.api.get("/v1/calls?limit=100")).json()["calls"]
    mine = [c for c in calls if c["provider_call_id"] == provider_call_id]
    return mine[0] if mine and mine[0]["state"] == "bridged" else None


async def test_telnyxs_key_also_comes_with_an_announced_socket(bench: Bench) -> None:
    call = await bench.announce("telnyx")
    path = "/telnyx/stream"
    async with line(
        bench.service.ws_url, path, "telnyx", call.provider_call_id, headers=KEY
    ) as opened:
        await opened.start()
        assert (await bench.state(call.call_id, "bridged"))["call_id"] == call.call_id
        await bench.hang_up_line(call, opened)
    await bench.ended(call.call_id)


# `start` -----------------------------------------------------------------------------------------


@both
async def test_a_start_for_another_call_is_a_policy_violation(bench: Bench, carrier: str) -> None:
    call = await bench.announce(carrier)
    foreign = Announced(carrier, call.call_id, new_sid(), call.target)
    async with bench.socket(foreign) as opened:
        await opened.start()
        assert await opened.closed() == 1008
    async with bench.socket(call) as opened:  # the call itself is none the worse for it
        await opened.start()
        await bench.state(call.call_id, "bridged")
        await bench.hang_up_line(call, opened)
    await bench.ended(call.call_id)


@both
@pytest.mark.parametrize("says", ["nothing", "connected", "garbage"])
async def test_a_socket_without_a_start_is_closed(bench: Bench, carrier: str, says: str) -> None:
    call = await bench.announce(carrier)
    async with bench.socket(call) as opened:
        if says == "connected":
            await opened.send({"event": "connected", "version": "1.0.0"})
        if says == "garbage":
            for _ in range(20):
                await opened.socket.send("not json")
        assert await opened.closed() == 1008


@both
async def test_garbage_before_the_start_is_counted_and_logged_once(
    bench: Bench, carrier: str
) -> None:
    call = await bench.announce(carrier)
    before = await metric(bench, f'callbridge_malformed_messages_total{{provider="{carrier}"}}')
    lines = len(_malformed_lines(bench))
    async with bench.socket(call) as opened:
        for _ in range(7):
            await opened.socket.send("{")
        await opened.start()
        await bench.state(call.call_id, "bridged")
        await opened.socket.send("{")
        await bench.hang_up_line(call, opened)
    await bench.ended(call.call_id)
    after = await metric(bench, f'callbridge_malformed_messages_total{{provider="{carrier}"}}')
    assert after - before == 8
    assert len(_malformed_lines(bench)) - lines <= 2


def _malformed_lines(bench: Bench) -> list[str]:
    return [row for row in bench.service.log().splitlines() if "alformed" in row]


async def test_the_socket_of_a_ringing_telnyx_call_may_wait(bench: Bench) -> None:
    placed = await bench.place("telnyx")
    [order] = [
        body
        for _, body in bench.rest.asked
        if body.get("to") == placed["to"] and placed["call_id"] in body.get("stream_url", "")
    ]
    sid = placed["provider_call_id"]
    call = Announced("telnyx", placed["call_id"], sid, target_of(order["stream_url"]))
    assert order["stream_auth_token"] == call.target.rpartition("/")[2]
    ringing = telnyx_event("call.initiated", sid, direction="outgoing", state="bridging")
    await bench.carrier.telnyx(ringing)
    async with bench.socket(call) as opened:
        await opened.send({"event": "connected", "version": "1.0.0"})
        with pytest.raises(TimeoutError):  # twice the time that a start may take
            async with asyncio.timeout(1.7):
                await opened.socket.wait_closed()
        await bench.carrier.telnyx(telnyx_event("call.answered", sid))
        await opened.start()
        await bench.state(call.call_id, "bridged")
        await opened.say(TONE)
        await until(lambda: TONE in opened.heard)
        await bench.hang_up_line(call, opened)
    await bench.ended(call.call_id)
    assert await bench.story(call.call_id) == [
        *("call.queued", "call.ringing", "call.answered"),
        *("stream.started", "turn.agent", "stream.stopped", "call.ended"),
    ]


async def test_after_the_answer_a_telnyx_start_is_not_waited_for_any_longer(bench: Bench) -> None:
    placed = await bench.place("telnyx")
    sid = placed["provider_call_id"]
    [url] = [
        body["stream_url"]
        for _, body in bench.rest.asked
        if placed["call_id"] in body.get("stream_url", "")
    ]
    call = Announced("telnyx", placed["call_id"], sid, target_of(url))
    async with bench.socket(call) as opened:
        await bench.carrier.telnyx(telnyx_event("call.answered", sid))
        assert await opened.closed() == 1008


# Sockets that come and go ------------------------------------------------------------------------


@both
async def test_a_second_socket_takes_the_place_of_the_first(bench: Bench, carrier: str) -> None:
    async with bench.talking(carrier, "?agent=parrot") as (call, first):
        await until(lambda: first.media, "no greeting")
        await _say_silence_until_quiet(first)
        async with bench.socket(call) as second:
            await second.start()
            assert await first.closed() == 1000
            await second.say(SILENCE * 50)
            assert await bench.state(call.call_id, "bridged")
            answer = await bench.api.post(
                f"/v1/calls/{call.call_id}/say", json={"text": "Still here."}
            )
            assert answer.status_code == 202
            await until(lambda: second.media, "the agent fell silent")
            await _heard_out(bench, call, 2)
            await bench.hang_up_line(call, second)
    await bench.ended(call.call_id)
    turns = (await bench.api.get(f"/v1/calls/{call.call_id}/transcript")).json()["turns"]
    assert [turn["text"] for turn in turns] == ["Hello there.", "Still here."]
    types = await bench.story(call.call_id)
    assert types.count("stream.started") == types.count("stream.stopped") == 1
    assert types.count("call.answered") == types.count("call.ended") == 1


async def _say_silence_until_quiet(opened: Line) -> None:
    """The person listens until the agent has been quiet for a moment."""
    told = -1
    while told != len(opened.media):
        told = len(opened.media)
        await opened.say(SILENCE * (300 // FRAME_MS), paced=True)


async def _heard_out(bench: Bench, call: Announced, turns: int) -> None:
    async def told() -> bool:
        return (await bench.story(call.call_id)).count("turn.agent") >= turns

    await until(told, "the turn never ends")


@both
async def test_a_lost_socket_may_come_back_in_time(bench: Bench, carrier: str) -> None:
    async with bench.talking(carrier) as (call, first):
        first.socket.transport.abort()  # the network died
        if carrier == "twilio":
            form = twilio_form(call.provider_call_id, CallStatus="in-progress")
            target = f"/twilio/connect-done?call_id={call.call_id}"
            answer = await bench.carrier.twilio(target, form)
            assert target_of(answer.text.split('<Stream url="')[1].split('"')[0]) == call.target
        async with bench.socket(call) as second:
            await second.start()
            await second.say(TONE)
            await until(lambda: TONE in second.heard)
            await bench.hang_up_line(call, second)
    end = (await bench.ended(call.call_id))["end"]
    assert (end["outcome"], end["ended_by"]) == ("completed", "caller")


@both
async def test_a_socket_that_does_not_come_back_ends_the_call(bench: Bench, carrier: str) -> None:
    async with bench.talking(carrier) as (call, opened):
        opened.socket.transport.abort()
        end = (await bench.ended(call.call_id))["end"]
    assert (end["outcome"], end["ended_by"]) == ("carrier_failed", "carrier")
    orders = bench.rest.orders_to(call.provider_call_id)
    if carrier == "telnyx":
        assert [action for action, _ in orders if action == "hangup"], "the line stays open"
    types = await bench.story(call.call_id)
    assert types[-2:] == ["stream.stopped", "call.ended"]


@both
async def test_an_announced_call_whose_socket_never_comes_was_not_answered(
    bench: Bench, carrier: str
) -> None:
    call = await bench.announce(carrier)
    end = (await bench.ended(call.call_id))["end"]
    assert (end["outcome"], end["ended_by"]) == ("no_answer", "caller")


# Messages ----------------------------------------------------------------------------------------


@both
async def test_a_message_too_long_closes_with_1009(bench: Bench, carrier: str) -> None:
    async with bench.talking(carrier) as (_, opened):
        await opened.socket.send("x" * 65_537)
        assert await opened.closed() == 1009


@both
async def test_the_longest_message_allowed_is_taken(bench: Bench, carrier: str) -> None:
    async with bench.talking(carrier) as (_, opened):
        await opened.socket.send(json.dumps({"event": "connected"}).ljust(65_536))
        await opened.say(TONE)
        await until(lambda: TONE in opened.heard)


NONSENSE: list[str | bytes] = [
    "",
    "not json",
    "null",
    "[]",
    "5",
    "{}",
    '{"event":null}',
    '{"event":"media"}',
    '{"event":"tea"}',
    '{"event":"media","media":{}}',
    "[" * 5000,
    '{"event":' * 3000,
    b"\x00\xff\x00",
    b'{"event":"stop"}',
    "\x00",
    '{"event":"\\ud800"}',
]


def broken_frames(opened: Line) -> list[str]:
    sid = {"twilio": "streamSid", "telnyx": "stream_id"}[opened.carrier]
    media = {"track": "inbound", "chunk": "1", "timestamp": "155", "payload": "//8="}
    bodies = [
        {**media, "payload": "no base64!"},
        {**media, "chunk": "x"},
        {**media, "chunk": "-1", "payload": 7},
        {**media, "chunk": "9" * 400},
        {**media, "chunk": "1e400"},
    ]
    frames = [{"event": "media", sid: opened.stream_id, "media": body} for body in bodies]
    frames.append({"event": "media", sid: "another", "media": media})
    frames.append({"event": "dtmf", sid: opened.stream_id, "dtmf": {"digit": "55"}})
    frames.append({"event": "mark", sid: opened.stream_id, "mark": {}})
    if opened.carrier == "twilio":  # the other one's times are not even looked at
        body = {**media, "timestamp": "9" * 400}
        frames.append({"event": "media", sid: opened.stream_id, "media": body})
    return [json.dumps(frame) for frame in frames]


@both
async def test_nonsense_is_counted_and_logged_once_and_the_call_goes_on(
    bench: Bench, carrier: str
) -> None:
    name = f'callbridge_malformed_messages_total{{provider="{carrier}"}}'
    before, lines = await metric(bench, name), len(_malformed_lines(bench))
    async with bench.talking(carrier) as (call, opened):
        messages = [*NONSENSE, *broken_frames(opened)]
        for message in messages:
            await opened.socket.send(message)
        await opened.tell("mark", {"name": "never-sent"})
        await opened.say(TONE)
        await until(lambda: TONE in opened.heard, "the call did not go on")
        assert await metric(bench, name) - before == len(messages)
        logged = _malformed_lines(bench)[lines:]
        assert len(logged) == 1
        assert call.call_id in logged[0]


@both
async def test_frames_out_of_order_and_twice_are_put_right(bench: Bench, carrier: str) -> None:
    sounds = [bytes([0x20 + n]) * 160 for n in range(10)]
    async with bench.talking(carrier) as (_, opened):
        for n in (1, 0, 2, 2, 4, 3, 5, 1, 6, 8, 7, 9):
            await opened.tell(
                "media",
                {
                    "track": "inbound",
                    "chunk": str(n + 1),
                    "timestamp": str(155 + 20 * n),
                    "payload": base64.b64encode(sounds[n]).decode(),
                },
            )
        await until(lambda: len(opened.heard) >= 1600)
        assert opened.heard == b"".join(sounds)


async def test_telnyxs_second_start_on_the_same_socket_is_no_second_call(bench: Bench) -> None:
    async with bench.talking("telnyx", "?agent=parrot") as (call, opened):
        await opened.start()
        await opened.say(SILENCE * 100, paced=True)
        types = await bench.story(call.call_id)
        assert types.count("stream.started") == 1
    turns = (await bench.api.get(f"/v1/calls/{call.call_id}/transcript")).json()["turns"]
    assert [turn["text"] for turn in turns] == ["Hello there."]


async def test_telnyxs_error_frames_are_faults(bench: Bench) -> None:
    async with bench.talking("telnyx") as (call, opened):
        error = {"code": 100004, "title": "invalid_media", "detail": "+14155550100 said"}
        await opened.send({"event": "error", "stream_id": opened.stream_id, "payload": error})
        fault = await bench.noted(call.call_id, "fault")
        assert fault["data"] == {"code": "telnyx.100004", "detail": "invalid_media"}


# Streams of another kind -------------------------------------------------------------------------


async def test_a_law_comes_in_and_mu_law_goes_out(bench: Bench) -> None:
    call = await bench.announce("telnyx")
    pcm = Converter(PCMU_8K, PCM16_8K).convert(TONE)
    a_law = Converter(PCM16_8K, MediaFormat(Encoding.PCMA)).convert(pcm)
    async with bench.socket(call) as opened:
        await opened.start(media_format={"encoding": "PCMA", "sample_rate": 8000, "channels": 1})
        await opened.say(a_law)
        await until(lambda: len(opened.heard) >= len(TONE))
        expected = Converter(MediaFormat(Encoding.PCMA), PCMU_8K).convert(a_law)
        assert opened.heard[: len(TONE)] == expected
        await bench.hang_up_line(call, opened)
    await bench.ended(call.call_id)


@both
async def test_a_stream_in_a_format_nobody_knows_is_closed(bench: Bench, carrier: str) -> None:
    call = await bench.announce(carrier)
    theirs = {"encoding": "audio/opus", "sampleRate": 48_000, "channels": 2}
    ours = {"encoding": "OPUS", "sample_rate": 48_000, "channels": 2}
    async with bench.socket(call) as opened:
        if carrier == "twilio":
            await opened.start(mediaFormat=theirs)
        else:
            await opened.start(media_format=ours)
        assert await opened.closed() == 1008


@both
async def test_an_unannounced_stream_of_a_call_that_is_over_is_closed(
    bench: Bench, carrier: str
) -> None:
    async with bench.talking(carrier) as (call, _):
        pass
    path = f"/{carrier}/stream"
    headers = upgrade_headers(path) if carrier == "twilio" else KEY
    sid = call.provider_call_id
    async with line(bench.service.ws_url, path, carrier, sid, headers=headers) as opened:
        await opened.start()
        assert await opened.closed() == 1008
    assert (await bench.story(call.call_id))[-1] == "call.ended"


# Two instances -----------------------------------------------------------------------------------


@both
async def test_another_instance_acts_on_the_call_and_takes_it_over(
    bench: Bench, neighbour: Process, carrier: str
) -> None:
    async with bench.talking(carrier, "?agent=parrot") as (call, first):
        await _heard_out_by(first, bench, call, 1)
        told = len(first.heard)
        owner = bench.redis.hget(f"callbridge:call:{call.call_id}", "owner")
        async with httpx.AsyncClient(base_url=neighbour.url, headers=bench.api.headers) as there:
            path = f"/v1/calls/{call.call_id}"
            assert (
                await there.post(f"{path}/say", json={"text": "One moment."})
            ).status_code == 202
            await until(lambda: len(first.heard) > told + 800, "not heard through the neighbour")
            await _heard_out_by(first, bench, call, 2)
            async with line(
                neighbour.ws_url, call.target, carrier, call.provider_call_id
            ) as second:
                await second.start()
                assert await first.closed() == 1000
                key = f"callbridge:call:{call.call_id}"
                await until(lambda: bench.redis.hget(key, "owner") != owner, "not taken over")
                await bench.api.post(f"{path}/say", json={"text": "Still here."})
                await until(lambda: len(second.heard) > 800, "the second instance is mute")
                assert (await there.post(f"{path}/hangup")).status_code == 202
                assert await second.closed() == 1000
        end = (await bench.ended(call.call_id))["end"]
    assert (end["outcome"], end["ended_by"]) == ("completed", "api")
    types = await bench.story(call.call_id)
    assert types.count("stream.started") == types.count("stream.stopped") == 1
    assert types[-2:] == ["stream.stopped", "call.ended"]
    turns = (await bench.api.get(f"/v1/calls/{call.call_id}/transcript")).json()["turns"]
    assert [t["text"] for t in turns] == ["Hello there.", "One moment.", "Still here."]


async def _heard_out_by(opened: Line, bench: Bench, call: Announced, turns: int) -> None:
    while (await bench.story(call.call_id)).count("turn.agent") < turns:
        await opened.say(SILENCE * 10, paced=True)


async def test_a_bare_socket_of_a_call_that_goes_on_is_let_in_though_the_house_is_full(
    open_service: Process,
) -> None:
    path = "/telnyx/stream"
    async with httpx.AsyncClient(base_url=open_service.url) as http:

        async def bridged() -> bool:
            return bool((await http.get("/v1/calls?state=bridged")).json()["calls"])

        async def room() -> bool:
            return "callbridge_calls_live 0.0" in (await http.get("/metrics")).text

        await until(room)
        sid = new_control_id()
        async with line(open_service.ws_url, path, "telnyx", sid, headers=KEY) as first:
            await first.start()
            await until(bridged)
            async with line(open_service.ws_url, path, "telnyx", sid, headers=KEY) as again:
                await again.start()
                assert await first.closed() == 1000
                await again.say(b"\x22" * 1600)
                await until(lambda: len(again.heard) >= 1600, "the conversation does not go on")
                other = new_control_id()
                async with line(
                    open_service.ws_url, path, "telnyx", other, headers=KEY
                ) as stranger:
                    await stranger.start()
                    assert await stranger.closed() == 1008
                calls = (await http.get("/v1/calls")).json()["calls"]
                assert other not in {call["provider_call_id"] for call in calls}
                await again.stop()
        await until(room)
        assert await knock(open_service.ws_url, path, KEY) == 101
