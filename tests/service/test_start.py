"""Starting and stopping the service: what it refuses to start with, and how it goes."""

import asyncio
import json
import signal
import socket
from pathlib import Path

import httpx
import pytest
from redis import Redis

from tests.redis_server import RedisServer
from tests.service.carriers import (
    Caller,
    knock,
    line,
    new_sid,
    target_of,
    twilio_form,
    until,
    upgrade_headers,
)
from tests.service.process import Process, free_port, refused, running
from tests.service.rest_api import ACCOUNT, AUTH_TOKEN, RestApi


def test_all_faults_of_the_settings_are_told_at_once() -> None:
    done = refused(
        {
            "CALLBRIDGE_PUBLIC_URL": "ftp://x",
            "CALLBRIDGE_API_KEYS": "nosecret",
            "CALLBRIDGE_MAX_CALLS": "many",
            "CALLBRIDGE_LEASE_MS": "99999",
            "CALLBRIDGE_LEAD_MS": "-1",
            "CALLBRIDGE_INSECURE": "perhaps",
            "REDIS_URL": "mysql://x",
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_API_KEY_SECRET": "hidden-secret",
            "TELNYX_API_KEY": "another-secret",
        }
    )
    assert done.returncode == 2
    for name in (
        *("CALLBRIDGE_PUBLIC_URL", "CALLBRIDGE_API_KEYS", "CALLBRIDGE_MAX_CALLS"),
        *("CALLBRIDGE_LEASE_MS", "CALLBRIDGE_LEAD_MS", "CALLBRIDGE_INSECURE", "REDIS_URL"),
        *("TWILIO_AUTH_TOKEN", "TWILIO_API_KEY_SID", "TELNYX_PUBLIC_KEY", "TELNYX_CONNECTION_ID"),
    ):
        assert name in done.stderr, f"{name} is not told of:\n{done.stderr}"
    assert "secret" not in done.stderr.replace("name=secret", "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("settings", "arguments", "names"),
    [
        ({"CALLBRIDGE_INSECURE": "true"}, ("--host", "0.0.0.0"), "CALLBRIDGE_INSECURE"),
        ({"CALLBRIDGE_INSECURE": "true"}, ("--host", "::"), "CALLBRIDGE_INSECURE"),
        ({}, ("--workers", "2"), "REDIS_URL"),
        ({}, ("--workers", "0"), "--workers"),
        ({}, ("--workers", "-3"), "--workers"),
        ({}, ("--port", "99999"), "--port"),
        ({}, ("--port", "-1"), "--port"),
        ({}, ("--port", "http"), "--port"),
        ({}, ("--colour", "red"), "--colour"),
        ({"CALLBRIDGE_AGENTS": "/nowhere/at/all"}, (), "/nowhere/at/all"),
        (
            {"TELNYX_API_KEY": "k", "TELNYX_PUBLIC_KEY": "short", "TELNYX_CONNECTION_ID": "1"},
            (),
            "TELNYX_PUBLIC_KEY",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(
    settings: dict[str, str], arguments: tuple[str, ...], names: str
) -> None:
    port = () if "--port" in arguments else ("--port", str(free_port()))
    done = refused(settings, *port, *arguments)
    assert done.returncode == 2, done.stderr
    assert names in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_told_of() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = refused({}, "--port", str(port))
    assert done.returncode == 1
    assert str(port) in done.stderr
    assert "Traceback" not in done.stderr


def test_without_its_redis_the_service_does_not_start() -> None:
    url = f"redis://user:redis-password@127.0.0.1:{free_port()}/0"
    done = refused({"REDIS_URL": url}, "--port", str(free_port()))
    assert done.returncode == 1
    assert "Redis" in done.stderr
    assert "REDIS_URL" in done.stderr
    assert "password" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_newcomer_needs_no_setting_at_all() -> None:
    with running({}) as process:
        assert httpx.get(f"{process.url}/healthz").json() == {"status": "ok"}
        assert httpx.get(f"{process.url}/v1/calls").json() == {"calls": [], "next_cursor": None}
        assert httpx.get(f"{process.url}/").status_code == 200
        log = process.log()
        process.terminate()
        assert process.wait() in (0, -signal.SIGTERM)
    assert "forgets" in log
    assert "No API key" in log


def test_an_engine_that_is_not_here_is_logged_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\nengine: openai-pipeline\ngreeting: Hello.\n")
    with running({"CALLBRIDGE_AGENTS": str(tmp_path), "CALLBRIDGE_LOG_FORMAT": "json"}) as process:
        told = [line for line in process.log().splitlines() if "openai-pipeline" in line]
    assert len(told) == 1
    assert f"{tmp_path / 'a.yaml'}:2" in told[0]


async def test_insecure_means_unsigned_but_not_unannounced(
    carrier_settings: dict[str, str],
) -> None:
    settings = carrier_settings | {"CALLBRIDGE_INSECURE": "true"}
    with running(settings | {"CALLBRIDGE_PUBLIC_URL": "http://localhost:8080"}) as process:
        async with httpx.AsyncClient(base_url=process.url) as http:
            answer = await http.post("/twilio/voice", data=twilio_form(new_sid()))
            assert answer.status_code == 200
            url = answer.text.split('<Stream url="')[1].split('"')[0]
            assert url.startswith("ws://localhost:8080/twilio/stream/")
            target = target_of(url, "http://localhost:8080")
        assert await knock(process.ws_url, target) == 101
        assert await knock(process.ws_url, target + "x") == 403
        assert "CALLBRIDGE_INSECURE" in process.log()


async def test_a_service_without_carriers_has_none_of_their_doors() -> None:
    with running({}) as process:
        async with httpx.AsyncClient(base_url=process.url) as http:
            assert (await http.post("/twilio/voice", data={"CallSid": "CA1"})).status_code == 404
            assert (await http.post("/telnyx/webhook", content=b"{}")).status_code == 404
        for path in ("/twilio/stream", "/telnyx/stream", "/telnyx/stream/x"):
            assert await knock(process.ws_url, path) in (403, 404)


PUBLIC = "http://127.0.0.1:8080"


@pytest.fixture
def settings(agents: object) -> dict[str, str]:
    return {
        "CALLBRIDGE_AGENTS": str(agents),
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWILIO_API_BASE": f"http://127.0.0.1:{free_port()}",
        "CALLBRIDGE_MAX_LOOP_LAG_MS": "10000",
    }


async def test_told_to_stop_it_lets_live_calls_end_and_takes_no_more(
    settings: dict[str, str],
) -> None:
    with running(settings) as process:
        async with httpx.AsyncClient(base_url=process.url) as http:
            carrier = Caller(http, PUBLIC)
            sid = new_sid()
            target = await announce(carrier, sid)
            headers = upgrade_headers(target, public_url=PUBLIC)
            async with line(process.ws_url, target, "twilio", sid, headers=headers) as opened:
                await opened.start()
                await until(lambda: _bridged(http))
                process.terminate()
                await until(lambda: _draining(http))
                refusal = await carrier.twilio("/twilio/voice", twilio_form(new_sid()))
                assert "<Reject" in refusal.text
                await opened.say(b"\x22" * 1600)
                await until(lambda: len(opened.heard) >= 1600, "a live call is cut off")
                assert process.running()
                await opened.stop()
            code = await asyncio.to_thread(process.wait)
            assert code in (0, -signal.SIGTERM)


async def test_a_call_that_outlasts_the_drain_is_hung_up(settings: dict[str, str]) -> None:
    with running(settings | {"CALLBRIDGE_DRAIN_SECONDS": "1"}) as process:
        async with httpx.AsyncClient(base_url=process.url) as http:
            carrier = Caller(http, PUBLIC)
            sid = new_sid()
            target = await announce(carrier, sid)
            headers = upgrade_headers(target, public_url=PUBLIC)
            async with line(process.ws_url, target, "twilio", sid, headers=headers) as opened:
                await opened.start()
                await until(lambda: _bridged(http))
                process.terminate()
                assert await opened.closed() in (1000, 1001, 1012)
            await asyncio.to_thread(process.wait)


async def test_told_to_stop_it_waits_for_the_socket_of_a_call_it_has_taken(
    settings: dict[str, str],
) -> None:
    with running(settings) as process:
        async with httpx.AsyncClient(base_url=process.url) as http:
            sid = new_sid()
            target = await announce(Caller(http, PUBLIC), sid)
            process.terminate()
            await until(lambda: _draining(http))
            headers = upgrade_headers(target, public_url=PUBLIC)
            async with line(process.ws_url, target, "twilio", sid, headers=headers) as opened:
                await opened.start()
                await opened.say(b"\x22" * 1600)
                await until(lambda: len(opened.heard) >= 1600, "nobody is there")
                await opened.stop()
            assert await asyncio.to_thread(process.wait) in (0, -signal.SIGTERM)


async def test_told_to_stop_it_leaves_nobody_on_a_line_whose_socket_does_not_come(
    carrier_settings: dict[str, str], redis_server: RedisServer, rest_api: tuple[RestApi, str]
) -> None:
    settings = {"REDIS_URL": redis_server.url, "CALLBRIDGE_DRAIN_SECONDS": "1"}
    with running(carrier_settings | settings) as process:
        async with httpx.AsyncClient(base_url=process.url) as http:
            sid = new_sid()
            assert (await Caller(http).twilio("/twilio/voice", twilio_form(sid))).status_code == 200
            order = {"provider": "telnyx", "to": "+14155550100", "from": "+14155550123"}
            rings = (await http.post("/v1/calls", json=order)).json()
            process.terminate()
            assert await asyncio.to_thread(process.wait) in (0, -signal.SIGTERM)
    for name, command in ((sid, f"{sid}.json"), (rings["provider_call_id"], "hangup")):
        assert [what for what, _ in rest_api[0].orders_to(name)] == [command]
    with Redis(port=redis_server.port, decode_responses=True) as redis:
        kept = redis.hgetall(f"callbridge:call:{rings['call_id']}")
        assert json.loads(kept["state"]) == "ended"
        assert json.loads(kept["end"])["cause"] == "shutdown"
        assert redis.zscore("callbridge:calls:live", rings["call_id"]) is None


async def announce(carrier: Caller, sid: str) -> str:
    answer = await carrier.twilio("/twilio/voice", twilio_form(sid))
    return target_of(answer.text.split('<Stream url="')[1].split('"')[0], PUBLIC)


async def _bridged(http: httpx.AsyncClient) -> bool:
    calls = (await http.get("/v1/calls?state=bridged")).json()["calls"]
    return bool(calls)


async def _draining(http: httpx.AsyncClient) -> bool:
    return (await http.get("/readyz")).status_code == 503


async def test_redis_away_is_told_within_ten_seconds_and_a_live_call_goes_on(
    settings: dict[str, str],
) -> None:
    redis = RedisServer()
    redis.start()
    try:
        with running(settings | {"REDIS_URL": redis.url}) as process:
            await _lose_redis(process, redis)
    finally:
        redis.remove()


async def _lose_redis(process: Process, redis: RedisServer) -> None:
    async with httpx.AsyncClient(base_url=process.url, timeout=15) as http:
        carrier = Caller(http, PUBLIC)
        sid = new_sid()
        target = await announce(carrier, sid)
        headers = upgrade_headers(target, public_url=PUBLIC)
        async with line(process.ws_url, target, "twilio", sid, headers=headers) as opened:
            await opened.start()
            await until(lambda: _bridged(http))
            await asyncio.to_thread(redis.stop)
            await until(lambda: _draining(http), "not told of", within_s=10)
            assert (await http.get("/healthz")).status_code == 200
            assert (await http.get("/v1/calls")).status_code == 503
            refused = await carrier.twilio("/twilio/voice", twilio_form(new_sid()))
            assert refused.status_code == 503
            await opened.say(b"\x33" * 1600)
            await opened.press("7")
            await until(lambda: len(opened.heard) >= 1600, "the live call fell silent")
            await asyncio.to_thread(redis.start)

            async def told() -> bool:
                answer = await http.get("/v1/events")
                events = answer.json().get("events", [])
                return "dtmf.received" in [event["type"] for event in events]

            await until(told, "what happened meanwhile is lost")
            await opened.stop()
