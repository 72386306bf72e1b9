"""Each invariant holds of a call that went well, and is broken by one that did not."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from service.cassettes.cassette import Happening, Line, Response
from service.core.audio import PCMU_8K, AudioFrame, Party
from service.core.calls import Call, CallId, CallState, Direction
from service.core.events import EngineFailed, SpeechStarted, Transcribed, TurnId
from service.replay.ear import Cleared, Gone, Heard, Sent, Started
from service.replay.invariants import DEAD_AIR_MS, Breach, Entry, Evidence, Left, breaches
from service.replay.watermark import Stretch, marked, stretches

CALL = CallId("call_1")
TURN = TurnId("t1")


def entry(at_ms: int, type_: str, **data: Any) -> Entry:
    return Entry(at_ms, Happening(type_, data))


def turn(at_ms: int, heard_ms: int, made_ms: int = 2000, **data: Any) -> Entry:
    said = {"turn_id": TURN, "heard_ms": heard_ms, "made_ms": made_ms, "text": "one two"}
    cut = heard_ms < made_ms
    said |= {"interrupted": cut, "heard_text": "one" if cut else "one two"}
    return entry(at_ms, "turn.agent", **(said | data))


def call(state: CallState = CallState.ENDED, call_id: CallId = CALL) -> Call:
    return Call(
        call_id=call_id,
        provider="twilio",
        provider_call_id="CA1",
        direction=Direction.INBOUND,
        state=state,
        to="",
        from_="",
        agent="a",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


RECORD = (
    entry(0, "call.ringing"),
    entry(0, "call.answered"),
    entry(10, "stream.started"),
    turn(2100, 2000),
    entry(5000, "stream.stopped"),
    entry(5000, "call.ended"),
)
WELL = Evidence(
    lines=(
        Line(at_ms=0, lane="webhook", from_="bridge", response=Response(200, "")),
        Line(at_ms=20, lane="stream", from_="bridge", message={"event": "media"}),
    ),
    calls=(call(),),
    entries={CALL: RECORD},
    wire=(Started(10, 1, audible=True), Sent(20, 1, (1,)), Gone(5000, 1)),
    heard=(Heard(20, 1, 1, 0, 2000),),
    turns={TURN: 1},
    greets=True,
)


def record(*entries: Entry) -> Evidence:
    return replace(WELL, entries={CALL: entries})


def without(type_: str) -> Evidence:
    return record(*(each for each in RECORD if each.type != type_))


def at(place: int, more: Entry) -> Evidence:
    return record(*RECORD[:place], more, *RECORD[place:])


def line(**what: Any) -> Line:
    return Line(at_ms=700, from_="bridge", **what)


def test_a_call_that_went_well_breaks_nothing() -> None:
    assert breaches(WELL) == []


def test_what_may_come_after_the_end_may() -> None:
    late = (entry(6000, "recording.saved"), entry(6000, "fault", code="x"))
    assert breaches(record(*RECORD, *late)) == []


def test_a_call_that_was_handed_over_outlives_a_process_that_is_stopped() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    away = replace(call(CallState.BRIDGED), transferred_at=moment)
    lives = replace(
        record(*RECORD[:5]), calls=(away,), stopped_ms=5000, left=Left(leases=1, tokens=1)
    )
    assert breaches(lives) == []
    assert breaches(replace(lives, stopped_ms=None))
    assert breaches(replace(lives, calls=(call(CallState.BRIDGED),)))


BROKEN: list[tuple[str, Evidence, str]] = [
    # one end
    ("one end", replace(WELL, calls=(call(CallState.BRIDGED),)), "still bridged"),
    ("one end", without("call.ended"), "0 times"),
    ("one end", at(6, entry(5001, "call.ended")), "2 times"),
    ("one end", at(6, entry(5001, "dtmf.received")), "dtmf.received after call.ended"),
    ("one end", replace(WELL, calls=(call(), call(call_id=CallId("call_2")))), "2 records"),
    # order
    ("order", without("call.ringing"), "begins with call.answered"),
    ("order", without("call.answered"), "before call.answered"),
    ("order", without("stream.started"), "turn.agent without stream.started"),
    ("order", without("stream.stopped"), "without stream.stopped"),
    ("order", at(3, entry(20, "stream.started")), "while there was a stream"),
    ("order", at(5, entry(5000, "turn.user")), "turn.user outside"),
    ("order", record(RECORD[0], entry(50, "call.answered"), *RECORD[2:]), "is later"),
    # known kinds
    ("known kinds", replace(WELL, lines=[line(lane="stream", message={"event": "hello"})]), "hell"),
    ("known kinds", replace(WELL, lines=[line(lane="stream", text="?")]), "not JSON"),
    ("known kinds", at(3, entry(30, "turn.maybe")), "turn.maybe"),
    ("known kinds", replace(WELL, wire=(Sent(5, 1, ()), *WELL.wire)), "before the stream's start"),
    # answers
    ("answers", replace(WELL, lines=[line(lane="webhook", response=Response(500, ""))]), "500"),
    ("answers", replace(WELL, lines=[line(lane="webhook", response=Response(503, ""))]), "503"),
    ("answers", replace(WELL, lines=[line(lane="webhook", response=Response(0, ""))]), "not answ"),
    # no leak
    ("no leak", replace(WELL, left=Left(tasks=("bridge",))), "the task bridge"),
    ("no leak", replace(WELL, left=Left(live=1)), "live: 1"),
    ("no leak", replace(WELL, left=Left(leases=1)), "leases: 1"),
    ("no leak", replace(WELL, left=Left(backlog=3)), "not written: 3"),
    ("no leak", replace(WELL, left=Left(tokens=1)), "tokens: 1"),
    # no stale sound
    (
        "no stale sound",
        replace(
            WELL, interrupted=[(500, 1)], wire=(*WELL.wire, Cleared(500, 1), Sent(520, 1, (1,)))
        ),
        "sent after the clear",
    ),
    ("no stale sound", replace(WELL, interrupted=[(500, 1)]), "is heard until 2020 ms"),
    # true ledger
    ("true ledger", replace(WELL, heard=(Heard(20, 1, 1, 0, 1900),)), "1900 ms played"),
    ("true ledger", record(*RECORD[:3], turn(2100, 1000), *RECORD[4:]), "1000 ms heard of 2000"),
    ("true ledger", record(*RECORD[:3], turn(9, 2000, 1000), *RECORD[4:]), "2000 ms heard of 1000"),
    ("true ledger", at(3, turn(2100, 2000)), "written twice"),
    ("true ledger", without("turn.agent"), "2000 ms heard and not written"),
    (
        "true ledger",
        record(*RECORD[:3], turn(2100, 2000, heard_text="two"), *RECORD[4:]),
        "heard_text does not fit",
    ),
    (
        "true ledger",
        record(*RECORD[:3], turn(2100, 2000, heard_text="one"), *RECORD[4:]),
        "heard_text does not fit",
    ),
    # no dead air
    (
        "no dead air",
        replace(
            at(3, entry(2900, "dtmf.received")), heard=(), wire=(WELL.wire[0], Gone(60_000, 1))
        ),
        "the call opened",
    ),
    (
        "no dead air",
        replace(WELL, heard=(), wire=(WELL.wire[0], Gone(60_000, 1)), entries={}, calls=()),
        "the call opened",
    ),
    (
        "no dead air",
        replace(WELL, said=[(2500, Transcribed("hello"))], wire=(*WELL.wire[:2], Gone(60_000, 1))),
        "the caller spoke",
    ),
    (
        "no dead air",
        replace(WELL, said=[(2500, EngineFailed("x", ""))], wire=(*WELL.wire[:2], Gone(60_000, 1))),
        "the engine failed",
    ),
]


@pytest.mark.parametrize(("rule", "evidence", "named"), BROKEN, ids=lambda each: str(each)[:40])
def test_what_must_never_be_is_named(rule: str, evidence: Evidence, named: str) -> None:
    found = [str(breach) for breach in breaches(evidence) if breach.rule == rule]
    assert any(named in breach for breach in found), found


def test_a_webhook_may_be_put_off_while_the_store_is_away_and_lost_once_we_have_stopped() -> None:
    put_off = [line(lane="webhook", response=Response(503, ""))]
    assert breaches(replace(WELL, lines=put_off, away=[(500, 900)])) == []
    lost = [line(lane="webhook", response=Response(0, ""))]
    assert breaches(replace(WELL, lines=lost, stopped_ms=600)) == []


def test_a_ledger_without_honest_marks_may_say_less_but_never_more() -> None:
    less = replace(record(*RECORD[:3], turn(2100, 1000), *RECORD[4:]), honest_marks=False)
    assert breaches(less) == []
    more = replace(WELL, heard=(Heard(20, 1, 1, 0, 1000),), honest_marks=False)
    assert [breach.rule for breach in breaches(more)] == ["true ledger"]


def test_sound_that_is_heard_twice_counts_once() -> None:
    twice = (Heard(20, 1, 1, 0, 1000), Heard(3000, 2, 1, 0, 1000))
    found = breaches(replace(WELL, heard=twice))
    assert ["1000 ms played" in breach.what for breach in found] == [True]


@pytest.mark.parametrize(
    "relief",
    [
        {
            "heard": (*WELL.heard, Heard(2500 + DEAD_AIR_MS - 1, 1, None, 0, 500)),
            "wire": (*WELL.wire[:2], Gone(3000 + 2 * DEAD_AIR_MS - 1, 1)),
        },
        {"said": [(2500, Transcribed("hello")), (4000, SpeechStarted(0))]},
        {"wire": (*WELL.wire[:2], Gone(2500 + DEAD_AIR_MS, 1))},
        {"said": [(2500, Transcribed(""))]},
        {
            "entries": at(4, entry(2900, "dtmf.received")).entries,
            "wire": (*WELL.wire[:2], Gone(2900 + DEAD_AIR_MS, 1)),
        },
        {"said": [(60_001, Transcribed("hello"))]},
    ],
)
def test_silence_is_not_dead_air_when(relief: dict[str, Any]) -> None:
    silent: dict[str, Any] = {
        "said": [(2500, Transcribed("hello"))],
        "wire": (*WELL.wire[:2], Gone(60_000, 1)),
    }
    assert breaches(replace(WELL, **(silent | relief))) == []


def test_a_filler_breaks_the_silence_once() -> None:
    waits: dict[str, Any] = {
        "said": [(2500, Transcribed("hello"))],
        "heard": (*WELL.heard, Heard(4000, 1, None, 0, 500)),
        "wire": (*WELL.wire[:2], Gone(60_000, 1)),
    }
    assert [breach.at_ms for breach in breaches(replace(WELL, **waits))] == [4500]


def test_breaches_come_in_the_order_of_time() -> None:
    found = breaches(replace(at(6, entry(5001, "turn.maybe")), left=Left(leases=1)))
    assert [breach.at_ms for breach in found] == sorted(breach.at_ms for breach in found)
    assert str(Breach(1500, "order", "what")) == "   1.500 s  order: what"


# The watermark that ledger and stale sound are judged by -----------------------------------------


def sound(length_ms: int, turn_number: int, from_ms: int = 0) -> bytes:
    frame = AudioFrame(b"\xff" * 8 * length_ms, PCMU_8K, 0, length_ms, Party.AGENT)
    return marked(frame, turn_number, 8 * from_ms).data


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"\xff" * 800, []),
        (sound(100, 3), [(0, 3, 0, 100)]),
        (sound(20, 1) + sound(20, 1, 20), [(0, 1, 0, 40)]),
        (sound(20, 1) + sound(20, 1, 40), [(0, 1, 0, 20), (160, 1, 40, 20)]),
        (sound(20, 1) + sound(20, 2), [(0, 1, 0, 20), (160, 2, 0, 20)]),
        (sound(20, 1)[:-3] + b"\xff" * 83 + sound(20, 1, 20), [(0, 1, 0, 19), (240, 1, 20, 20)]),
        (b"\xff" * 5 + sound(70_000, 200), [(5, 200, 0, 70_000)]),
    ],
)
def test_sound_tells_its_turn_and_place(
    data: bytes, found: Sequence[tuple[int, int, int, int]]
) -> None:
    assert [*stretches(data)] == [Stretch(*each) for each in found]


def test_a_turn_cut_into_odd_pieces_reads_as_one() -> None:
    whole = AudioFrame(b"\xff" * 1600, PCMU_8K, 0, 200, Party.AGENT)
    pieces, at_byte = b"", 0
    for size in (13, 160, 7, 480, 940):
        piece = AudioFrame(whole.data[at_byte : at_byte + size], PCMU_8K, 0, 0, Party.AGENT)
        pieces += marked(piece, 9, at_byte).data
        at_byte += size
    assert pieces == marked(whole, 9, 0).data
    assert [*stretches(pieces)] == [Stretch(0, 9, 0, 200)]


def test_what_begins_behind_a_clear_of_the_same_millisecond_is_not_stale() -> None:
    """Two keys at once: the second cuts off what answered the first."""
    cleared = (Cleared(500.0, 1), Sent(500.0, 1, (2,)), Cleared(500.001, 1), Sent(500.001, 1, (3,)))
    twice = replace(
        WELL, interrupted=[(500.0, 1), (500.001, 2)], wire=(*WELL.wire, *cleared), heard=()
    )
    assert "no stale sound" not in {breach.rule for breach in breaches(twice)}
    again = replace(twice, wire=(*twice.wire, Sent(500.002, 1, (2,))))
    assert "turn 2 is sent after the clear" in {breach.what for breach in breaches(again)}
