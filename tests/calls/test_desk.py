"""Where calls begin that nobody announced, and what a socket needs to go on with a call."""

import pytest

from service.core.audio import PCMU_8K
from service.core.calls import CallState, Direction
from service.core.errors import UnknownCall
from service.core.events import StreamStarted
from tests.calls.fakes import fake_provider
from tests.calls.house import House
from tests.calls.samples import attached, ended, inbound, outbound


def started(provider_call_id: str = "CA1", **parameters: str) -> StreamStarted:
    return StreamStarted("MZ1", provider_call_id, PCMU_8K, parameters)


async def test_a_call_begins_with_its_socket(house: House) -> None:
    call = await house.desk.open_unannounced(fake_provider(), started(agent="night", name="Ana"))
    assert (call.direction, call.state) == (Direction.INBOUND, CallState.RINGING)
    assert (call.agent, call.variables, call.to) == ("night", {"name": "Ana"}, "")
    await house.store.apply(call.call_id, attached())
    assert await house.events(call.call_id) == [
        "call.ringing",
        "call.answered",
        "stream.started",
    ]
    assert 'callbridge_calls_opened_total{direction="inbound",provider="acme"} 1.0' in (
        house.metrics.text().decode()
    )


async def test_who_called_whom_is_kept_where_the_socket_tells_it(house: House) -> None:
    told = started(**{"from": "+525512345678", "to": "+14155550199", "name": "Ana"})
    call = await house.desk.open_unannounced(fake_provider(), told)
    assert (call.from_, call.to, call.agent) == ("+525512345678", "+14155550199", "night")
    assert call.variables == {"name": "Ana"}
    [ringing] = await house.store.entries(call.call_id)
    assert (ringing.data["from"], ringing.data["to"]) == ("+525512345678", "+14155550199")


async def test_a_socket_of_a_call_that_is_known_belongs_to_that_call(house: House) -> None:
    known = inbound("CA1")
    await house.store.create(known)
    assert await house.desk.open_unannounced(fake_provider(), started("CA1")) == known


async def test_a_socket_of_a_call_that_is_over_is_turned_away(house: House) -> None:
    over = inbound("CA1")
    await house.store.create(over)
    await house.store.apply(over.call_id, ended())
    with pytest.raises(UnknownCall):
        await house.desk.open_unannounced(fake_provider(), started("CA1"))


async def test_a_call_that_comes_lasts_no_longer_than_its_agent_says(house: House) -> None:
    call = await house.desk.open_unannounced(fake_provider(), started(agent="night"))
    assert call.max_duration_s == 1800
    other = await house.desk.open_unannounced(fake_provider(), started("CA2", agent="line"))
    assert other.max_duration_s == 3600


async def test_an_agent_that_does_not_exist_is_a_fault(house: House) -> None:
    call = await house.desk.open_unannounced(fake_provider(), started(agent="nobody"))
    assert call.agent == "default"
    assert await house.events(call.call_id) == ["call.ringing", "fault"]


async def test_a_call_that_has_not_begun_has_no_history(house: House) -> None:
    call = outbound()
    await house.store.create(call)
    assert await house.desk.history(call) == ()
