"""Frames of one length from bytes of any."""

from hypothesis import given
from hypothesis import strategies as st

from service.core.audio import PCM16_8K, PCMU_8K, Party
from service.media.frames import Framer


@given(st.lists(st.binary(max_size=700), max_size=12))
def test_nothing_is_lost_and_every_frame_is_full(pieces: list[bytes]) -> None:
    framer = Framer(PCMU_8K, Party.AGENT)
    frames = [frame for piece in pieces for frame in framer.push(piece)] + framer.flush()
    given_bytes = b"".join(pieces)
    assert b"".join(frame.data for frame in frames).startswith(given_bytes)
    assert all(len(frame.data) == 160 for frame in frames)
    assert len(frames) == -(-len(given_bytes) // 160)
    assert [frame.start_ms for frame in frames] == [20 * i for i in range(len(frames))]


def test_the_last_frame_is_filled_with_silence() -> None:
    framer = Framer(PCMU_8K, Party.AGENT)
    assert framer.push(b"\x01" * 100) == []
    [last] = framer.flush()
    assert last.data == b"\x01" * 100 + b"\xff" * 60
    assert framer.flush() == []


def test_longer_frames_begin_where_they_are_told() -> None:
    framer = Framer(PCM16_8K, Party.REMOTE, start_ms=500, frame_ms=60)
    [frame] = framer.push(bytes(960))
    assert (frame.start_ms, frame.duration_ms) == (500, 60)
