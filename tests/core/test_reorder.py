"""Frames that come shuffled, twice, late or not at all, as numbers and times."""

from hypothesis import given
from hypothesis import strategies as st

from service.core.reorder import MAX_AHEAD_FRAMES, RESTART_FRAMES, WAIT_MS, Gap, Reorder


def feed(order: Reorder[int], number: int, now_ms: int = 0) -> list[int | Gap]:
    return [number] if order.in_turn(number) else order.push(number, number, now_ms)


def play(
    numbers: list[int], order: Reorder[int] | None = None, step_ms: int = 20
) -> list[int | Gap]:
    order = order or Reorder[int]()
    told = [x for at, n in enumerate(numbers) for x in feed(order, n, at * step_ms)]
    return told + order.flush()


def test_frames_in_order_pass_at_once() -> None:
    order = Reorder[int]()
    assert [feed(order, n) for n in (1, 2, 3)] == [[1], [2], [3]]
    assert (order.lost, order.late, order.duplicate) == (0, 0, 0)


def test_two_frames_that_changed_places_are_put_right() -> None:
    order = Reorder[int]()
    assert [feed(order, n) for n in (1, 3, 2, 4)] == [[1], [], [2, 3], [4]]
    assert order.lost == 0


def test_a_missing_frame_is_given_up_after_the_wait() -> None:
    order = Reorder[int]()
    feed(order, 1, 0)
    assert feed(order, 3, 20) == []
    assert feed(order, 4, 20 + WAIT_MS - 1) == []
    assert feed(order, 5, 20 + WAIT_MS) == [Gap(2, 1), 3, 4, 5]
    assert feed(order, 6, 20 + WAIT_MS) == [6]
    assert order.lost == 1


def test_a_missing_frame_is_given_up_when_ten_are_held() -> None:
    order = Reorder[int]()
    feed(order, 1)
    assert [x for n in range(3, 12) for x in feed(order, n)] == []
    assert feed(order, 12) == [Gap(2, 1), *range(3, 13)]


def test_a_second_hole_is_waited_for_from_when_it_showed() -> None:
    order = Reorder[int]()
    feed(order, 1, 0)
    feed(order, 3, 0)
    feed(order, 5, 60)
    assert feed(order, 6, 100) == [Gap(2, 1), 3]
    assert feed(order, 7, 159) == []
    assert feed(order, 8, 160) == [Gap(4, 1), 5, 6, 7, 8]


def test_repeated_frames_are_dropped_and_counted() -> None:
    order = Reorder[int]()
    assert play([1, 1, 2, 4, 4, 3, 3], order) == [1, 2, 3, 4]
    assert (order.duplicate, order.late, order.lost) == (3, 0, 0)


def test_a_frame_that_comes_after_it_was_given_up_is_late() -> None:
    order = Reorder[int]()
    feed(order, 1, 0)
    feed(order, 3, 0)
    feed(order, 4, WAIT_MS)
    assert feed(order, 2, WAIT_MS) == []
    assert (order.lost, order.late, order.duplicate) == (1, 1, 0)


def test_a_stream_may_begin_at_any_number() -> None:
    for first in (-3, 0, 4711):
        order = Reorder[int]()
        assert [feed(order, first + n) for n in range(3)] == [[first], [first + 1], [first + 2]]
        assert order.lost == 0


def test_a_stream_whose_first_frames_are_shuffled_is_put_right() -> None:
    assert play([3, 1, 2, 4]) == [1, 2, 3, 4]


def test_a_stream_that_begins_a_little_later_has_no_gap() -> None:
    order = Reorder[int]()
    assert play([4, 5, 6], order) == [4, 5, 6]
    assert order.lost == 0


def test_one_absurd_number_does_not_deafen_the_stream() -> None:
    order = Reorder[int]()
    assert play([1, 2, 10**30, 3, 4], order) == [1, 2, 3, 4]
    assert (order.late, order.lost) == (1, 0)


def test_a_counter_that_restarts_is_followed_within_a_second() -> None:
    order = Reorder[int]()
    play(list(range(1, 2000)), order)
    assert [feed(order, n) for n in range(1, RESTART_FRAMES)] == [[]] * (RESTART_FRAMES - 1)
    assert feed(order, RESTART_FRAMES) == [RESTART_FRAMES]
    assert feed(order, RESTART_FRAMES + 1) == [RESTART_FRAMES + 1]


def test_a_counter_that_leaps_ahead_is_followed_within_a_second() -> None:
    order = Reorder[int]()
    leap = MAX_AHEAD_FRAMES + 10
    told = play([1, *range(leap, leap + RESTART_FRAMES + 2)], order)
    assert told == [1, leap + RESTART_FRAMES - 1, leap + RESTART_FRAMES, leap + RESTART_FRAMES + 1]


def test_an_echo_of_the_whole_stream_is_dropped() -> None:
    live = [n for n in range(1, 300) for n in (n, n - 40) if n > 0]
    order = Reorder[int]()
    assert play(live, order) == list(range(1, 300))
    assert order.lost == 0


def test_what_is_held_at_the_end_is_delivered() -> None:
    order = Reorder[int]()
    feed(order, 1)
    feed(order, 3)
    feed(order, 6)
    assert order.flush() == [Gap(2, 1), 3, Gap(4, 2), 6]
    assert order.flush() == []


@given(
    st.lists(st.integers(1, 60), max_size=80),
    st.lists(st.integers(0, 150), min_size=80, max_size=80),
)
def test_whatever_comes_is_delivered_once_in_order_and_accounted_for(
    numbers: list[int], waits_ms: list[int]
) -> None:
    order = Reorder[int]()
    told: list[int | Gap] = []
    now_ms = 0
    for number, wait_ms in zip(numbers, waits_ms, strict=False):
        now_ms += wait_ms
        told += feed(order, number, now_ms)
    told += order.flush()
    frames = [x for x in told if isinstance(x, int)]
    assert frames == sorted(set(frames))
    assert len(frames) + order.late + order.duplicate == len(numbers)
    assert order.lost == sum(x.count for x in told if isinstance(x, Gap))
    if frames:
        spanned = frames[-1] - frames[0] + 1
        assert len(frames) + order.lost == spanned
