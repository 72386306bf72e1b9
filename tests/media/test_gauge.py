"""How loud the line is, and how loud its noise."""

import pytest

from service.core.audio import PCMU_8K, AudioFrame, Party
from service.media.gauge import Gauge
from tests.voices import noise, on_the_line, silence


def gauge_of(frames: list[AudioFrame]) -> tuple[Gauge, list[int]]:
    gauge = Gauge(frames[0].format)
    return gauge, [level for frame in frames for level in gauge.levels(frame)]


def test_loudness_is_the_rms_of_each_block_of_20_ms() -> None:
    gauge, levels = gauge_of(on_the_line(silence(100) + noise(100, -20)))
    assert levels[:5] == [0] * 5
    assert levels[5:] == pytest.approx([3277] * 5, rel=0.2)
    assert gauge.end_ms == 200


@pytest.mark.parametrize("frame_ms", [10, 20, 30, 60, 100])
def test_the_length_of_frames_makes_no_difference(frame_ms: int) -> None:
    sound = silence(300) + noise(600, -20)
    small, levels = gauge_of(on_the_line(sound))
    gauge, others = gauge_of(on_the_line(sound, frame_ms=frame_ms))
    assert others == levels
    assert (gauge.end_ms, gauge.floor) == (small.end_ms, small.floor)


def test_the_floor_follows_the_noise_of_the_line_within_two_seconds() -> None:
    gauge, _ = gauge_of(on_the_line(noise(2000, -35)))
    assert gauge.floor == pytest.approx(582, rel=0.25)
    for frame in on_the_line(silence(20), start_ms=2000):
        list(gauge.levels(frame))
    assert gauge.floor == 110


def test_missing_frames_are_told_before_the_next_block() -> None:
    gauge, _ = gauge_of(on_the_line(silence(100)))
    late = AudioFrame(b"\xff" * 80, PCMU_8K, 500, 10, Party.REMOTE)
    assert list(gauge.levels(late)) == []
    assert gauge.missing_blocks == 20
    rest = AudioFrame(b"\xff" * 80, PCMU_8K, 510, 10, Party.REMOTE)
    assert list(gauge.levels(rest)) == [0]
    assert (gauge.missing_blocks, gauge.end_ms) == (20, 520)


def test_time_that_begins_anew_misses_nothing() -> None:
    gauge, _ = gauge_of(on_the_line(silence(1000)))
    for frame in on_the_line(silence(20)):
        assert list(gauge.levels(frame)) == [0]
    assert (gauge.missing_blocks, gauge.end_ms) == (0, 20)
