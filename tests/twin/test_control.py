"""The twin's own REST API: what a test in any language can do with it."""

import asyncio
import io
import json
import random
import wave
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from service.replay.virtual import VirtualLoop
from service.twin import control
from service.twin.control import Control
from service.twin.script import Sounds
from service.twin.socket import dial_app
from service.twin.telnyx import TelnyxTwin
from service.twin.twilio import TwilioTwin
from tests.twin import telnyx_bridge, twilio_bridge
from tests.twin.sounds import tone

_FROM_AFAR = ("203.0.113.7", 5000)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


async def _greet(phone: twilio_bridge.Phone | telnyx_bridge.Phone) -> None:
    await phone.next("start")
    await phone.play(tone(600))
    await phone.mark("greeting")
    await phone.until_closed()


def _speak(text: str) -> bytes:
    return tone(100 * len(text.split()))


class _Desk:
    """A twin with its control, and a client for it."""

    def __init__(
        self, carrier: str = "twilio", *, key: str = "", client: tuple[str, int] | None = None
    ) -> None:
        self.twilio = twilio_bridge.TwilioBridge(_greet)
        self.telnyx = telnyx_bridge.TelnyxBridge(_greet)
        self.twin = self._twilio() if carrier == "twilio" else self._telnyx()
        app = Control(self.twin, Sounds(_speak), key=key).app
        transport = httpx.ASGITransport(app, client=client or ("127.0.0.1", 4000))
        self.http = httpx.AsyncClient(transport=transport, base_url="http://twin.test")

    def _twilio(self) -> TwilioTwin:
        return TwilioTwin(
            httpx.AsyncClient(transport=httpx.ASGITransport(self.twilio.app)),
            dial_app(self.twilio.app),
            account_sid=twilio_bridge.SID,
            auth_token=twilio_bridge.TOKEN,
            voice_url=f"{twilio_bridge.BASE}/voice",
            chance=random.Random(7),
        )

    def _telnyx(self) -> TelnyxTwin:
        twin = TelnyxTwin(
            httpx.AsyncClient(transport=httpx.ASGITransport(self.telnyx.app)),
            dial_app(self.telnyx.app),
            api_key=telnyx_bridge.API_KEY,
            seed=telnyx_bridge.SEED,
            connection_id="1",
            webhook_url=f"{telnyx_bridge.BASE}/webhook",
            chance=random.Random(7),
        )
        self.telnyx.rest = httpx.AsyncClient(
            transport=httpx.ASGITransport(twin.app),
            base_url="http://telnyx.test",
            headers={"authorization": f"Bearer {telnyx_bridge.API_KEY}"},
        )
        return twin

    async def call(self, **order: Any) -> str:
        answer = await self.http.post("/_twin/calls", json=order)
        assert answer.status_code == 201, answer.text
        call_id: str = answer.json()["id"]
        return call_id

    async def read(self, call_id: str) -> dict[str, Any]:
        report: dict[str, Any] = (await self.http.get(f"/_twin/calls/{call_id}")).json()
        return report

    async def ended(self, call_id: str) -> dict[str, Any]:
        return await self.until(call_id, lambda report: report["state"] == "ended")

    async def until(self, call_id: str, come: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        for _ in range(600):
            if come(report := await self.read(call_id)):
                return report
            await asyncio.sleep(0.1)
        raise AssertionError("this did not happen within a minute")


@pytest.mark.parametrize("carrier", ["twilio", "telnyx"])
async def test_a_call_is_made_by_script_and_can_be_read(carrier: str) -> None:
    desk = _Desk(carrier)
    script = ["wait_for_agent", {"say": "hello there"}, {"press": "5"}, "hang_up"]
    call_id = await desk.call(script=script)
    report = await desk.ended(call_id)
    assert report["status"] in ("completed", "normal_clearing")
    assert [remark["kind"] for remark in report["caller"]] == ["says", "presses", "hangs_up"]
    assert [mark["name"] for mark in report["marks"]] == ["greeting"]
    assert all(webhook["status"] == 200 for webhook in report["webhooks"])
    heard = await desk.http.get(f"/_twin/calls/{call_id}/heard.wav")
    with wave.open(io.BytesIO(heard.content)) as sound:
        assert sound.getframerate() == 8000
        assert sound.getnframes() > 600 * 8
    lines = (await desk.http.get(f"/_twin/calls/{call_id}/lines")).text.splitlines()
    assert json.loads(lines[0])["lane"] == "webhook"


async def test_a_live_call_takes_more_steps_until_it_hangs_up() -> None:
    desk = _Desk()
    call_id = await desk.call(live=True)
    await desk.until(call_id, lambda report: bool(report["spoken"]))
    for step in ({"say": "one"}, {"say": "two"}, "hang_up"):
        more = await desk.http.post(f"/_twin/calls/{call_id}/steps", json=[step])
        assert more.status_code == 202
    report = await desk.ended(call_id)
    assert [remark["kind"] for remark in report["caller"]] == ["says", "says", "hangs_up"]
    late = await desk.http.post(f"/_twin/calls/{call_id}/steps", json=["hang_up"])
    assert late.status_code == 409


async def test_faults_and_delivery_are_a_calls_own() -> None:
    desk = _Desk()
    bad = await desk.call(script=["hang_up"], faults={"signature": "wrong_key"})
    assert (await desk.ended(bad))["webhooks"][0]["status"] == 403
    good = await desk.call(script=["wait_for_agent", "hang_up"], delivery={"copies": 3})
    report = await desk.ended(good)
    started = desk.twilio.told("/stream-status")
    assert report["webhooks"][0]["status"] == 200
    assert len(started) == 6  # started and stopped, three times each


async def test_what_the_carrier_does_not_take_is_in_the_log() -> None:
    async def babble(phone: twilio_bridge.Phone) -> None:
        await phone.next("start")
        await phone.send("hangup")
        await phone.until_closed()

    desk = _Desk()
    desk.twilio.talk = babble
    call_id = await desk.call(script=[{"silence": 200}, "hang_up"])
    await desk.ended(call_id)
    [entry] = (await desk.http.get("/_twin/log")).json()["log"]
    assert (entry["call"], entry["code"]) == (call_id, "31951")


async def test_what_becomes_of_placed_calls_is_chosen_by_number() -> None:
    desk = _Desk("telnyx")
    busy, failing = "+15550100007", "+15550100008"
    put = desk.http.put
    await put(f"/_twin/numbers/{busy}", json={"result": "busy", "ring_ms": 200})
    rest = {"kind": "status", "status": 429, "retry_after_s": 3}
    await put(f"/_twin/numbers/{failing}", json={"rest": rest})
    assert desk.telnyx.rest is not None
    order = {"connection_id": "1", "from": "+15550100002"}
    placed = await desk.telnyx.rest.post("/v2/calls", json=order | {"to": busy})
    refused = await desk.telnyx.rest.post("/v2/calls", json=order | {"to": failing})
    assert refused.status_code == 429
    assert refused.headers["x-ratelimit-reset"] == "3"
    report = await desk.ended(placed.json()["data"]["call_control_id"])
    assert report["status"] == "user_busy"


async def test_a_machine_may_pick_up_at_a_number_with_or_without_a_tone() -> None:
    desk = _Desk("telnyx")
    number = "+15550100007"
    order = {"machine": "machine", "beep": False, "greeting_ms": 2500}
    script = {"script": [{"silence": 4000}, "hang_up"]}
    await desk.http.put(f"/_twin/numbers/{number}", json=order | script)
    assert desk.telnyx.rest is not None
    dial = {"connection_id": "1", "from": "+15550100002", "to": number}
    placed = await desk.telnyx.rest.post(
        "/v2/calls", json=dial | {"answering_machine_detection": "greeting_end"}
    )
    await desk.ended(placed.json()["data"]["call_control_id"])
    [told] = desk.telnyx.told("call.machine.greeting.ended")
    assert told["result"] == "ended"
    for wrong in (-1, 60_001, "soon"):
        answer = await desk.http.put("/_twin/numbers/any", json={"greeting_ms": wrong})
        assert answer.status_code == 422


async def test_the_leg_of_a_transfer_can_be_read_like_any_call() -> None:
    desk = _Desk("twilio")
    colleague = "+14155550111"
    await desk.http.put(
        f"/_twin/numbers/{colleague}", json={"script": [{"silence": 500}, "hang_up"]}
    )
    desk.twilio.answers["/voice"] = [f"<Response><Dial>{colleague}</Dial></Response>"]
    await desk.ended(await desk.call())
    calls = (await desk.http.get("/_twin/calls")).json()["calls"]
    assert [(call["to"], call["status"]) for call in calls] == [
        ("+14155550123", "completed"),
        (colleague, "completed"),
    ]


async def test_rest_faults_are_ordered_for_the_next_requests() -> None:
    desk = _Desk()
    faults = [{"kind": "html", "status": 502}]
    assert (await desk.http.post("/_twin/rest-faults", json=faults)).status_code == 204
    account = f"/2010-04-01/Accounts/{twilio_bridge.SID}.json"
    auth = (twilio_bridge.SID, twilio_bridge.TOKEN)
    assert (await desk.http.get(account, auth=auth)).status_code == 502
    assert (await desk.http.get(account, auth=auth)).status_code == 200


@pytest.mark.parametrize("carrier", ["twilio", "telnyx"])
async def test_a_webhook_of_ones_own_can_be_sent(carrier: str) -> None:
    desk = _Desk(carrier)
    call_id = await desk.call(live=True)
    await desk.until(call_id, lambda report: bool(report["spoken"]))
    url = f"{twilio_bridge.BASE}/recording"
    order = {
        "twilio": {"url": url, "form": {"RecordingStatus": "absent"}},
        "telnyx": {"event_type": "call.cost", "payload": {"total_cost": "0.01"}},
    }[carrier]
    sent = await desk.http.post(f"/_twin/calls/{call_id}/webhooks", json=order)
    assert sent.status_code == 202
    if carrier == "twilio":
        assert desk.twilio.told("/recording")[0]["RecordingStatus"] == "absent"
    else:
        assert desk.telnyx.told("call.cost")[0]["total_cost"] == "0.01"
    await desk.http.post(f"/_twin/calls/{call_id}/steps", json=["hang_up"])
    await desk.ended(call_id)


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ({"script": ["sing"]}, "no step is called"),
        ({"script": "hang_up"}, "Expected `array`"),
        ({"faults": {"signature": "blue"}}, "blue"),
        ({"faults": {"colour": 1}}, "colour"),
        ({"colour": 1}, "colour"),
        ({"faults": {"signature": "old"}}, "Telnyx's"),
        ({"script": ["redial"]}, "Twilio never dials"),
    ],
)
async def test_a_call_that_cannot_be_is_refused_and_not_made(
    order: dict[str, Any], why: str
) -> None:
    desk = _Desk()
    answer = await desk.http.post("/_twin/calls", json=order)
    assert answer.status_code == 422
    assert why in answer.json()["errors"][0]
    assert desk.twin.records == []


async def test_only_this_machine_is_served_without_a_key() -> None:
    afar = _Desk(client=_FROM_AFAR)
    assert (await afar.http.get("/_twin/calls")).status_code == 403
    page = await _Desk().http.get("/_twin/calls", headers={"origin": "https://example.org"})
    assert page.status_code == 403


async def test_with_a_key_it_is_asked_of_everybody() -> None:
    desk = _Desk(key="k3y", client=_FROM_AFAR)
    good = {"authorization": "Bearer k3y"}
    assert (await desk.http.get("/_twin/log")).status_code == 401
    assert (await desk.http.get("/_twin/log", headers=good)).status_code == 200


async def test_a_body_that_is_no_json_or_too_long_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(control, "MAX_BODY_BYTES", 100)
    post = _Desk().http.post
    kind = {"content-type": "application/json"}
    assert (await post("/_twin/calls", content="{", headers=kind)).status_code == 422
    assert (await post("/_twin/calls", content="{}")).status_code == 415
    assert (await post("/_twin/calls", content=" " * 101, headers=kind)).status_code == 413


async def test_old_records_go_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "MAX_KEPT", 1)
    desk = _Desk()
    desk.twilio.answers["/voice"] *= 3
    ids = []
    for _ in range(3):
        ids.append(await desk.call(script=["hang_up"]))
        await desk.ended(ids[-1])
        await asyncio.sleep(1)
    calls = (await desk.http.get("/_twin/calls")).json()["calls"]
    assert [call["id"] for call in calls] == ids[-1:]
    assert (await desk.http.get(f"/_twin/calls/{ids[0]}")).status_code == 404
