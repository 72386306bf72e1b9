"""Samples out of whatever a speech server sends."""

import io
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.ai.openai_pipeline.pcm import PcmReader
from service.core.errors import MediaError

SAMPLES = bytes(range(1, 101)) * 4


def wav(pcm: bytes, *, rate_hz: int = 16_000, channels: int = 1, width: int = 2) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(rate_hz)
        writer.writeframes(pcm)
    return file.getvalue()


def read(data: bytes, size: int) -> tuple[bytes, int]:
    reader = PcmReader(24_000)
    pieces = [reader.push(data[at : at + size]) for at in range(0, len(data), size)]
    assert all(len(piece) % 2 == 0 for piece in pieces)
    return b"".join(pieces) + reader.flush(), reader.sample_rate_hz


@given(st.binary(max_size=80), st.integers(1, 30))
def test_raw_samples_go_through_whole(data: bytes, size: int) -> None:
    data = b"\x00\x01" + data
    assert read(data, size) == (data[: len(data) // 2 * 2], 24_000)


@given(st.integers(1, 200))
def test_the_head_of_a_wav_file_is_no_sound(size: int) -> None:
    assert read(wav(SAMPLES), size) == (SAMPLES, 16_000)


def test_other_chunks_of_a_wav_file_are_passed_over() -> None:
    made = wav(SAMPLES)
    with_list = made[:12] + b"LIST\x05\x00\x00\x00abcde\x00" + made[12:]
    assert read(with_list, 7) == (SAMPLES, 16_000)


@pytest.mark.parametrize(
    "data",
    [
        wav(SAMPLES, channels=2),
        wav(SAMPLES, width=1),
        wav(SAMPLES, rate_hz=100),
        b"ID3\x04" + bytes(100),
        b"OggS" + bytes(100),
        b"<!doctype html><html>" + bytes(20),
        wav(b"")[:12] + b"LIST\xff\xff\x00\x00" + bytes(5000),
    ],
)
def test_what_is_no_pcm_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(MediaError):
        read(data, 50)


def test_a_head_without_sound_is_silence() -> None:
    assert read(wav(b""), 10)[0] == b""
    assert read(wav(b"")[:20], 10)[0] == b""
