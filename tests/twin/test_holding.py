"""A person on hold: on with the script, unheard, until they hang up."""

import asyncio
from typing import Any

import pytest

from service.replay.virtual import VirtualLoop
from service.twin.caller import Caller, DropSocket, HangUp, Press, Say, Silence, WaitForAgent
from service.twin.holding import hold
from service.twin.record import CallRecord
from tests.twin.sounds import tone


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualLoop}


def _record() -> CallRecord:
    return CallRecord(provider="twilio", call_id="CA1", direction="inbound", to="+1", from_="+2")


async def test_a_person_on_hold_goes_on_in_time_and_nothing_of_it_is_sent() -> None:
    record = _record()
    steps = (Say(tone(400), text="Hello?"), DropSocket(), Press("1"), Silence(400), HangUp())
    await hold(Caller(steps), record)
    assert record.now_ms() == pytest.approx(1020)
    assert [(r.kind, r.text) for r in record.remarks] == [
        ("says", "Hello?"),
        ("presses", "1"),
        ("hangs_up", ""),
    ]
    assert record.lines == []


async def test_a_person_on_hold_hears_nobody_and_may_be_fetched_back() -> None:
    caller, record = Caller((WaitForAgent(timeout_ms=1000), HangUp())), _record()
    holding = asyncio.create_task(hold(caller, record))
    await asyncio.sleep(0.5)
    holding.cancel()
    await asyncio.wait([holding])
    await hold(caller, record)
    assert [r.kind for r in record.remarks] == ["gives_up", "hangs_up"]
    assert 1000 < record.now_ms() < 1100
