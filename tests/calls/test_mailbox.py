"""Letters to the bridge that holds a call, here or on another instance."""

import asyncio

import pytest

from service.core.calls import MediaLost
from service.core.events import (
    ControlEvent,
    DigitsRequested,
    DtmfReceived,
    HangUpRequested,
    InstructionsGiven,
    MachineDetected,
    SayRequested,
    TransferRequested,
)
from tests.calls.house import House
from tests.calls.samples import at, attached, inbound

EVERY_KIND: list[ControlEvent] = [
    SayRequested("Un momento, señor."),
    DigitsRequested("12#"),
    TransferRequested("+14155550100", from_outside=True),
    InstructionsGiven("Offer a discount."),
    MachineDetected("machine", greeting_over=True),
    HangUpRequested("hangup", "api"),
    DtmfReceived("5", channel="webhook"),
]


@pytest.mark.parametrize("event", EVERY_KIND)
async def test_what_is_sent_arrives_at_the_instance_that_holds_the_call(
    house: House, neighbour: House, event: ControlEvent
) -> None:
    call = inbound()
    await house.store.create(call)
    held = (await house.store.apply(call.call_id, attached(owner="B"))).call
    assert await house.mailbox.send(held, event)
    assert await neighbour.mailbox.send(held, event)
    async with asyncio.timeout(5):
        while len(neighbour.told) < 2:
            neighbour.heard.clear()
            await neighbour.heard.wait()
    assert neighbour.told == [(call.call_id, event)] * 2
    assert house.told == []


async def test_a_call_without_a_socket_has_nobody_to_tell(house: House) -> None:
    call = inbound()
    await house.store.create(call)
    assert not await house.mailbox.send(call, SayRequested("Hello"))
    await house.store.apply(call.call_id, attached())
    lost = MediaLost(event_id="lost", occurred_at=at(3), owner="A")
    waiting = (await house.store.apply(call.call_id, lost)).call
    assert not await house.mailbox.send(waiting, SayRequested("Hello"))


async def test_a_letter_that_makes_no_sense_is_passed_over(house: House, neighbour: House) -> None:
    await house.store.letters.post("B", "no json")
    await house.store.letters.post("B", '{"kind":"unheard of","event":{}}')
    call = inbound(attached=True, owner="B")
    await house.mailbox.send(call, SayRequested("Hello"))
    await asyncio.wait_for(neighbour.heard.wait(), 5)
    assert neighbour.told == [(call.call_id, SayRequested("Hello"))]
