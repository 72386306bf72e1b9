"""Text to speech: a sentence in, its sound out as it is made.

https://platform.openai.com/docs/api-reference/audio/createSpeech
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, cast

from msgspec import Struct
from openai import AsyncOpenAI

from service.agents.openai import Speech as Settings
from service.ai.openai.attempts import in_time
from service.ai.openai.errors import FIRST_AUDIO_S, NEXT_AUDIO_S, OpenAIFault, stage
from service.ai.openai_pipeline.pcm import PcmReader
from service.core.audio import Encoding, MediaFormat
from service.core.errors import MediaError

SOUND_MOST_BYTES = 120 * 48_000 * 2
"""Of a sentence: two minutes."""

_NO_SOUND = ("text/", "application/json")


class Sound(Struct, frozen=True):
    """Some PCM16, whole samples."""

    data: bytes
    format: MediaFormat


class Voice:
    """One agent's, on its server."""

    def __init__(self, client: AsyncOpenAI, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    async def say(self, text: str) -> AsyncGenerator[Sound, None]:
        """The sound of a text, in pieces, maybe none; OpenAIFault when it stops coming."""
        async with AsyncExitStack() as stack:

            async def begin() -> tuple[_Stream, Sound | None]:
                await stack.aclose()  # of a try before
                stream = await self._open(stack, text)
                return stream, await stream.next()

            stream, sound = await in_time("first audio", FIRST_AUDIO_S, begin)
            while sound is not None:
                yield sound
                async with stage("between audio", NEXT_AUDIO_S):
                    sound = await stream.next()

    async def _open(self, stack: AsyncExitStack, text: str) -> "_Stream":
        settings = self._settings
        request: dict[str, Any] = {
            "model": settings.model,
            "voice": settings.voice,
            "input": text,
            "response_format": "pcm",
        }
        if settings.instructions:
            request["instructions"] = settings.instructions
        if settings.speed != 1.0:
            request["speed"] = settings.speed
        create = cast("Any", self._client.audio.speech.with_streaming_response.create)
        response = await stack.enter_async_context(create(**request))
        if response.headers.get("content-type", "").startswith(_NO_SOUND):
            raise OpenAIFault("openai.confused", "first audio")
        return _Stream(response.iter_bytes(), settings.sample_rate_hz)


class _Stream:
    """The samples of one answer."""

    def __init__(self, pieces: AsyncIterator[bytes], sample_rate_hz: int) -> None:
        self._pieces = pieces
        self._reader = PcmReader(sample_rate_hz)
        self._bytes = 0

    async def next(self) -> Sound | None:
        """The next of it; None when that was all."""
        while True:
            try:
                samples = self._reader.push(await anext(self._pieces))
            except StopAsyncIteration:
                samples = self._reader.flush()
                return self._sound(samples) if samples else None
            except MediaError:
                raise OpenAIFault("openai.confused", "first audio") from None
            if samples:
                return self._sound(samples)

    def _sound(self, samples: bytes) -> Sound:
        self._bytes += len(samples)
        if self._bytes > SOUND_MOST_BYTES:
            raise OpenAIFault("openai.confused", "too much sound")
        return Sound(samples, MediaFormat(Encoding.PCM16, self._reader.sample_rate_hz))
