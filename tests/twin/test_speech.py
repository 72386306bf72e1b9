"""Sound for a scripted caller."""

import math
import struct
import wave
from pathlib import Path

import numpy as np
import pytest

from service.media.g711 import decode_pcmu
from service.twin.speech import load_wav, speak


def _pcm(rate_hz: int, seconds: float = 0.5, hz: int = 440) -> bytes:
    count = int(rate_hz * seconds)
    samples = (int(10_000 * math.sin(2 * math.pi * hz * n / rate_hz)) for n in range(count))
    return struct.pack(f"<{count}h", *samples)


def _wav(path: Path, pcm: bytes, *, rate_hz: int, channels: int = 1, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate_hz)
        file.writeframes(pcm)
    return path


def _pitch_hz(pcmu: bytes) -> float:
    samples = np.frombuffer(decode_pcmu(pcmu), "<i2").astype(float)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * 8000 / len(samples))


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 22_050, 44_100])
def test_a_wav_of_any_rate_keeps_its_length_and_pitch(tmp_path: Path, rate_hz: int) -> None:
    pcmu = load_wav(_wav(tmp_path / "a.wav", _pcm(rate_hz), rate_hz=rate_hz))
    assert len(pcmu) == pytest.approx(4000, abs=8)
    assert _pitch_hz(pcmu) == pytest.approx(440, abs=5)


def test_two_channels_are_mixed(tmp_path: Path) -> None:
    left, silence = np.frombuffer(_pcm(8000), "<i2"), np.zeros(4000, "<i2")
    pcm = np.stack([left, silence], axis=1).tobytes()
    pcmu = load_wav(_wav(tmp_path / "a.wav", pcm, rate_hz=8000, channels=2))
    assert len(pcmu) == 4000
    assert _pitch_hz(pcmu) == pytest.approx(440, abs=5)


def test_a_wav_that_is_not_16_bit_is_refused(tmp_path: Path) -> None:
    path = _wav(tmp_path / "a.wav", b"\x80" * 100, rate_hz=8000, width=1)
    with pytest.raises(ValueError, match="16 bit"):
        load_wav(path)


@pytest.mark.parametrize("content", [b"", b"no sound at all"])
def test_a_file_that_is_no_wav_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="WAV"):
        load_wav(path)


def test_text_goes_through_the_given_voice() -> None:
    pcmu = speak("ignored", lambda _: (_pcm(22_050), 22_050))
    assert _pitch_hz(pcmu) == pytest.approx(440, abs=5)
