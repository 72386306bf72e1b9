"""What a test may expect of a call: silent when it is so, and said in words when it is not."""

from collections.abc import Callable
from typing import Any, Literal

import pytest

from service.testing.expectations import Expectations
from service.testing.readings import Event, Known, Turn
from service.twin.record import CallRecord, Warned


def said(who: str, text: str, *, heard: str | None = None, response_ms: int = 600) -> Turn:
    return Turn(
        who=who,
        text=text,
        heard_text=text if heard is None else heard,
        interrupted=heard is not None,
        started_ms=0,
        ended_ms=1000,
        latency={"response_ms": response_ms} if who == "agent" else {},
    )


class KnownCall:
    """A call that went as it is told."""

    provider: Literal["twilio", "telnyx"] = "twilio"
    agent = "clinic"
    trouble = ""

    def __init__(self, *turns: Turn, events: tuple[Event, ...] = (), **end: Any) -> None:
        self.turns = turns
        self.events = events
        self.end = end

    @property
    def record(self) -> CallRecord:
        record = CallRecord(provider="twilio", call_id="CA1", direction="inbound", to="", from_="")
        record.warnings.append(Warned(0, "31951", "no such event"))
        return record

    def heard(self, words: str) -> bool:
        return any(words in turn.heard_text for turn in self.turns)


PRESSED = Event("dtmf.received", 10, {"digit": "1"})
BOOKED = Event("tool.called", 20, {"name": "book", "arguments": {"day": "Tuesday", "at": 10}})
FAULT = Event("fault", 30, {"code": "engine.lost"})
CALL = KnownCall(
    said("agent", "We are open from eight to six.", heard="We are open"),
    said("caller", "where are you"),
    said("agent", "At twelve Main Street.", response_ms=950),
    events=(PRESSED, BOOKED, FAULT),
    outcome="completed",
    ended_by="agent",
    cause="script_ended",
)


async def test_what_is_so_is_passed_over() -> None:
    known: Known = CALL
    expect = Expectations(known)
    expect.heard("We are open")
    expect.understood("where are you")
    assert expect.event("dtmf.received", digit="1") is PRESSED
    expect.no_event("machine.detected")
    assert expect.tool("book", day="Tuesday") is BOOKED
    assert expect.tool("book") is BOOKED
    expect.answers_within(950)
    expect.ended()
    expect.ended("completed", by="agent")


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (lambda e: e.heard("eight to six"), "never heard 'eight to six', but 'We are open'; 'At t"),
        (lambda e: e.understood("who"), "understood was 'where are you', not 'who'"),
        (lambda e: e.event("dtmf.received", digit="2"), "came with {'digit': '1'}, not {'digit': "),
        (lambda e: e.event("machine.detected"), "only dtmf.received, tool.called, fault"),
        (lambda e: e.no_event("fault"), "fault came with {'code': 'engine.lost'}"),
        (lambda e: e.tool("book", day="Friday"), "book(day='Friday') was not called, but {'name'"),
        (lambda e: e.tool("cancel"), "cancel() was not called"),
        (lambda e: e.answers_within(800), "later than 800 ms: 'At twelve Main Street.' after 950"),
        (lambda e: e.ended("busy"), "ended completed by agent (script_ended), not busy by anybody"),
        (lambda e: e.ended(by="caller"), "not completed by caller"),
        (lambda e: e.no_trouble(), "fault {'code': 'engine.lost'}; 31951 no such event"),
    ],
)
async def test_what_is_not_so_is_said(ask: Callable[[Expectations], object], answer: str) -> None:
    with pytest.raises(AssertionError) as failed:
        ask(Expectations(CALL))
    assert answer in str(failed.value)


async def test_a_call_that_goes_on_has_not_ended() -> None:
    with pytest.raises(AssertionError, match="still on"):
        Expectations(KnownCall()).ended()
