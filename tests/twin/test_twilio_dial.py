"""`<Dial>` at the Twilio twin: a leg of its own, from its first ring to the action after it."""

import asyncio
from typing import Any

import pytest

from service.replay.virtual import VirtualLoop
from service.twin.behaviour import Outcome
from service.twin.caller import HangUp, Silence, Step
from service.twin.twilio import TwilioTwin
from tests.twin.twilio_bridge import BASE, SID, Phone, TwilioBridge, new_twin, rest_of

_TO, _FROM = "+14155550123", "+525512345678"
_CALLS = f"/2010-04-01/Accounts/{SID}/Calls"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


async def _listen(phone: Phone) -> None:
    await phone.until_closed()


_COLLEAGUE = "+14155550111"


def _dial(attributes: str = "", number: str = _COLLEAGUE) -> str:
    leg = f'statusCallback="{BASE}/leg" statusCallbackEvent="initiated ringing answered completed"'
    return (
        f'<Response><Dial action="{BASE}/dialled" timeout="20" answerOnBridge="true"'
        f" {attributes}><Number {leg}>{number}</Number></Dial></Response>"
    )


async def _transfer(
    outcome: Outcome, *steps: Step, document: str = "", **options: Any
) -> tuple[TwilioTwin, TwilioBridge]:
    """A call that is sent away by REST 200 ms after its stream began."""
    bridge = TwilioBridge(_listen)
    twin = new_twin(bridge, **options)
    twin.outcomes[_COLLEAGUE] = outcome
    calling = asyncio.create_task(twin.call(_TO, _FROM, steps))
    await asyncio.sleep(0.2)
    [record] = twin.records
    async with rest_of(twin) as rest:
        sent = {"Twiml": document or _dial()}
        response = await rest.post(f"{_CALLS}/{record.call_id}.json", data=sent)
    assert response.status_code == 200
    await calling
    assert bridge.bad_signatures == 0
    return twin, bridge


async def test_a_call_that_is_sent_away_loses_its_stream_and_not_its_action() -> None:
    twin, bridge = await _transfer(Outcome(steps=(Silence(2900), HangUp())))
    parent, leg = twin.records
    assert parent.streams[0].ended == "stopped"
    assert bridge.phones[0].received[-1]["event"] == "stop"
    assert bridge.told("/done") == []
    assert (leg.to, leg.direction, leg.status) == (_COLLEAGUE, "outbound", "completed")
    [action] = bridge.told("/dialled")
    assert action["CallSid"] == parent.call_id
    assert action["CallStatus"] == "in-progress"
    assert action["DialCallSid"] == leg.call_id != parent.call_id
    assert action["DialCallStatus"] == "completed"
    assert action["DialCallDuration"] == "3"
    assert action["DialBridged"] == "true"
    assert parent.status == "completed"


async def test_a_dialled_leg_has_callbacks_of_its_own() -> None:
    twin, bridge = await _transfer(Outcome(steps=(Silence(1000), HangUp())))
    parent, leg = twin.records
    told = bridge.told("/leg")
    assert [form["CallStatus"] for form in told] == [
        "initiated",
        "ringing",
        "in-progress",
        "completed",
    ]
    assert [form["SequenceNumber"] for form in told] == ["0", "1", "2", "3"]
    for form in told:
        assert (form["CallSid"], form["ParentCallSid"]) == (leg.call_id, parent.call_id)
        assert form["Direction"] == "outbound-dial"
        assert form["To"] == _COLLEAGUE
    async with rest_of(twin) as rest:
        resource = (await rest.get(f"{_CALLS}/{leg.call_id}.json")).json()
    assert (resource["parent_call_sid"], resource["direction"]) == (parent.call_id, "outbound-dial")


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome(result="busy"), "busy"),
        (Outcome(result="no-answer"), "no-answer"),
        (Outcome(ring_ms=60_000), "no-answer"),
        (Outcome(result="not-found"), "failed"),
    ],
)
async def test_a_leg_that_nobody_takes_is_told_to_the_action_which_may_take_the_call_back(
    outcome: Outcome, status: str
) -> None:
    bridge = TwilioBridge(_listen)
    twin = new_twin(bridge)
    twin.outcomes[_COLLEAGUE] = outcome
    bridge.answers["/voice"] = [_dial()]
    bridge.answers["/dialled"] = [bridge.connect()]
    await twin.call(_TO, _FROM, (Silence(21_500), HangUp()))
    [action] = bridge.told("/dialled")
    assert (action["DialCallStatus"], action["DialBridged"]) == (status, "false")
    assert "DialCallDuration" not in action
    parent, leg = twin.records
    assert leg.answered_at_ms is None
    assert [stream.ended for stream in parent.streams] == ["hangup"]


async def test_what_is_no_number_is_not_dialled() -> None:
    twin, bridge = await _transfer(Outcome(), document=_dial(number="12"))
    [action] = bridge.told("/dialled")
    assert (action["DialCallStatus"], "DialCallSid" in action) == ("failed", False)
    assert [warned.code for warned in twin.warnings] == ["13224"]


@pytest.mark.parametrize(("flag", "asked"), [(False, 0), (True, 1)])
async def test_a_person_who_hangs_up_ends_both_legs(flag: bool, asked: int) -> None:
    steps = (Silence(1000), HangUp())
    twin, bridge = await _transfer(Outcome(ring_ms=5000), *steps, action_after_hangup=flag)
    parent, leg = twin.records
    assert (parent.status, leg.status) == ("completed", "canceled")
    assert [form["CallStatus"] for form in bridge.told("/dialled")] == ["completed"] * asked


async def test_completed_by_rest_ends_both_legs() -> None:
    bridge = TwilioBridge(_listen)
    twin = new_twin(bridge)
    bridge.answers["/voice"] = [_dial()]
    calling = asyncio.create_task(twin.call(_TO, _FROM, ()))
    await asyncio.sleep(3)
    parent, leg = twin.records
    async with rest_of(twin) as rest:
        redirect = {"Url": f"{BASE}/voice"}
        refused = await rest.post(f"{_CALLS}/{leg.call_id}.json", data=redirect)
        assert refused.json()["code"] == 21220
        await rest.post(f"{_CALLS}/{parent.call_id}.json", data={"Status": "completed"})
    await calling
    assert (parent.status, leg.status) == ("completed", "completed")
    assert bridge.told("/dialled") == []


async def test_completed_by_rest_on_the_leg_goes_on_with_the_action() -> None:
    bridge = TwilioBridge(_listen)
    twin = new_twin(bridge)
    bridge.answers["/voice"] = [_dial()]
    calling = asyncio.create_task(twin.call(_TO, _FROM, ()))
    await asyncio.sleep(3)
    async with rest_of(twin) as rest:
        leg = twin.records[1]
        await rest.post(f"{_CALLS}/{leg.call_id}.json", data={"Status": "completed"})
    await calling
    assert bridge.told("/dialled")[0]["DialCallStatus"] == "completed"


async def test_the_time_limit_of_a_dial_ends_the_leg() -> None:
    _, bridge = await _transfer(Outcome(talk_ms=60_000), document=_dial('timeLimit="5"'))
    assert bridge.told("/dialled")[0]["DialCallDuration"] == "5"


@pytest.mark.parametrize(("on_bridge", "answered_ms"), [("true", 2100), ("false", 0)])
async def test_a_call_may_ring_until_the_leg_is_answered(on_bridge: str, answered_ms: int) -> None:
    bridge = TwilioBridge(_listen)
    twin = new_twin(bridge)
    twin.outcomes[_COLLEAGUE] = Outcome(ring_ms=2000, steps=(Silence(1000), HangUp()))
    bridge.answers["/voice"] = [
        _dial().replace('answerOnBridge="true"', f'answerOnBridge="{on_bridge}"')
    ]
    record = await twin.call(_TO, _FROM, ())
    assert record.answered_at_ms == answered_ms


async def test_a_caller_who_gives_up_while_it_rings_was_not_answered() -> None:
    bridge = TwilioBridge(_listen)
    twin = new_twin(bridge)
    bridge.answers["/voice"] = [_dial()]
    record = await twin.call(_TO, _FROM, (Silence(500), HangUp()))
    assert (record.status, record.answered_at_ms) == ("no-answer", None)


async def test_keys_and_sounds_in_a_document_take_their_time() -> None:
    bridge = TwilioBridge(_listen)
    twin = new_twin(bridge)
    bridge.answers["/voice"] = [
        f'<Response><Play digits="ww12#"/><Play>{BASE}/hold.mp3</Play></Response>'
    ]
    record = await twin.call(_TO, _FROM, ())
    assert record.digits_sent == ["ww12#"]
    assert record.ended_at_ms == 1600
    assert [(r.kind, r.text) for r in record.remarks] == [("hears_play", f"{BASE}/hold.mp3")]


async def test_whoever_takes_a_call_without_a_script_talks_for_a_while() -> None:
    twin, bridge = await _transfer(Outcome(talk_ms=7900))
    parent, _ = twin.records
    assert bridge.told("/dialled")[0]["DialCallDuration"] == "8"
    assert [(r.kind, r.text) for r in parent.remarks] == [("is_connected", _COLLEAGUE)]
