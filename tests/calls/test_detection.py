"""Who picked up: told to the bridge once, and not before there is one."""

import pytest

from service.calls import detection
from service.calls.detection import Detection
from service.core.calls import Call
from service.core.events import MachineDetected
from tests.calls.house import House
from tests.calls.samples import attached, ended, inbound

MACHINE = MachineDetected("machine", greeting_over=True)


async def kept(house: House) -> Call:
    call = inbound()
    await house.store.create(call)
    return call


async def tell(house: House, call: Call, event_id: str = "amd") -> None:
    await Detection(house.store, house.mailbox, house.errands).tell(call, event_id, MACHINE)


async def test_what_picked_up_is_told_to_the_bridge_once(house: House) -> None:
    call = await kept(house)
    call = (await house.store.apply(call.call_id, attached())).call
    await tell(house, call)
    await tell(house, call)
    await house.errands.finish(5)
    assert house.told == [(call.call_id, MACHINE)]
    await tell(house, call, "greeting")  # which is another event
    await house.errands.finish(5)
    assert house.told == [(call.call_id, MACHINE)] * 2


async def test_what_picked_up_waits_for_the_bridge(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detection, "LOOK_S", 0.001)
    call = await kept(house)
    await tell(house, call)
    await house.store.apply(call.call_id, attached())
    await house.errands.finish(5)
    assert house.told == [(call.call_id, MACHINE)]


async def test_a_bridge_that_never_comes_is_not_waited_for_for_ever(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detection, "LOOK_S", 0.0)
    call = await kept(house)
    await tell(house, call)
    await house.errands.finish(5)
    await house.store.apply(call.call_id, attached())
    assert house.told == []


async def test_nobody_is_told_what_picked_up_when_the_call_is_over(house: House) -> None:
    call = await kept(house)
    over = (await house.store.apply(call.call_id, ended())).call
    await tell(house, over)
    await tell(house, call, "late")  # as it was known when the webhook was read
    await house.errands.finish(5)
    assert house.told == []
