"""The playback clock: what the person hears, and when marks come back."""

from hypothesis import given
from hypothesis import strategies as st

from service.twin.playback import Echo, Playback, Span


def _names(echoes: list[Echo]) -> list[str]:
    return [echo.name for echo in echoes]


def test_sound_plays_at_the_speed_of_speech_from_when_it_came() -> None:
    playback = Playback(1000)
    playback.queue(b"a" * 160, 1050)
    playback.advance(1060)
    assert playback.heard() == b"\xff" * 400 + b"a" * 80
    playback.advance(1100)
    assert playback.heard() == b"\xff" * 400 + b"a" * 160 + b"\xff" * 240


def test_a_mark_comes_back_when_all_before_it_has_been_played() -> None:
    playback = Playback(0)
    playback.queue(b"a" * 800, 0)
    assert playback.mark("one", 0) == []
    playback.queue(b"b" * 80, 0)
    assert playback.mark("two", 0) == []
    assert playback.advance(99) == []
    assert playback.advance(100) == [Echo("one", 100, cleared=False)]
    assert _names(playback.advance(200)) == ["two"]


def test_a_mark_comes_back_at_once_when_nothing_is_queued() -> None:
    playback = Playback(0)
    assert playback.mark("one", 5) == [Echo("one", 5, cleared=False)]


def test_marks_that_fell_due_come_back_before_one_that_is_new() -> None:
    playback = Playback(0)
    playback.queue(b"a" * 160, 0)
    playback.mark("old", 0)
    assert _names(playback.mark("new", 50)) == ["old", "new"]


def test_clear_drops_the_unplayed_and_returns_every_mark() -> None:
    playback = Playback(0)
    playback.queue(b"a" * 800, 0)
    playback.mark("one", 0)
    playback.queue(b"b" * 800, 0)
    playback.mark("two", 0)
    assert playback.clear(150) == [
        Echo("one", 100, cleared=False),
        Echo("two", 150, cleared=True),
    ]
    playback.advance(200)
    assert playback.heard() == b"a" * 800 + b"b" * 400 + b"\xff" * 400


def test_sound_after_clear_plays_at_once() -> None:
    playback = Playback(0)
    playback.queue(b"a" * 8000, 0)
    playback.clear(10)
    playback.queue(b"c" * 80, 20)
    playback.advance(30)
    assert playback.heard()[160:] == b"c" * 80
    assert playback.spans() == [Span(0, 10), Span(20, 30)]


@given(st.lists(st.tuples(st.binary(max_size=500), st.integers(0, 90)), max_size=20))
def test_nothing_is_lost_or_reordered_whatever_the_sizes(pieces: list[tuple[bytes, int]]) -> None:
    playback = Playback(0)
    now_ms, returned = 0, []
    for number, (data, wait_ms) in enumerate(pieces):
        now_ms += wait_ms
        returned += _names(playback.queue(data, now_ms))
        returned += _names(playback.mark(str(number), now_ms))
    returned += _names(playback.advance(now_ms + 10_000))
    played = b"".join(
        playback.heard()[int(s.start_ms * 8) : int(s.end_ms * 8)] for s in playback.spans()
    )
    assert played == b"".join(data for data, _ in pieces)
    assert returned == [str(number) for number in range(len(pieces))]
    assert len(playback.heard()) == (now_ms + 10_000) * 8
