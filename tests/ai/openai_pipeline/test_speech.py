"""Sound from servers that keep to the API, and from those that do not quite."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from openai import AsyncOpenAI

from service.agents.openai import Speech as Settings
from service.ai.openai.errors import OpenAIFault
from service.ai.openai_pipeline.speech import Sound, Voice
from service.replay.virtual import run
from tests.ai.openai_pipeline.test_pcm import SAMPLES, wav

URL = "http://mouth.test/v1"


class Body(httpx.AsyncByteStream):
    """Comes piece by piece; None is a minute's silence."""

    def __init__(self, pieces: tuple[bytes | None, ...]) -> None:
        self._pieces = pieces
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if piece is None:
                await asyncio.sleep(60)
            else:
                yield piece

    async def aclose(self) -> None:
        self.closed = True


class Far:
    """A server that sends this sound."""

    def __init__(self, *pieces: bytes | None, kind: str = "audio/pcm", busy: int = 0) -> None:
        self.asked: list[dict[str, Any]] = []
        self.bodies: list[Body] = []
        self._pieces = pieces
        self._kind = kind
        self._busy = busy

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(json.loads(request.content))
        if len(self.asked) <= self._busy:
            return httpx.Response(503)
        body = Body(self._pieces)
        self.bodies.append(body)
        return httpx.Response(200, headers={"content-type": self._kind}, stream=body)

    def say(self, text: str = "Hello.", **settings: Any) -> list[Sound]:
        async def main() -> list[Sound]:
            async with httpx.AsyncClient(transport=httpx.MockTransport(self.answer)) as http:
                client = AsyncOpenAI(api_key="k", base_url=URL, http_client=http, max_retries=0)  # type: ignore[arg-type]
                voice = Voice(client, Settings(**settings))
                return [sound async for sound in voice.say(text)]

        try:
            return run(main())
        finally:
            assert all(body.closed for body in self.bodies)


def code_of(far: Far) -> tuple[str, str]:
    with pytest.raises(OpenAIFault) as fault:
        far.say()
    return fault.value.code, fault.value.detail


def test_sound_comes_as_it_is_made_in_whole_samples() -> None:
    sounds = Far(SAMPLES[:101], SAMPLES[101:]).say()
    assert [len(sound.data) for sound in sounds] == [100, 300]
    assert b"".join(sound.data for sound in sounds) == SAMPLES
    assert {sound.format.sample_rate_hz for sound in sounds} == {24_000}


def test_a_rate_of_ones_own_is_believed_and_a_wav_files_even_more() -> None:
    [sound] = Far(SAMPLES).say(sample_rate_hz=22_050)
    assert sound.format.sample_rate_hz == 22_050
    sounds = Far(wav(SAMPLES)[:30], wav(SAMPLES)[30:], kind="audio/wav").say()
    assert b"".join(sound.data for sound in sounds) == SAMPLES
    assert {sound.format.sample_rate_hz for sound in sounds} == {16_000}


def test_no_sound_is_no_sound() -> None:
    assert Far().say() == []
    assert Far(b"\x01").say() == []


def test_what_is_no_sound_is_confusing() -> None:
    assert code_of(Far(b"{}", kind="application/json"))[0] == "openai.confused"
    assert code_of(Far(b"<html>", kind="text/html"))[0] == "openai.confused"
    assert code_of(Far(b"ID3" + bytes(100)))[0] == "openai.confused"
    assert code_of(Far(*[bytes(1_000_000)] * 12))[0] == "openai.confused"


def test_a_server_that_is_silent_for_too_long_has_stalled() -> None:
    assert code_of(Far(None, SAMPLES)) == ("openai.stalled", "first audio")
    assert code_of(Far(SAMPLES, None, SAMPLES)) == ("openai.stalled", "between audio")


def test_a_busy_server_is_asked_again() -> None:
    far = Far(SAMPLES, busy=2)
    assert len(far.say()) == 1
    assert len(far.asked) == 3


def test_the_request_is_as_the_agent_says() -> None:
    far = Far(SAMPLES)
    far.say("Hi.")
    far.say("Hi.", model="own", voice="me", instructions="Whisper.", speed=1.5)
    plain, own = far.asked
    known = {"model": "gpt-4o-mini-tts", "voice": "marin", "input": "Hi."}
    assert plain == known | {"response_format": "pcm"}
    assert own == {
        "model": "own",
        "voice": "me",
        "input": "Hi.",
        "response_format": "pcm",
        "instructions": "Whisper.",
        "speed": 1.5,
    }
