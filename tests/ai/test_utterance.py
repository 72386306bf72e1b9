"""What a person said, with a little room on both sides and never without an end."""

import pytest

from service.ai.utterance import LEAD_IN_MS, MARGIN_MS, Utterances
from service.core.audio import PCMU_8K, AudioFrame
from service.core.events import SpeechStarted, SpeechStopped
from tests.voices import on_the_line, recording, silence

Event = SpeechStarted | SpeechStopped


def follow(utterances: Utterances, frames: list[AudioFrame]) -> list[Event]:
    return [event for frame in frames if (event := utterances.hear(frame)) is not None]


def span_ms(frames: list[AudioFrame]) -> tuple[int, int]:
    return frames[0].start_ms, frames[-1].start_ms + frames[-1].duration_ms


@pytest.fixture
def utterances() -> Utterances:
    return Utterances(PCMU_8K, most_ms=5000)


def test_an_utterance_is_kept_from_a_little_before_to_a_little_after(
    utterances: Utterances,
) -> None:
    frames = [*on_the_line(silence(1000) + recording("vm-goodbye") + silence(1500))]
    start, stop = follow(utterances, frames)
    assert isinstance(start, SpeechStarted)
    assert isinstance(stop, SpeechStopped)
    first_ms, last_ms = span_ms(utterances.frames)
    assert start.start_ms - MARGIN_MS - 20 <= first_ms <= start.start_ms - MARGIN_MS
    assert stop.end_ms + MARGIN_MS <= last_ms <= stop.end_ms + MARGIN_MS + 20
    kept = [frame for frame in frames if first_ms <= frame.start_ms < last_ms]
    assert utterances.frames == kept  # nothing in between is missing


def test_two_utterances_have_no_sound_in_common(utterances: Utterances) -> None:
    voice = recording("vm-goodbye")
    frames = [*on_the_line(silence(1000) + voice + silence(1500) + voice + silence(1500))]
    first, second = [
        utterances.frames for f in frames if isinstance(utterances.hear(f), SpeechStopped)
    ]
    assert first[-1].start_ms < second[0].start_ms


def test_silence_is_forgotten(utterances: Utterances) -> None:
    assert follow(utterances, [*on_the_line(silence(60_000))]) == []
    assert (utterances.end(), utterances.frames) == (None, [])


def test_who_does_not_stop_is_cut_off_and_heard_on(utterances: Utterances) -> None:
    voice = recording("tt-monkeysintro")
    frames = [*on_the_line(silence(500) + voice * 3)]
    events = follow(utterances, frames)
    stops = [event for event in events if isinstance(event, SpeechStopped)]
    assert stops
    first_ms, last_ms = span_ms(utterances.frames)
    assert last_ms - first_ms <= 5000 + LEAD_IN_MS


def test_what_is_being_said_ends_with_the_call(utterances: Utterances) -> None:
    frames = [*on_the_line(silence(1000) + recording("vm-goodbye"))]
    half = frames[: 50 + (len(frames) - 50) // 2]
    [start] = follow(utterances, half)
    assert isinstance(start, SpeechStarted)
    last = half[-1]
    assert utterances.end() == SpeechStopped(last.start_ms + last.duration_ms)
    first_ms, last_ms = span_ms(utterances.frames)
    assert first_ms <= start.start_ms
    assert last_ms == last.start_ms + last.duration_ms
    assert utterances.end() is None
