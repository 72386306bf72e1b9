"""The door between formats: exact where it can be, in time where it cannot."""

import numpy as np
import pytest

from service.core.audio import PCM16_8K, PCMA_8K, PCMU_8K, Encoding, MediaFormat
from service.core.errors import MediaError
from service.media import g711
from service.media.convert import Converter

L16_8K = MediaFormat(Encoding.L16)
ALL_CODES = bytes(range(256))


def sine(hz: float, rate_hz: int, seconds: float = 1.0) -> bytes:
    times = np.arange(int(rate_hz * seconds)) / rate_hz
    pcm: bytes = (8000 * np.sin(2 * np.pi * hz * times)).astype("<i2").tobytes()
    return pcm


def converted(data: bytes, source: MediaFormat, target: MediaFormat) -> bytes:
    """In frames of 20 ms, as a live stream comes."""
    converter = Converter(source, target)
    width = 1 if source.encoding in (Encoding.PCMU, Encoding.PCMA) else 2
    size = source.sample_rate_hz // 50 * width
    pieces = [converter.convert(data[i : i + size]) for i in range(0, len(data), size)]
    return b"".join([*pieces, converter.flush()])


def test_equal_formats_pass_the_very_same_bytes() -> None:
    data = bytes(range(160))
    converter = Converter(PCMU_8K, PCMU_8K)
    assert converter.identity
    assert converter.convert(data) is data


def test_known_values_of_g711() -> None:
    assert g711.decode_pcmu(b"\xff\x80\x00") == np.array([0, 32124, -32124], "<i2").tobytes()
    assert g711.decode_pcma(b"\xd5\xaa\x2a") == np.array([8, 32256, -32256], "<i2").tobytes()


def test_every_a_law_code_survives_the_way_through_pcm16() -> None:
    assert converted(converted(ALL_CODES, PCMA_8K, PCM16_8K), PCM16_8K, PCMA_8K) == ALL_CODES


def test_every_mu_law_code_survives_but_for_minus_zero() -> None:
    there_and_back = converted(converted(ALL_CODES, PCMU_8K, PCM16_8K), PCM16_8K, PCMU_8K)
    assert there_and_back == ALL_CODES.replace(b"\x7f", b"\xff")


def test_network_order_is_the_other_way_round() -> None:
    assert converted(b"\x01\x02", L16_8K, PCM16_8K) == b"\x02\x01"
    assert converted(b"\x01\x02", PCM16_8K, L16_8K) == b"\x02\x01"


@pytest.mark.parametrize("rate_hz", [16_000, 24_000, 48_000])
def test_a_tone_keeps_pitch_length_and_level_at_another_rate(rate_hz: int) -> None:
    there = MediaFormat(Encoding.PCM16, rate_hz)
    samples = np.frombuffer(converted(sine(1000, 8000), PCM16_8K, there), "<i2")
    assert abs(len(samples) - rate_hz) <= rate_hz // 100
    middle = samples[rate_hz // 4 : rate_hz * 3 // 4].astype(float)
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * rate_hz / len(middle) == pytest.approx(1000, abs=5)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(8000 / np.sqrt(2), rel=0.02)


def test_what_a_telephone_cannot_carry_does_not_come_back_as_another_tone() -> None:
    wide = MediaFormat(Encoding.PCM16, 24_000)
    samples = np.frombuffer(converted(sine(6000, 24_000), wide, PCM16_8K), "<i2")
    assert np.sqrt(np.mean(samples.astype(float) ** 2)) < 30


def test_a_resampled_stream_is_late_by_less_than_two_frames() -> None:
    converter = Converter(PCM16_8K, MediaFormat(Encoding.PCM16, 24_000))
    given = got = 0
    for _ in range(50):
        given += 20
        got += len(converter.convert(bytes(320))) * 1000 // 48_000
        assert given - got <= 50


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (MediaFormat(Encoding.OPUS, 48_000), PCM16_8K),
        (PCM16_8K, MediaFormat(Encoding.G722, 16_000)),
        (MediaFormat(Encoding.PCM16, 8000, 2), PCM16_8K),
    ],
)
def test_a_format_that_cannot_be_used_is_named(source: MediaFormat, target: MediaFormat) -> None:
    with pytest.raises(MediaError, match=r"media\.unsupported_format"):
        Converter(source, target)
