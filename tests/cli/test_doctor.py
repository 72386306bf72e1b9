"""`callbridge doctor` as a whole: what it prints and how it leaves."""

import json
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from providers.base import Finding
from service.cli import doctor
from service.settings import Settings
from tests.cli.live_server import serving

PUBLIC = "https://bridge.example.org"
SECRETS = {
    "CALLBRIDGE_API_KEYS": "ops=s3cret-1",
    "TWILIO_AUTH_TOKEN": "s3cret-2",
    "TELNYX_API_KEY": "s3cret-3",
    "OPENAI_API_KEY": "s3cret-4",
}
CARRIERS = SECRETS | {
    "CALLBRIDGE_PUBLIC_URL": PUBLIC,
    "TWILIO_ACCOUNT_SID": "AC99",
    "TELNYX_PUBLIC_KEY": "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg=",
    "TELNYX_CONNECTION_ID": "1000000000000000001",
}
ANSWERS = {
    "/healthz": {"status": "ok"},
    "/v1/models": {"object": "list", "data": []},
    "/2010-04-01/Accounts/AC99.json": {"sid": "AC99", "status": "active", "type": "Full"},
    "/2010-04-01/Accounts/AC99/IncomingPhoneNumbers.json": {
        "incoming_phone_numbers": [
            {"phone_number": "+14155550123", "voice_url": f"{PUBLIC}/twilio/voice"}
        ]
    },
    "/v2/call_control_applications/1000000000000000001": {
        "data": {
            "active": True,
            "webhook_api_version": "2",
            "webhook_event_url": f"{PUBLIC}/telnyx/webhook",
            "outbound": {"outbound_voice_profile_id": "7"},
        }
    },
    "/v2/phone_numbers": {"data": [{"phone_number": "+15550100001", "status": "active"}]},
}


def world(request: httpx.Request) -> httpx.Response:
    """Everything as it should be."""
    date = {"date": format_datetime(datetime.now(UTC), usegmt=True)}
    return httpx.Response(200, headers=date, json=ANSWERS[request.url.path])


@pytest.fixture(autouse=True)
def _fresh_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder with one agent, and no settings of whoever runs this."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "one.yaml").write_text("name: one\nengine: echo\ngreeting: Hello.\n")


async def examined(
    env: dict[str, str], reply: httpx.MockTransport
) -> tuple[bool, list[tuple[str, Finding]]]:
    found: list[tuple[str, Finding]] = []
    well = await doctor.examine(
        env, lambda part, finding: found.append((part, finding)), transport=reply
    )
    return well, found


async def test_a_service_that_is_ready_for_both_carriers() -> None:
    well, found = await examined(CARRIERS, httpx.MockTransport(world))
    assert [(part, f.what) for part, f in found if f.grade == "fail"] == []
    assert well
    parts = ["settings", "api keys", "agents", "carriers", "public url", "redis", "engine"]
    assert list(dict.fromkeys(part for part, _ in found)) == [
        *parts,
        "openai",
        "twilio",
        "telnyx",
    ]


async def test_a_carrier_that_is_away_does_not_hide_the_other() -> None:
    def half(request: httpx.Request) -> httpx.Response:
        if request.url.host == "api.twilio.com":
            raise httpx.ConnectTimeout("slow", request=request)
        return world(request)

    well, found = await examined(CARRIERS, httpx.MockTransport(half))
    assert not well
    assert {part for part, finding in found if finding.grade == "fail"} == {"twilio"}
    assert any(part == "telnyx" for part, _ in found)


async def test_every_fault_of_the_settings_is_told_at_once() -> None:
    env = {
        "CALLBRIDGE_MAX_CALLS": "many",
        "CALLBRIDGE_PUBLIC_URL": "bridge",
        "REDIS_URL": "mysql://",
    }
    well, found = await examined(env, httpx.MockTransport(world))
    assert not well
    told = [finding.what for part, finding in found if part == "settings"]
    assert [fault.partition(":")[0] for fault in told] == [
        "CALLBRIDGE_PUBLIC_URL",
        "REDIS_URL",
        "CALLBRIDGE_MAX_CALLS",
    ]


@pytest.mark.parametrize("port", ["99999", "0", "port"])
async def test_a_port_that_is_none_is_a_fault_of_the_settings(port: str) -> None:
    env = CARRIERS | {"CALLBRIDGE_PUBLIC_URL": f"https://bridge.example.org:{port}"}
    well, ((part, fault),) = await examined(env, httpx.MockTransport(world))
    assert not well
    assert part == "settings"
    assert "CALLBRIDGE_PUBLIC_URL" in fault.what


async def test_a_malformed_public_key_is_a_fault_of_the_settings() -> None:
    env = CARRIERS | {"TELNYX_PUBLIC_KEY": "s3cret"}
    well, found = await examined(env, httpx.MockTransport(world))
    assert not well
    (fault,) = [finding for part, finding in found if finding.grade == "fail"]
    assert "TELNYX_PUBLIC_KEY" in fault.what
    assert "s3cret" not in fault.what


async def test_a_url_that_is_none_is_a_fault_of_the_settings() -> None:
    env = {"OPENAI_API_KEY": "sk", "OPENAI_BASE_URL": "http://host:port/v1"}
    well, found = await examined(env, httpx.MockTransport(world))
    assert not well
    assert [part for part, finding in found if finding.grade == "fail"] == ["settings"]


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_no_secret_and_no_whole_number_is_printed(
    form: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ready(env: object, show: doctor.Show) -> bool:
        return await examine(CARRIERS, show, transport=httpx.MockTransport(world))

    examine = doctor.examine
    monkeypatch.setattr(doctor, "examine", ready)
    assert doctor.main(form) == 0
    shown = capsys.readouterr().out
    assert "+14…23 comes here" in shown
    assert "+15…01 comes here" in shown
    for secret in ("s3cret", "4155550123", "5550100001"):
        assert secret not in shown


async def _well(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


HEALTHY = Starlette(routes=[Route("/healthz", _well)])


def test_a_fresh_machine_with_a_running_service_is_fine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(HEALTHY) as url:
        monkeypatch.setenv("CALLBRIDGE_PUBLIC_URL", url)
        assert doctor.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == {"ok", "note", "off"}


def test_a_service_that_does_not_run_is_a_failure_a_machine_can_read(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(HEALTHY) as url:
        monkeypatch.setenv("CALLBRIDGE_PUBLIC_URL", url)
    assert doctor.main(["--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (fault,) = [line for line in lines if line["result"] == "fail"]
    assert fault["part"] == "public url"
    assert fault["advice"]
    assert {tuple(line) for line in lines} == {("part", "result", "what", "advice")}


@pytest.mark.parametrize("arguments", [["--jsno"], ["now"]])
def test_called_wrongly(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        doctor.main(arguments)
    assert left.value.code == 2
