"""The table of calls: whatever carriers tell, in whatever order, the record makes sense."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from service.core.calls import (
    Call,
    CallAnswered,
    CallEnd,
    CallEnded,
    CallEnding,
    CallEvent,
    CallId,
    CallPlaced,
    CallReturned,
    CallRinging,
    CallState,
    CallTransferred,
    Direction,
    Entry,
    MediaAttached,
    MediaLost,
    MediaStopped,
    Noted,
    Outcome,
    advance,
)

START = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
HANGUP = CallEnd(Outcome.COMPLETED, "hangup", "caller")
GOODBYE = CallEnd(Outcome.COMPLETED, "goodbye", "agent")
CANCELED = CallEnd(Outcome.CANCELED, "hangup", "api")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def call(state: CallState = CallState.QUEUED) -> Call:
    return Call(
        call_id=CallId("call_1"),
        provider="acme",
        provider_call_id=None,
        direction=Direction.OUTBOUND,
        state=state,
        to="+14155550123",
        from_="+14155550100",
        agent="receptionist",
        created_at=START,
    )


def placed(seconds: float = 0) -> CallPlaced:
    return CallPlaced(event_id="placed", occurred_at=at(seconds), provider_call_id="CA1")


def ringing(seconds: float = 1) -> CallRinging:
    return CallRinging(event_id="ringing", occurred_at=at(seconds))


def answered(seconds: float = 2) -> CallAnswered:
    return CallAnswered(event_id="answered", occurred_at=at(seconds))


def attached(seconds: float = 3, *, owner: str = "A", stream_id: str = "MZ1") -> MediaAttached:
    return MediaAttached(
        event_id=f"attached-{stream_id}", occurred_at=at(seconds), owner=owner, stream_id=stream_id
    )


def lost(seconds: float = 5, *, owner: str = "A") -> MediaLost:
    return MediaLost(event_id="lost", occurred_at=at(seconds), owner=owner)


def stopped(seconds: float = 8, *, owner: str = "A") -> MediaStopped:
    return MediaStopped(event_id="stopped", occurred_at=at(seconds), owner=owner)


def ending(end: CallEnd, seconds: float = 7) -> CallEnding:
    return CallEnding(event_id="ending", occurred_at=at(seconds), end=end)


def ended(seconds: float = 9, *, end: CallEnd = HANGUP) -> CallEnded:
    return CallEnded(event_id="ended", occurred_at=at(seconds), end=end)


def transferred(seconds: float = 6, *, owner: str = "A") -> CallTransferred:
    return CallTransferred(event_id="transferred", occurred_at=at(seconds), owner=owner)


def returned(seconds: float = 7) -> CallReturned:
    code = "twilio.transfer_busy"
    return CallReturned(event_id="returned", occurred_at=at(seconds), code=code)


def noted(kind: str, seconds: float = 4) -> Noted:
    return Noted(event_id=kind, occurred_at=at(seconds), type=kind, data={"code": "x"})


def play(*events: CallEvent, start: Call | None = None) -> tuple[Call, list[Entry]]:
    now = start or call()
    entries: list[Entry] = []
    for event in events:
        step = advance(now, event)
        now = step.call
        entries += step.entries
    return now, entries


def types(entries: list[Entry]) -> list[str]:
    return [entry.type for entry in entries]


def test_a_whole_call_is_written_down_in_order() -> None:
    after, entries = play(placed(), ringing(), answered(), attached(), stopped(), ended())
    assert types(entries) == [
        "call.ringing",
        "call.answered",
        "stream.started",
        "stream.stopped",
        "call.ended",
    ]
    assert after.state is CallState.ENDED
    assert after.provider_call_id == "CA1"
    assert entries[-1].data == {
        "outcome": "completed",
        "cause": "hangup",
        "ended_by": "caller",
        "duration_ms": 7000,
    }


def test_a_stream_answers_a_call_that_no_webhook_answered() -> None:
    after, entries = play(attached(), start=call(CallState.RINGING))
    assert types(entries) == ["call.answered", "stream.started"]
    assert after.answered_at == at(3)
    assert after.state is CallState.BRIDGED
    assert (after.owner, after.attached) == ("A", True)


def test_a_busy_call_has_no_length() -> None:
    busy = CallEnd(Outcome.BUSY, "user_busy", "caller")
    after, entries = play(placed(), ringing(), ended(end=busy))
    assert types(entries) == ["call.ringing", "call.ended"]
    assert (after.end, after.duration_ms) == (busy, 0)


def test_late_news_of_the_answer_change_nothing() -> None:
    before, _ = play(placed(), attached())
    after, entries = play(answered(), start=before)
    assert (after, entries) == (before, [])


def test_late_news_of_the_ringing_are_written_down_once_and_move_nothing() -> None:
    before, _ = play(placed(), answered(), attached())
    after, entries = play(ringing(), ringing(), start=before)
    assert types(entries) == ["call.ringing"]
    assert (after.state, after.answered_at) == (before.state, before.answered_at)


def test_a_call_that_came_to_us_rings_once() -> None:
    inbound = replace(call(CallState.RINGING), direction=Direction.INBOUND)
    _, entries = play(ringing(), attached(), ringing(), start=inbound)
    assert "call.ringing" not in types(entries)


def test_news_of_the_ringing_after_the_end_are_not_written_down() -> None:
    over, _ = play(placed(), answered(), ended())
    assert play(ringing(), start=over) == (over, [])


def test_a_second_socket_is_a_new_owner_and_no_new_stream() -> None:
    after, entries = play(attached(), attached(6, owner="B", stream_id="MZ2"))
    assert types(entries).count("stream.started") == 1
    assert after.owner == "B"


def test_a_socket_that_was_replaced_has_no_say() -> None:
    replaced, _ = play(attached(), attached(6, owner="B", stream_id="MZ2"))
    for late in (lost(7, owner="A"), stopped(7, owner="A")):
        after, entries = play(late, start=replaced)
        assert (after, entries) == (replaced, [])


def test_a_lost_socket_may_come_back() -> None:
    waiting, entries = play(attached(), lost())
    assert types(entries) == ["call.answered", "stream.started"]
    assert (waiting.attached, waiting.stream_lost_at) == (False, at(5))
    back, entries = play(attached(6, stream_id="MZ2"), start=waiting)
    assert (back.attached, back.stream_lost_at, entries) == (True, None, [])


def test_the_carriers_end_waits_for_the_owner_of_the_stream() -> None:
    waiting, entries = play(attached(), ended(7))
    assert "call.ended" not in types(entries)
    after, entries = play(noted("turn.agent"), stopped(), start=waiting)
    assert types(entries) == ["turn.agent", "stream.stopped", "call.ended"]
    assert after.end == HANGUP


def test_a_socket_that_is_lost_while_the_call_ends_was_its_last() -> None:
    after, entries = play(attached(), ended(7), lost(8))
    assert types(entries)[-2:] == ["stream.stopped", "call.ended"]
    assert after.end == HANGUP


def test_whoever_decides_first_has_ended_the_call() -> None:
    after, _ = play(attached(), ending(GOODBYE), stopped(), ended())
    assert after.end == GOODBYE
    after, _ = play(attached(), ended(6), ending(GOODBYE), stopped())
    assert after.end == HANGUP


def test_a_call_canceled_while_it_rings_is_canceled_by_whom_it_was() -> None:
    after, entries = play(placed(), ringing(), ending(CANCELED), ended())
    assert after.end == CANCELED
    assert types(entries) == ["call.ringing", "call.ended"]


def test_a_call_that_is_answered_while_it_is_canceled_was_completed() -> None:
    after, _ = play(placed(), ending(CANCELED, 1.5), answered(), ended())
    assert after.end == CallEnd(Outcome.COMPLETED, "hangup", "api")


def test_an_ended_call_takes_only_recordings_and_faults() -> None:
    over, _ = play(placed(), ended())
    late: list[CallEvent] = [answered(), attached(), lost(), stopped(), ending(GOODBYE), ended(10)]
    after, entries = play(*late, noted("turn.user"), start=over)
    assert (after, entries) == (over, [])
    _, entries = play(noted("recording.saved"), noted("fault"), start=over)
    assert types(entries) == ["recording.saved", "fault"]


def test_a_call_that_ended_before_the_carrier_named_it_learns_its_name() -> None:
    after, entries = play(ended(1), placed(2))
    assert (after.provider_call_id, types(entries)) == ("CA1", ["call.ended"])
    assert after.state is CallState.ENDED


def test_a_stream_whose_stop_is_known_does_not_begin_again() -> None:
    after, entries = play(attached(), stopped(), attached(), ended())
    assert types(entries).count("stream.started") == 1
    assert after.state is CallState.ENDED


def test_no_time_lies_before_what_came_before_it() -> None:
    known, _ = play(answered(-1))
    assert known.answered_at == known.created_at
    over, entries = play(attached(3), stopped(8), ended(7))
    assert over.ended_at == at(8)
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)


def test_an_end_told_by_a_coarse_clock_is_no_earlier_than_the_answer() -> None:
    after, _ = play(answered(2.7), ended(2))
    assert after.ended_at == at(2.7)
    assert after.duration_ms == 0


@pytest.mark.parametrize("state", CallState)
def test_every_event_is_legal_in_every_state(state: CallState) -> None:
    for event in EVERYTHING:
        after = advance(call(state), event).call
        assert list(CallState).index(after.state) >= list(CallState).index(state)


EVERYTHING: list[CallEvent] = [
    placed(),
    ringing(),
    answered(),
    attached(),
    lost(),
    stopped(),
    ending(GOODBYE),
    ended(),
    noted("turn.user"),
    noted("recording.saved", 10),
    noted("fault", 11),
]
FROM_THE_CARRIER: list[CallEvent] = [
    placed(),
    ringing(),
    answered(),
    ended(),
    noted("recording.saved", 10),
]
FROM_THE_OWNER: list[CallEvent] = [
    attached(),
    noted("turn.user"),
    lost(),
    attached(6, stream_id="MZ2"),
    noted("turn.agent"),
    stopped(),
]
ONCE = ("call.answered", "stream.started", "stream.stopped", "call.ended")


def makes_sense(entries: list[Entry]) -> bool:
    """Each step once and in order, and after the end only what may still come."""
    kinds = types(entries)
    steps = [kind for kind in kinds if kind in ONCE]
    after_end = kinds[kinds.index("call.ended") + 1 :] if "call.ended" in kinds else []
    in_order = all(ONCE.index(one) < ONCE.index(next_) for one, next_ in pairwise(steps))
    once = kinds.count("call.ringing") <= 1  # at any time: its news may come last
    return in_order and once and set(after_end) <= {"recording.saved", "fault"}


@given(st.permutations(EVERYTHING * 2))
def test_any_order_and_any_repetition_makes_sense(events: list[CallEvent]) -> None:
    after, entries = play(*events)
    assert makes_sense(entries)
    # Whatever is still open is closed by the owner's last word or, without one, by the sweep.
    after, more = play(lost(20), ended(21), start=after)
    assert makes_sense([*entries, *more])
    assert after.state is CallState.ENDED
    assert types([*entries, *more]).count("call.ended") == 1


@given(st.permutations(FROM_THE_CARRIER * 3), st.data())
def test_a_carrier_that_shuffles_and_repeats_ends_the_call_once(
    told: list[CallEvent], data: st.DataObject
) -> None:
    events = list(told)
    where = data.draw(
        st.lists(
            st.integers(0, len(events)),
            min_size=len(FROM_THE_OWNER),
            max_size=len(FROM_THE_OWNER),
        )
    )
    for place, event in reversed(list(zip(sorted(where), FROM_THE_OWNER, strict=True))):
        events.insert(place, event)
    after, entries = play(*events)
    assert makes_sense(entries)
    assert types(entries).count("call.ended") == 1
    assert after.state is CallState.ENDED


@given(st.lists(st.sampled_from(EVERYTHING)), st.sampled_from(EVERYTHING))
def test_the_same_news_twice_is_the_same_as_once(past: list[CallEvent], news: CallEvent) -> None:
    before, _ = play(*past)
    once, _ = play(news, start=before)
    twice, entries = play(news, start=once)
    assert twice == once
    assert isinstance(news, Noted) or entries == []


def test_a_carrier_that_renames_a_call_is_believed_later_than_our_order() -> None:
    renamed = CallPlaced(
        event_id="renamed", occurred_at=at(2), provider_call_id="CA2", renames=True
    )
    renamed_call, _ = play(placed(), renamed, placed(3))
    assert renamed_call.provider_call_id == "CA2"


# Handed over -------------------------------------------------------------------------------------


def test_a_call_handed_over_stays_bridged_until_the_carrier_tells_its_end() -> None:
    after, entries = play(attached(), transferred(), start=call(CallState.RINGING))
    assert types(entries) == ["call.answered", "stream.started", "stream.stopped"]
    assert after.state is CallState.BRIDGED
    assert (after.owner, after.attached, after.transferred_at) == (None, False, at(6))
    over, entries = play(ended(60), start=after)
    assert types(entries) == ["call.ended"]
    assert over.end == HANGUP
    assert over.duration_ms == 57_000


def test_only_who_holds_the_call_hands_it_over() -> None:
    before, _ = play(attached(), attached(5, owner="B", stream_id="MZ2"))
    after, entries = play(transferred(), start=before)
    assert (after, entries) == (before, [])


def test_a_call_whose_end_was_told_while_it_was_handed_over_ends_with_that() -> None:
    after, entries = play(attached(), ended(5), transferred())
    assert types(entries)[-2:] == ["stream.stopped", "call.ended"]
    assert after.end == HANGUP


def test_a_call_that_nobody_took_waits_for_its_socket_and_goes_on() -> None:
    waiting, entries = play(attached(), transferred(), returned())
    assert types(entries)[-1] == "fault"
    assert entries[-1].data["code"] == "twilio.transfer_busy"
    assert (waiting.transferred_at, waiting.stream_lost_at) == (None, at(7))
    again, entries = play(attached(8, owner="B", stream_id="MZ2"), start=waiting)
    assert (again.owner, again.attached, again.stream_stopped_at) == ("B", True, None)
    assert types(entries) == ["stream.started"]
    assert again.stream_started_at == at(3)  # it goes on: nobody is greeted twice
    over, entries = play(stopped(9, owner="B"), ended(), start=again)
    assert types(entries) == ["stream.stopped", "call.ended"]
    assert over.state is CallState.ENDED


def test_a_call_that_came_back_to_no_socket_had_one_stream() -> None:
    _, entries = play(attached(), transferred(), returned(), ended())
    assert types(entries)[-3:] == ["stream.stopped", "fault", "call.ended"]


@pytest.mark.parametrize("before", [(attached(),), (attached(), transferred(), ending(HANGUP))])
def test_nothing_returns_that_is_not_handed_over_or_is_being_ended(
    before: tuple[CallEvent, ...],
) -> None:
    now, _ = play(*before)
    assert play(returned(), start=now) == (now, [])
