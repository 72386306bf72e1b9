"""Two legs of one session at the Telnyx twin: transferred, bridged, parted."""

import asyncio
from typing import Any

import pytest

from service.replay.virtual import VirtualLoop
from service.twin.behaviour import Outcome
from service.twin.caller import HangUp, Silence, Step
from service.twin.telnyx import TelnyxTwin
from tests.twin.telnyx_bridge import FAR, STREAM, TO, Phone, TelnyxBridge, code_of, dial, new_twin

_FROM = "+15550100001"
_COLLEAGUE = "+15550100009"
_STATE, _TARGET_STATE = "b3Vycw==", "dGhlaXJz"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


async def _listen(phone: Phone) -> None:
    await phone.until_closed()


async def _talking(*steps: Step) -> tuple[TelnyxTwin, TelnyxBridge, "asyncio.Task[Any]"]:
    """An inbound call 200 ms after it began, and the task that it lives in."""
    bridge = TelnyxBridge(_listen)
    twin = new_twin(bridge)
    calling = asyncio.create_task(twin.call(TO, _FROM, steps))
    await asyncio.sleep(0.2)
    return twin, bridge, calling


async def _transfer(bridge: TelnyxBridge, control_id: str) -> None:
    body = {"client_state": _STATE, "target_leg_client_state": _TARGET_STATE, "from": TO}
    response = await bridge.act(control_id, "transfer", to=_COLLEAGUE, timeout_secs=20, **body)
    assert response.json() == {"data": {"result": "ok"}}


def _of(bridge: TelnyxBridge, control_id: str) -> list[str]:
    events = [body["data"] for body in bridge.bodies]
    return [e["event_type"] for e in events if e["payload"]["call_control_id"] == control_id]


async def test_a_transfer_is_a_leg_of_its_own_that_ends_with_the_other() -> None:
    twin, bridge, calling = await _talking()
    twin.outcomes[_COLLEAGUE] = Outcome(talk_ms=3000)
    [record] = twin.records
    await _transfer(bridge, record.call_id)
    stopped = await bridge.act(record.call_id, "streaming_stop")
    assert stopped.status_code == 200
    await calling
    await twin.settle()
    leg = twin.records[1]
    assert _of(bridge, leg.call_id) == [
        "call.initiated",
        "call.answered",
        "call.bridged",
        "call.hangup",
    ]
    assert _of(bridge, record.call_id)[-3:] == ["streaming.stopped", "call.bridged", "call.hangup"]
    assert (record.status, leg.status) == ("normal_clearing", "normal_clearing")
    assert bridge.phones[0].received[-1]["event"] == "stop"


async def test_the_new_leg_has_the_session_and_a_state_of_its_own() -> None:
    twin, bridge, calling = await _talking()
    twin.outcomes[_COLLEAGUE] = Outcome(steps=(HangUp(),))
    await _transfer(bridge, twin.records[0].call_id)
    await calling
    await twin.settle()
    ours, theirs = bridge.told("call.initiated")
    assert theirs["call_session_id"] == ours["call_session_id"]
    assert theirs["call_leg_id"] != ours["call_leg_id"]
    assert theirs["call_control_id"] != ours["call_control_id"]
    assert (theirs["direction"], theirs["client_state"]) == ("outgoing", _TARGET_STATE)
    assert (theirs["from"], theirs["to"]) == (TO, _COLLEAGUE)
    states = {told["call_control_id"]: told["client_state"] for told in bridge.told("call.hangup")}
    assert set(states.values()) == {_STATE, _TARGET_STATE}


@pytest.mark.parametrize(
    ("outcome", "cause"),
    [
        (Outcome(result="busy"), "user_busy"),
        (Outcome(result="rejected"), "call_rejected"),
        (Outcome(result="not-found"), "not_found"),
        (Outcome(ring_ms=60_000), "timeout"),
    ],
)
async def test_a_leg_that_nobody_takes_leaves_the_call_alone_and_it_may_be_streamed_again(
    outcome: Outcome, cause: str
) -> None:
    twin, bridge, calling = await _talking(Silence(25_000), HangUp())
    twin.outcomes[_COLLEAGUE] = outcome
    [record] = twin.records
    await _transfer(bridge, record.call_id)
    await bridge.act(record.call_id, "streaming_stop")
    await twin.settle()
    leg = twin.records[1]
    assert (leg.status, leg.answered_at_ms) == (cause, None)
    assert bridge.told("call.bridged") == []
    again = await bridge.act(record.call_id, "streaming_start", **STREAM)
    assert again.status_code == 200
    await calling
    assert [stream.ended for stream in record.streams if stream.stream_id] == ["stopped", "hangup"]


@pytest.mark.parametrize(
    ("ring_ms", "cause"), [(5000, "originator_cancel"), (100, "normal_clearing")]
)
async def test_a_person_who_hangs_up_takes_the_other_leg_along(ring_ms: int, cause: str) -> None:
    twin, bridge, calling = await _talking(Silence(2000), HangUp())
    twin.outcomes[_COLLEAGUE] = Outcome(ring_ms=ring_ms)
    await _transfer(bridge, twin.records[0].call_id)
    await calling
    await twin.settle()
    assert twin.records[1].status == cause


async def test_a_call_is_transferred_once_at_a_time_and_only_when_it_is_answered() -> None:
    twin, bridge, calling = await _talking(Silence(2000), HangUp())
    [record] = twin.records
    await _transfer(bridge, record.call_id)
    again = await bridge.act(record.call_id, "transfer", to=_COLLEAGUE)
    assert code_of(again) == "10015"
    await calling
    await twin.settle()
    assert code_of(await bridge.act(record.call_id, "transfer", to=_COLLEAGUE)) == "90018"
    twin.outcomes[FAR] = Outcome(ring_ms=5000, result="busy")
    placed = (await dial(bridge)).json()["data"]["call_control_id"]
    assert code_of(await bridge.act(placed, "transfer", to=_COLLEAGUE)) == "90034"
    await twin.settle()


async def test_two_calls_are_bridged_and_told_so() -> None:
    twin, bridge, calling = await _talking(Silence(4000), HangUp())
    twin.outcomes[FAR] = Outcome(ring_ms=100)
    other = (await dial(bridge)).json()["data"]["call_control_id"]
    [record] = twin.records[:1]
    early = await bridge.act(record.call_id, "bridge", call_control_id=other)
    assert code_of(early) == "90034"
    await asyncio.sleep(1)
    unknown = await bridge.act(record.call_id, "bridge", call_control_id="v3:nobody")
    assert code_of(unknown) == "90015"
    assert (await bridge.act(record.call_id, "bridge", call_control_id=other)).is_success
    await calling
    await twin.settle()
    bridged = {told["call_control_id"] for told in bridge.told("call.bridged")}
    assert bridged == {record.call_id, other}
    assert twin.calls[other].record.status == "normal_clearing"


async def test_a_call_can_be_read_with_its_times() -> None:
    twin, bridge, calling = await _talking(Silence(2300), HangUp())
    assert bridge.rest is not None
    path = f"/v2/calls/{twin.records[0].call_id}"
    alive = (await bridge.rest.get(path)).json()["data"]
    assert (alive["is_alive"], "end_time" in alive) == (True, False)
    await calling
    over = (await bridge.rest.get(path)).json()["data"]
    assert (over["is_alive"], over["call_duration"]) == (False, 3)
    assert over["start_time"] < over["end_time"]
