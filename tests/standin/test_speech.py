"""Speech by the official client."""

import asyncio
import io
import wave
from typing import Any

import openai
import pytest

from service.replay import virtual
from service.standin import Voice
from tests.standin.client import client_of, fault, standin

WANTED: dict[str, Any] = {"model": "gpt-4o-mini-tts", "voice": "marin", "input": "Hello there."}


async def sound(client: openai.AsyncOpenAI, **request: Any) -> list[bytes]:
    speech = client.audio.speech.with_streaming_response
    async with speech.create(**{**WANTED, **request}) as answer:
        return [piece async for piece in answer.iter_bytes()]


async def test_sound_comes_in_pieces_of_24_khz_pcm(voice: Voice) -> None:
    server = standin(voice, sound={"speed": 0})
    async with client_of(server) as client:
        pieces = await sound(client, response_format="pcm")
    size = sum(map(len, pieces))
    assert len(pieces) > 2
    assert size % 2 == 0
    assert 500 < size / 48 < 2500
    assert server.requests[0].end == "complete"
    made = server.requests[0].made
    assert made is not None
    assert made.data == b"".join(pieces)
    assert [word.text for word in made.words] == ["Hello", " there."]
    assert 0 < made.words[1].start_ms < made.duration_ms


async def test_a_wav_has_a_head_and_the_same_sound(voice: Voice) -> None:
    async with client_of(standin(voice, sound={"speed": 0})) as client:
        pcm = b"".join(await sound(client, response_format="pcm"))
        whole = b"".join(await sound(client, response_format="wav"))
    with wave.open(io.BytesIO(whole)) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (24000, 2, 1)
    assert whole[44:] == pcm


async def test_a_faster_voice_takes_less_time(voice: Voice) -> None:
    async with client_of(standin(voice, sound={"speed": 0})) as client:
        usual = sum(map(len, await sound(client, response_format="pcm")))
        quick = sum(map(len, await sound(client, response_format="pcm", speed=2.0)))
    assert quick < usual * 0.7


async def test_pieces_have_the_size_that_is_asked_for_in_whole_samples(voice: Voice) -> None:
    async with client_of(standin(voice, sound={"speed": 0, "chunk_bytes": 333})) as client:
        pieces = await sound(client, response_format="pcm")
    assert {len(piece) for piece in pieces[:-1]} == {332}


async def test_sound_may_end_in_half_a_sample(voice: Voice) -> None:
    server = standin(voice, sound={"speed": 0})
    server.faults.add(fault("speech", "odd"))
    async with client_of(server) as client:
        assert sum(map(len, await sound(client, response_format="pcm"))) % 2 == 1


def test_sound_comes_some_times_faster_than_it_is_heard(voice: Voice) -> None:
    async def main() -> tuple[float, float]:
        server = standin(voice, sound={"speed": 4}, delays={"first_audio_ms": 250})
        async with client_of(server) as client:
            pieces = await sound(client, response_format="pcm")
        return sum(map(len, pieces)) / 48_000, asyncio.get_running_loop().time()

    length_s, took_s = virtual.run(main())
    assert took_s == pytest.approx(0.25 + length_s / 4, abs=0.01)


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"input": ""}, "string_too_short", "input"),
        ({"input": "x" * 4097}, "string_above_max_length", "input"),
        ({"voice": "nobody"}, "invalid_value", "voice"),
        ({"speed": 5}, "invalid_value", "speed"),
        ({"surprise": True}, "unknown_parameter", "surprise"),
        ({"response_format": "gsm"}, "invalid_value", "response_format"),
        ({"response_format": "mp3"}, "unsupported_value", "response_format"),
    ],
)
async def test_what_is_no_request_is_refused(change: dict[str, Any], code: str, param: str) -> None:
    server = standin()
    async with client_of(server) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.audio.speech.create(**WANTED, extra_body=change)
    assert (caught.value.code, caught.value.param) == (code, param)
    assert server.refused[0].at == "speech"
