"""A call of a running service, recorded into a file: it can be shown, and played again."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import httpx

from service.cassettes import files
from service.cassettes.cassette import Cassette, encode
from service.replay import virtual
from service.replay.diff import OVER_A_NETWORK, compare
from service.replay.playing import play_inside
from service.replay.stage import ACCOUNT_SID, AUTH_TOKEN, ENVIRONMENT, PUBLIC_URL, open_stage
from service.twin.behaviour import Outcome
from service.twin.caller import HangUp, Silence
from service.twin.record import CallRecord
from service.twin.socket import Socket, dial_network
from service.twin.twilio import TwilioTwin
from tests.service.process import Process, running

AGENT = """\
name: default
engine: offline
greeting: "Good morning."
record_cassette: true
"""
DIALLED, CALLING = "+14155550123", "+14155550100"


async def _call(process: Process) -> CallRecord:
    """Somebody calls, hears the greeting, and hangs up."""

    async def dial(url: str, headers: Mapping[str, str]) -> Socket:
        return await dial_network(
            url.replace(PUBLIC_URL.replace("http", "ws"), process.ws_url), headers
        )

    async def to_process(request: httpx.Request) -> None:
        request.url = request.url.copy_with(port=process.port)

    async with httpx.AsyncClient(event_hooks={"request": [to_process]}) as http:
        twin = TwilioTwin(
            http,
            dial,
            account_sid=ACCOUNT_SID,
            auth_token=AUTH_TOKEN,
            voice_url=f"{PUBLIC_URL}/twilio/voice",
            status_url=f"{PUBLIC_URL}/twilio/status",
        )
        return await twin.call(DIALLED, CALLING, [Silence(2500), HangUp()])


def _only(folder: Path, provider: str = "twilio") -> Cassette:
    (path,) = folder.glob(f"{provider}-call_*.jsonl.zst")
    return files.read(path)


def test_a_call_of_a_running_service_is_a_cassette_that_replays(tmp_path: Path) -> None:
    agents, cassettes = tmp_path / "agents", tmp_path / "cassettes"
    agents.mkdir()
    (agents / "default.yaml").write_text(AGENT)
    settings = {"CALLBRIDGE_AGENTS": str(agents), "CALLBRIDGE_CASSETTES": str(cassettes)}
    with running({**ENVIRONMENT, **settings}) as process:
        called = asyncio.run(_call(process))
        process.terminate()
        assert process.wait() == 0
        log = process.log()
    assert called.warnings == []
    assert "Cassette written" in log
    cassette = _only(cassettes)
    assert cassette.header.redacted
    text = b"".join(map(encode, cassette.lines)).decode()
    for told in (DIALLED, CALLING, called.call_id):
        assert told.removeprefix("+") not in text
    assert {line.lane for line in cassette.lines} == {"webhook", "stream", "engine", "store"}
    played = play_inside(cassette, agents=agents)
    assert [str(found) for found in compare(cassette.lines, played, OVER_A_NETWORK)] == []


def test_a_placed_call_is_recorded_when_its_order_says_so(tmp_path: Path) -> None:
    agents = tmp_path / "agents"
    agents.mkdir()
    (agents / "default.yaml").write_text(AGENT.replace("true", "false"))
    order = {"provider": "telnyx", "to": CALLING, "from": DIALLED, "record_cassette": True}

    async def story() -> None:
        settings = {"CALLBRIDGE_CASSETTES": str(tmp_path)}
        async with open_stage(agents=agents, settings=settings) as stage:
            steps = (Silence(1500), HangUp())
            stage.telnyx.default_outcome = Outcome(ring_ms=500, steps=steps)
            for body in (order, order | {"record_cassette": False}):
                placed = await stage.http.post(
                    "/v1/calls", json=body | {"metadata": {"who": "Ana"}}
                )
                assert placed.status_code == 201
            await stage.telnyx.settle()

    virtual.run(story())
    cassette = _only(tmp_path, "telnyx")
    ordered = cassette.header.order
    assert ordered is not None
    assert ordered["to"] == "+15550100001"
    assert ordered["metadata"]["who"] != "Ana"
    assert {line.lane for line in cassette.lines} == {
        "webhook",
        "stream",
        "rest",
        "engine",
        "store",
    }
    assert compare(cassette.lines, play_inside(cassette, agents=agents)) == []
