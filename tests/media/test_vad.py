"""When speech begins and ends, told by people's voices, and everything that is not speech."""

import audioop

import pytest

from service.core.audio import AudioFrame
from service.core.events import SpeechStarted, SpeechStopped
from service.media.vad import HANGOVER_MS, Detector
from tests.voices import noise, on_the_line, recording, silence

Heard = list[tuple[int, SpeechStarted | SpeechStopped]]


def hear(frames: list[AudioFrame], detector: Detector | None = None) -> Heard:
    """What was decided, and at which media time."""
    detector = detector or Detector(frames[0].format)
    told = [(f.start_ms + f.duration_ms, detector.hear(f)) for f in frames]
    return [(at_ms, event) for at_ms, event in told if event is not None]


def starts(pcm: bytes) -> int:
    return sum(isinstance(event, SpeechStarted) for _, event in hear(on_the_line(pcm)))


VOICES = ["hello", "goodbye", "digits/7", "vm-goodbye", "agent-alreadyon", "digits/day-2", "sorry"]


@pytest.mark.parametrize("name", VOICES)
@pytest.mark.parametrize("gain", [1.0, 0.5])
def test_speech_is_noticed_within_a_fifth_of_a_second(name: str, gain: float) -> None:
    voice = audioop.mul(recording(name), 2, gain)
    at_ms, first = hear(on_the_line(silence(1000) + voice + silence(1000)))[0]
    assert isinstance(first, SpeechStarted)
    assert first.start_ms >= 1000
    assert at_ms - first.start_ms <= 200


@pytest.mark.parametrize("frame_ms", [10, 20, 30, 60, 100])
def test_the_length_of_frames_makes_no_difference(frame_ms: int) -> None:
    sound = silence(600) + recording("hello") + silence(1800)
    small = [event for _, event in hear(on_the_line(sound))]
    assert [event for _, event in hear(on_the_line(sound, frame_ms=frame_ms))] == small


def test_an_end_is_told_after_the_hangover_and_dated_at_the_last_voice() -> None:
    voice = recording("hello")
    frames = on_the_line(silence(1000) + voice + silence(2000))
    (_, started), (at_ms, stopped) = hear(frames)
    assert isinstance(started, SpeechStarted)
    assert isinstance(stopped, SpeechStopped)
    assert started.start_ms < stopped.end_ms <= 1000 + len(voice) // 16 + 20
    assert at_ms - stopped.end_ms == HANGOVER_MS


def test_a_pause_shorter_than_the_hangover_does_not_part_an_utterance() -> None:
    sound = recording("digits/7") + silence(250) + recording("digits/8") + silence(1500)
    assert [type(event) for _, event in hear(on_the_line(silence(500) + sound))] == [
        SpeechStarted,
        SpeechStopped,
    ]


@pytest.mark.parametrize("dbfs", [-50, -40, -35, -32])
@pytest.mark.parametrize("quiet_ms", [0, 3010])
def test_comfort_noise_is_no_speech_even_where_it_begins_suddenly(
    dbfs: float, quiet_ms: int
) -> None:
    assert starts(silence(quiet_ms) + noise(60_000, dbfs)) == 0


def test_speech_over_comfort_noise_is_heard_and_ends() -> None:
    voice = silence(3000) + recording("agent-alreadyon") + silence(2000)
    hiss = noise(len(voice) // 16 + 1, -35)[: len(voice)]
    mixed = audioop.add(voice, hiss, 2)
    kinds = [type(event) for _, event in hear(on_the_line(mixed))]
    assert kinds[:2] == [SpeechStarted, SpeechStopped]


@pytest.mark.parametrize("offset_ms", range(0, 20, 5))
def test_a_click_or_cough_of_less_than_80_ms_is_no_speech(offset_ms: int) -> None:
    cough = noise(79, -8)
    assert starts(silence(1000 + offset_ms) + cough + silence(500) + cough + silence(1000)) == 0


def test_noise_that_begins_while_someone_speaks_does_not_keep_them_speaking_for_ever() -> None:
    sound = silence(1000) + recording("hello") + noise(6000, -32)
    kinds = [type(event) for _, event in hear(on_the_line(sound))]
    assert kinds == [SpeechStarted, SpeechStopped]


def test_frames_that_are_missing_count_as_silence() -> None:
    frames = on_the_line(silence(500) + recording("agent-alreadyon"))
    detector = Detector(frames[0].format)
    for frame in frames[:60]:
        detector.hear(frame)
    assert detector.speaking
    late = [AudioFrame(b"\xff" * 160, frames[0].format, 60_000, 20, frames[0].party)]
    [(_, event)] = hear(late, detector)
    assert isinstance(event, SpeechStopped)
    assert event.end_ms <= 1200


def test_time_that_begins_anew_is_followed() -> None:
    sound = silence(500) + recording("hello") + silence(1000)
    detector = Detector(on_the_line(sound)[0].format)
    first = hear(on_the_line(sound, start_ms=50_000), detector)
    again = hear(on_the_line(sound), detector)
    assert [a - b for (a, _), (b, _) in zip(first, again, strict=True)] == [50_000, 50_000]
