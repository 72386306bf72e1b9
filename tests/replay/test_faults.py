"""Faults as text, and what each does to what a cassette's carrier says."""

from collections import Counter
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.cassettes.cassette import Cassette, Header, Line, Open, Request, Response
from service.cassettes.files import read
from service.replay.disturb import disturb, is_frame
from service.replay.faults import (
    Cut,
    Double,
    Drop,
    EngineTrouble,
    Fault,
    Faults,
    FaultsError,
    Jitter,
    Linger,
    Marks,
    RedisAway,
    RedisFailover,
    RedisSlow,
    Reorder,
    SecondSocket,
    SecondStart,
    Sigterm,
    Webhooks,
    parse,
)
from tests.replay.fixtures import CASSETTES, TALKED

times = st.integers(min_value=0, max_value=3_600_000)
frames = st.integers(min_value=1, max_value=1_000_000)
shares = st.integers(min_value=0, max_value=100)
faults_of_all_kinds: st.SearchStrategy[Fault] = st.one_of(
    st.builds(Drop, shares),
    st.builds(Double, shares),
    st.builds(Reorder, st.integers(min_value=2, max_value=50)),
    st.builds(Jitter, times),
    st.builds(Marks, st.just("late"), times),
    st.sampled_from([Marks("lost"), Marks("after-clear")]),
    st.builds(Webhooks, st.just("late"), times),
    st.sampled_from([Webhooks("shuffled"), Webhooks("repeated")]),
    st.builds(Cut, frames, st.booleans()),
    st.builds(SecondStart, frames),
    st.builds(SecondSocket, frames),
    st.builds(EngineTrouble, st.sampled_from(["stall", "die", "twice"]), frames),
    st.builds(RedisSlow, times),
    times.filter(bool).flatmap(
        lambda to_ms: st.builds(RedisAway, st.integers(0, to_ms - 1), st.just(to_ms))
    ),
    st.builds(RedisFailover, times),
    st.builds(Linger, times),
    st.builds(Sigterm, times),
)


@given(st.lists(faults_of_all_kinds, max_size=5).map(tuple), st.integers(0, 999_999_999))
def test_what_is_written_is_read_again(faults: tuple[Fault, ...], seed: int) -> None:
    assert parse(str(Faults(faults, seed))) == Faults(faults, seed)


@given(st.text(max_size=40))
def test_any_text_is_faults_or_a_clear_error(text: str) -> None:
    with suppress(FaultsError):
        assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("frobnicate=3", "faults.unknown"),
        ("drop=5", "faults.malformed"),
        ("drop=5%,cut@x", "faults.malformed"),
        ("marks=late", "faults.malformed"),
        ("drop=101%", "faults.out_of_range"),
        ("cut@0", "faults.out_of_range"),
        ("reorder=1", "faults.out_of_range"),
        ("redis=away:4s..2s", "faults.out_of_range"),
        ("sigterm@9999s", "faults.out_of_range"),
    ],
)
def test_a_fault_that_cannot_be_is_named(text: str, code: str) -> None:
    with pytest.raises(FaultsError) as caught:
        parse(text)
    assert caught.value.code == code
    assert text.rpartition(",")[2] in caught.value.detail


# A call of a few frames --------------------------------------------------------------------------


def said(at_ms: int, event: str, **more: object) -> Line:
    return Line(at_ms=at_ms, lane="stream", from_="carrier", message={"event": event, **more})


def a_frame(number: int) -> Line:
    media = {"chunk": str(number), "timestamp": str(number * 20), "payload": ""}
    return said(number * 20, "media", streamSid="MZ1", sequenceNumber=str(number + 1), media=media)


def webhook(at_ms: int, path: str) -> list[Line]:
    request, answer = Request(method="POST", path=path, form={}), Response(204, "")
    return [
        Line(at_ms=at_ms, lane="webhook", from_="carrier", request=request),
        Line(at_ms=at_ms, lane="webhook", from_="bridge", response=answer),
    ]


def a_call(frame_count: int) -> Cassette:
    start = {"streamSid": "MZ1", "callSid": "CA1", "accountSid": "AC1"}
    lines = (
        *webhook(0, "/twilio/voice"),
        Line(at_ms=0, lane="stream", from_="carrier", open=Open("/twilio/stream/x")),
        said(0, "connected"),
        said(0, "start", streamSid="MZ1", sequenceNumber="1", start=start),
        *webhook(0, "/twilio/stream-status"),
        *(a_frame(number) for number in range(1, frame_count + 1)),
        said(frame_count * 20, "stop", streamSid="MZ1"),
        *webhook(frame_count * 20, "/twilio/status"),
    )
    header = Header(cassette=1, provider="twilio", title="t", agent="a", redacted=True)
    return Cassette(header, lines)


def with_faults(cassette: Cassette, text: str) -> list[Line]:
    return [*disturb(cassette, parse(text)).lines]


def chunks(lines: list[Line]) -> list[int]:
    return [int((line.message or {})["media"]["chunk"]) for line in lines if is_frame(line)]


def kinds(lines: list[Line]) -> list[str]:
    mine = [line for line in lines if line.lane == "stream" and not is_frame(line)]
    return [str((line.message or {}).get("event")) if line.message else "-" for line in mine]


def paths(lines: list[Line]) -> list[tuple[int, str]]:
    return [(line.at_ms, line.request.path) for line in lines if line.request is not None]


counts = st.integers(min_value=1, max_value=60)
seeds = st.integers(min_value=0, max_value=999)


@given(counts, shares, seeds)
def test_dropped_frames_are_missing_and_the_others_stay_in_order(
    count: int, share: int, seed: int
) -> None:
    left = chunks(with_faults(a_call(count), f"drop={share}%,seed={seed}"))
    assert left == sorted(set(left))
    assert len(left) == {0: count, 100: 0}.get(share, len(left))


@given(counts, shares, seeds)
def test_doubled_frames_come_twice_and_no_other_more_often(
    count: int, share: int, seed: int
) -> None:
    found = chunks(with_faults(a_call(count), f"double={share}%,seed={seed}"))
    assert found == sorted(found)
    assert set(Counter(found).values()) <= {1, 2}
    assert len(found) == {0: count, 100: 2 * count}.get(share, len(found))


@given(counts, st.integers(2, 9), seeds)
def test_reordered_frames_stay_near_their_place_and_none_is_lost(
    count: int, width: int, seed: int
) -> None:
    found = chunks(with_faults(a_call(count), f"reorder={width},seed={seed}"))
    assert sorted(found) == [*range(1, count + 1)]
    assert all(abs(chunk - place) < width for place, chunk in enumerate(found, start=1))


@given(counts, st.integers(0, 500), seeds)
def test_jitter_makes_late_but_lets_nothing_overtake(count: int, up_to_ms: int, seed: int) -> None:
    call = a_call(count)
    late = with_faults(call, f"jitter={up_to_ms}ms,seed={seed}")
    assert [line.at_ms for line in late] == sorted(line.at_ms for line in late)
    assert chunks(late) == [*range(1, count + 1)]
    assert kinds(late) == kinds([*call.lines])
    for line in late:
        if is_frame(line):
            due_ms = int((line.message or {})["media"]["timestamp"])
            assert due_ms <= line.at_ms <= due_ms + up_to_ms


def test_the_same_seed_makes_the_same_faults_and_another_makes_others() -> None:
    call = a_call(50)
    assert with_faults(call, "drop=50%,seed=3") == with_faults(call, "drop=50%,seed=3")
    assert with_faults(call, "drop=50%,seed=3") != with_faults(call, "drop=50%,seed=4")


def test_a_socket_that_is_cut_says_nothing_more_but_the_webhooks_come() -> None:
    cut = with_faults(a_call(10), "cut@4")
    assert chunks(cut) == [1, 2, 3, 4]
    assert kinds(cut) == ["-", "connected", "start", "-"]
    closes = [line for line in cut if line.close is not None]
    assert [(line.at_ms, line.close and line.close.code) for line in closes] == [(80, 1006)]
    assert paths(cut)[-1] == (200, "/twilio/status")


def test_a_socket_may_stop_before_it_is_cut() -> None:
    cut = with_faults(a_call(10), "cut@4:stop")
    assert kinds(cut)[-2:] == ["stop", "-"]
    stop = next(line for line in cut if (line.message or {}).get("event") == "stop")
    assert (stop.message or {})["stop"] == {"callSid": "CA1", "accountSid": "AC1"}
    assert [line.close.code for line in cut if line.close is not None] == [1000]


def test_a_socket_that_is_opened_again_goes_on_after_a_cut() -> None:
    reopened = read(TALKED.with_name("inbound-socket-lost-and-reopened.jsonl"))
    assert len(chunks(with_faults(reopened, "cut@10"))) > 10


def test_a_cut_behind_the_last_frame_is_none() -> None:
    call = a_call(3)
    assert with_faults(call, "cut@4") == [*call.lines]


def test_a_second_start_repeats_the_first() -> None:
    again = with_faults(a_call(10), "second-start@4")
    starts = [line for line in again if (line.message or {}).get("event") == "start"]
    assert [line.at_ms for line in starts] == [0, 80]
    assert starts[0].message == starts[1].message


def test_a_second_socket_is_another_stream_of_the_same_call_counted_from_one() -> None:
    lines = with_faults(a_call(10), "second-socket@4")
    assert kinds(lines) == ["-", "connected", "start", "-", "connected", "start", "stop"]
    assert chunks(lines) == [1, 2, 3, 4, 1, 2, 3, 4, 5, 6]
    streams = [(line.message or {})["streamSid"] for line in lines if is_frame(line)]
    assert len(set(streams[:4])) == len(set(streams[4:])) == 1
    assert streams[0] != streams[-1]


def test_shuffled_webhooks_are_late_but_not_the_one_that_begins_the_call() -> None:
    lines = with_faults(a_call(10), "webhooks=shuffled,seed=2")
    assert paths(lines)[0] == (0, "/twilio/voice")
    assert sorted(path for _, path in paths(lines)) == sorted(
        path for _, path in paths([*a_call(10).lines])
    )
    assert len([line for line in lines if line.response is not None]) == 1


def test_repeated_webhooks_come_three_times() -> None:
    found = Counter(path for _, path in paths(with_faults(a_call(10), "webhooks=repeated")))
    assert set(found.values()) == {3}


def test_late_webhooks_come_after_everything_else() -> None:
    lines = with_faults(a_call(10), "webhooks=late:5s")
    assert paths(lines) == [
        (0, "/twilio/voice"),
        (5200, "/twilio/stream-status"),
        (5200, "/twilio/status"),
    ]


def test_who_lingers_is_silent_and_all_else_is_later() -> None:
    lines = with_faults(a_call(5), "linger=1s")
    assert chunks(lines) == [*range(1, 56)]
    assert paths(lines)[-1] == (1100, "/twilio/status")
    last = [line for line in lines if is_frame(line)][-1].message or {}
    assert (last["sequenceNumber"], last["media"]["timestamp"]) == ("56", "1100")


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(CASSETTES), st.lists(faults_of_all_kinds, max_size=3).map(tuple), seeds)
def test_whatever_is_disturbed_can_still_be_played(
    path: Path, faults: tuple[Fault, ...], seed: int
) -> None:
    cassette = read(path)
    lines = disturb(cassette, Faults(faults[:2], seed)).lines
    assert [line.at_ms for line in lines] == sorted(line.at_ms for line in lines)
    assert all(len(line.kinds) == 1 for line in lines)
    assert msgspec.json.decode(msgspec.json.encode(lines), type=tuple[Line, ...]) == lines
