"""Transcriptions by the official client."""

import io
import wave
from typing import Any

import openai
import pytest

from service.standin import Voice
from tests.standin.client import client_of, standin
from tests.voices import silence

SECOND = silence(1000)


def wav(pcm: bytes, *, rate_hz: int = 8000, width: int = 2) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(width)
        writer.setframerate(rate_hz)
        writer.writeframes(pcm)
    return file.getvalue()


async def transcribed(client: openai.AsyncOpenAI, data: bytes, **request: Any) -> Any:
    wanted = {"model": "gpt-4o-mini-transcribe", "file": ("turn.wav", data, "audio/wav")}
    return await client.audio.transcriptions.create(**{**wanted, **request})


async def test_utterances_are_what_the_script_says_one_by_one() -> None:
    server = standin(heard=["when are you open", "bye"])
    async with client_of(server) as client:
        texts = [(await transcribed(client, wav(SECOND))).text for _ in range(3)]
    assert texts == ["when are you open", "bye", ""]
    assert server.heard == texts
    assert len(server.requests[0].audio) == len(SECOND)


async def test_a_script_may_repeat_itself() -> None:
    async with client_of(standin(heard=["hello"], repeats=True)) as client:
        assert [(await transcribed(client, wav(SECOND))).text for _ in range(2)] == ["hello"] * 2


async def test_what_is_said_is_recognised_among_the_phrases_of_the_script(voice: Voice) -> None:
    script = {"phrases": ["What is your name?"], "replies": [{"hears": "where are you"}]}
    server = standin(voice, **script)
    spoken = await voice.say("Where are you?", "alloy", 150)
    async with client_of(server) as client:
        assert (await transcribed(client, wav(spoken.pcm))).text == "where are you"
        assert (await transcribed(client, wav(SECOND))).text == ""


async def test_a_transcription_may_be_text_or_come_as_events() -> None:
    async with client_of(standin(heard=["a b c"], repeats=True)) as client:
        assert await transcribed(client, wav(SECOND), response_format="text") == "a b c\n"
        events = [e async for e in await transcribed(client, wav(SECOND), stream=True)]
    assert [e.type for e in events] == ["transcript.text.delta"] * 3 + ["transcript.text.done"]
    assert "".join(e.delta for e in events[:3]) == events[3].text == "a b c"


async def test_sound_of_any_usual_rate_is_read() -> None:
    server = standin(heard=["hello"])
    async with client_of(server) as client:
        assert (await transcribed(client, wav(SECOND * 2, rate_hz=16_000))).text == "hello"
    assert len(server.requests[0].audio) == pytest.approx(len(SECOND), abs=64)


@pytest.mark.parametrize(
    ("data", "change", "param"),
    [
        (b"", {}, "file"),
        (b"<html>", {}, "file"),
        (wav(SECOND)[:-100], {}, "file"),
        (wav(SECOND, width=1), {}, "file"),
        (wav(SECOND, rate_hz=4000), {}, "file"),
        (wav(silence(90)), {}, "file"),
        (wav(SECOND), {"file": ("turn.pcm", SECOND)}, "file"),
        (wav(SECOND), {"response_format": "srt"}, "response_format"),
        (wav(SECOND), {"response_format": "poem"}, "response_format"),
        (wav(SECOND), {"extra_body": {"surprise": "1"}}, "surprise"),
        (wav(SECOND), {"extra_body": {"temperature": "hot"}}, "temperature"),
    ],
)
async def test_what_is_no_request_is_refused(
    data: bytes, change: dict[str, Any], param: str
) -> None:
    server = standin(heard=["hello"])
    async with client_of(server) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await transcribed(client, data, **change)
    assert caught.value.param == param
    assert server.refused[0].at == "transcription"
    assert server.heard == []
