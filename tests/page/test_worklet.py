"""The audio thread's parts by themselves: µ-law, resampling, and the queue with its marks."""

import audioop
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page

WORKLET = files("service.page").joinpath("worklet.js").read_text()

AUDIO_THREAD = """
class AudioWorkletProcessor {
  constructor() {
    this.port = { sent: [], postMessage: (message) => this.port.sent.push(message) };
  }
}
const sampleRate = 48000;
const registerProcessor = () => {};
"""

TO_BYTES = "(samples) => samples.map(encodeUlaw)"
RESAMPLED_TONE = """([fromHz, toHz, hz]) => {
  const resampler = new Resampler(fromHz, toHz);
  const out = [];
  for (let i = 0; i < fromHz / 4; i += 1) {
    resampler.put(0.5 * Math.sin((2 * Math.PI * hz * i) / fromHz));
    while (resampler.ready) out.push(resampler.take());
    resampler.advance();
  }
  return out;
}"""
QUEUE = """(steps) => {
  const returned = [];
  const queue = new PlayQueue((names) => returned.push([queue.heard, ...names]));
  let sounding = [];
  for (const [step, value] of steps) {
    if (step === "add") queue.add(new Uint8Array(value).fill(0x80));
    else if (step === "mark") queue.mark(value);
    else if (step === "clear") queue.clear();
    else for (let i = 0; i < value; i += 1) sounding.push(queue.next() !== 0);
  }
  return { returned, heard: queue.heard, queued: queue.queued, underruns: queue.underruns,
           silent: sounding.filter((one) => !one).length, first: sounding.indexOf(true) };
}"""


@pytest.fixture(scope="module")
def thread(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context()
    page = context.new_page()
    page.add_script_tag(content=AUDIO_THREAD + WORKLET)
    yield page
    context.close()


def run(thread: Page, *steps: tuple[str, int | str]) -> Any:
    return thread.evaluate(QUEUE, [list(step) for step in steps])


def resampled(thread: Page, hz: float, from_hz: int, to_hz: int) -> NDArray[np.float64]:
    """A quarter of a second of a tone, after resampling."""
    return np.array(thread.evaluate(RESAMPLED_TONE, [from_hz, to_hz, hz]))


def gain_db(thread: Page, hz: float, from_hz: int, to_hz: int) -> float:
    """How loud a tone is after resampling, the filter's run-in left out."""
    out = resampled(thread, hz, from_hz, to_hz)
    settled = out[len(out) // 4 :]
    return float(20 * np.log10(np.sqrt((settled**2).mean()) / (0.5 / np.sqrt(2)) + 1e-9))


def test_ulaw_is_that_of_the_standard(thread: Page) -> None:
    every = bytes(range(256))
    decoded = np.frombuffer(audioop.ulaw2lin(every, 2), "<i2") / 32768
    assert thread.evaluate("Array.from(DECODED)") == pytest.approx(decoded)
    again = bytes(thread.evaluate(TO_BYTES, decoded.tolist()))
    assert again == every.replace(b"\x7f", b"\xff")  # the two zeros


def test_loud_samples_clip_and_do_not_wrap(thread: Page) -> None:
    assert bytes(thread.evaluate(TO_BYTES, [1, 2, -1, -2])) == b"\x80\x80\x00\x00"


def test_every_sample_is_encoded_as_others_do(thread: Page) -> None:
    samples = np.arange(0, 32768, 4, dtype="<i2")
    ours = bytes(thread.evaluate(TO_BYTES, (samples / 32768).tolist()))
    assert ours == audioop.lin2ulaw(samples.tobytes(), 2)


@pytest.mark.parametrize("rate_hz", [16000, 44100, 48000, 96000])
def test_resampling_keeps_speech_and_length(thread: Page, rate_hz: int) -> None:
    for hz in (200, 1000, 3000, 3400):
        assert gain_db(thread, hz, rate_hz, 8000) == pytest.approx(0, abs=1)
        assert gain_db(thread, hz, 8000, rate_hz) == pytest.approx(0, abs=1)
    assert len(resampled(thread, 1000, rate_hz, 8000)) == 2000
    assert len(resampled(thread, 1000, 8000, rate_hz)) == rate_hz // 4


@pytest.mark.parametrize("rate_hz", [16000, 44100, 48000])
def test_what_a_phone_line_cannot_carry_does_not_fold_back(thread: Page, rate_hz: int) -> None:
    for hz in (4300, 5000, 7000):
        assert gain_db(thread, hz, rate_hz, 8000) < -50


def test_a_tone_stays_clean_on_its_way_to_the_speaker(thread: Page) -> None:
    settled = resampled(thread, 1000, 8000, 44100)[2000:]
    spectrum = np.abs(np.fft.rfft(settled * np.hanning(len(settled))))
    peak = int(spectrum.argmax())
    assert peak * 44100 / len(settled) == pytest.approx(1000, abs=5)
    rest = np.concatenate([spectrum[: peak - 5], spectrum[peak + 6 :]])
    assert 20 * np.log10(rest.max() / spectrum[peak]) < -55


def test_sound_waits_for_the_jitter_buffer(thread: Page) -> None:
    told = run(
        thread, ("add", 160), ("play", 160), ("add", 160), ("play", 80), ("add", 160), ("play", 9)
    )
    assert told["first"] == 240
    assert told["heard"] == 9


def test_something_short_is_played_too(thread: Page) -> None:
    told = run(thread, ("add", 160), ("mark", "end"), ("play", 1000))
    assert told["first"] == 480
    assert told["returned"] == [[160, "end"]]


def test_marks_return_at_their_very_sample(thread: Page) -> None:
    told = run(
        thread,
        ("add", 800),
        ("mark", "a"),
        ("add", 161),
        ("mark", "b"),
        ("mark", "c"),
        ("play", 2000),
    )
    assert told["returned"] == [[800, "a"], [961, "b", "c"]]
    assert told["underruns"] == 0


def test_a_mark_on_an_empty_queue_returns_at_once(thread: Page) -> None:
    assert run(thread, ("mark", "a"))["returned"] == [[0, "a"]]
    assert run(thread, ("add", 480), ("play", 480), ("mark", "a"))["returned"] == [[480, "a"]]


def test_a_clear_drops_the_sound_and_returns_every_mark(thread: Page) -> None:
    told = run(
        thread,
        ("add", 800),
        ("mark", "a"),
        ("add", 800),
        ("mark", "b"),
        ("play", 500),
        ("clear", 0),
        ("play", 1000),
    )
    assert told["returned"] == [[500, "a", "b"]]
    assert (told["heard"], told["queued"], told["silent"]) == (500, 0, 1000)
    assert told["underruns"] == 0


def test_sound_that_came_late_is_counted_and_the_end_of_a_turn_is_not(thread: Page) -> None:
    told = run(thread, ("add", 480), ("play", 600), ("add", 480), ("mark", "end"), ("play", 1000))
    assert told["underruns"] == 1


def test_a_queue_without_end_is_cut_off(thread: Page) -> None:
    told = run(thread, ("add", 8000 * 29), ("add", 8000 * 29), ("play", 1))
    assert told["queued"] == 8000 * 30 - 1


def test_a_line_without_a_microphone_carries_silence_on_time(thread: Page) -> None:
    frames = thread.evaluate(
        """() => {
          const line = new Line();
          for (let at = 0; at < 48000; at += 128) line.process([[]], [[new Float32Array(128)]]);
          const frames = line.port.sent.filter((message) => message.frame);
          return frames.map(({ frame }) => Array.from(new Uint8Array(frame)));
        }"""
    )
    assert [bytes(frame) for frame in frames] == [b"\xff" * 160] * 50


def test_a_closed_line_lets_the_audio_thread_go(thread: Page) -> None:
    alive = thread.evaluate(
        """() => {
          const line = new Line();
          line.port.onmessage({ data: { closed: true } });
          return line.process([[]], [[new Float32Array(128)]]);
        }"""
    )
    assert alive is False
