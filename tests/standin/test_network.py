"""The official client over real sockets: it is content with all that the stand-in says."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from service.standin import KEY, Standin, Voice
from service.twin.serving import serving
from tests.standin.client import standin
from tests.standin.realtime import PCMU, check_event
from tests.standin.test_transcription import SECOND, wav

HOURS: dict[str, Any] = {"hears": "when are you open", "says": "From nine to five."}
PATIENCE_S = 20


@asynccontextmanager
async def served(server: Standin, *, key: str = KEY) -> AsyncIterator[AsyncOpenAI]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        async with (
            asyncio.timeout(PATIENCE_S),
            serving(server.app, listener),
            AsyncOpenAI(api_key=key, base_url=url, max_retries=0) as client,
        ):
            yield client


async def test_chat_speech_transcription_and_models(voice: Voice) -> None:
    server = standin(voice, heard=["when are you open"], replies=[HOURS])
    message: Any = {"role": "user", "content": "When are you open?"}
    async with served(server) as client:
        assert "gpt-realtime" in [model.id async for model in client.models.list()]
        stream = await client.chat.completions.create(
            model="gpt-4.1-mini", messages=[message], stream=True
        )
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        speech = client.audio.speech.with_streaming_response
        async with speech.create(
            model="gpt-4o-mini-tts", voice="marin", input=text, response_format="pcm"
        ) as answer:
            sound = b"".join([piece async for piece in answer.iter_bytes()])
        heard = await client.audio.transcriptions.create(
            model="gpt-4o-mini-transcribe", file=("turn.wav", wav(SECOND))
        )
    assert text == HOURS["says"]
    assert len(sound) > 24_000
    assert heard.text == "when are you open"
    assert [request.end for request in server.requests] == ["complete"] * 4
    assert server.refused == []


async def test_a_realtime_conversation(voice: Voice) -> None:
    server = standin(voice, heard=["when are you open"], replies=[HOURS])
    audio: Any = {"input": {"format": PCMU, "turn_detection": None}, "output": {"format": PCMU}}
    kinds = []
    async with (
        served(server) as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        await connection.session.update(session={"type": "realtime", "audio": audio})
        await connection.input_audio_buffer.append(audio="/" * 4000)
        await connection.input_audio_buffer.commit()
        await connection.response.create()
        async for event in connection:
            check_event(event.to_dict())
            kinds.append(event.type)
            if event.type == "response.done":
                break
    assert kinds[0] == "session.created"
    assert "response.output_audio.delta" in kinds
    assert server.sessions[0].memory == [
        ("user", "when are you open"),
        ("assistant", "From nine to five."),
    ]
    assert server.refused == []


async def test_a_transcription_session() -> None:
    server = standin(heard=["hello"])
    written: Any = {"model": "gpt-4o-mini-transcribe"}
    heard: Any = {"format": PCMU, "transcription": written, "turn_detection": None}
    async with (
        served(server) as client,
        client.realtime.connect(extra_query={"intent": "transcription"}) as connection,
    ):
        session: Any = {"type": "transcription", "audio": {"input": heard}}
        await connection.session.update(session=session)
        await connection.input_audio_buffer.append(audio="/" * 4000)
        await connection.input_audio_buffer.commit()
        async for event in connection:
            if event.type == "conversation.item.input_audio_transcription.completed":
                assert event.transcript == "hello"
                break


async def test_a_wrong_key_is_no_key() -> None:
    server = standin()
    async with served(server, key="sk-other") as client:
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()
        with pytest.raises(InvalidStatus) as refused:
            await client.realtime.connect(model="gpt-realtime").enter()
    assert refused.value.response.status_code == 401
    assert b"invalid_api_key" in (refused.value.response.body or b"")


async def test_the_old_beta_api_is_gone() -> None:
    old = {"OpenAI-Beta": "realtime=v1"}
    async with (
        served(standin()) as client,
        client.realtime.connect(model="gpt-realtime", extra_headers=old) as connection,
    ):
        error: Any = await connection.recv()
        with pytest.raises(ConnectionClosedError) as closed:
            await connection.recv()
    assert error.error.code == "beta_api_shape_disabled"
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4000


async def test_connections_break_on_the_network_as_they_do_in_process() -> None:
    cut = {"at": "chat", "does": "cut", "after": 2}
    away = {"at": "session", "does": "cut", "after": 1}
    message: Any = {"role": "user", "content": "a b c d"}
    async with served(standin(faults=[cut, away])) as client:
        stream = await client.chat.completions.create(
            model="gpt-4.1-mini", messages=[message], stream=True
        )
        with pytest.raises(openai.APIConnectionError):
            [chunk async for chunk in stream]
        async with client.realtime.connect(model="gpt-realtime") as connection:
            assert (await connection.recv()).type == "session.created"
            with pytest.raises(ConnectionClosedError):
                await connection.recv()


async def test_a_server_that_never_answers_is_left_and_can_be_stopped() -> None:
    faults = [{"at": "chat", "does": "stall"}, {"at": "opening", "does": "stall"}]
    server = standin(faults=faults)
    message: Any = {"role": "user", "content": "a"}
    async with served(server) as client:
        with pytest.raises(openai.APITimeoutError):
            await client.chat.completions.create(
                model="gpt-4.1-mini", messages=[message], timeout=0.5
            )
        options: Any = {"open_timeout": 0.5}
        connecting = client.realtime.connect(
            model="gpt-realtime", websocket_connection_options=options
        )
        with pytest.raises(TimeoutError):
            await connecting.enter()
    assert [request.end for request in server.requests] == ["left", "left"]


async def test_a_path_that_is_not_there_is_told_as_openai_tells_it() -> None:
    async with served(standin()) as client:
        with pytest.raises(openai.NotFoundError, match=r"Invalid URL \(GET /v1/files"):
            await client.files.list()


async def test_an_answer_is_stopped_when_the_client_hangs_up() -> None:
    server = standin(delays={"token_ms": 50})
    message: Any = {"role": "user", "content": "word " * 200}
    async with served(server) as client:
        stream = await client.chat.completions.create(
            model="gpt-4.1-mini", messages=[message], stream=True
        )
        await anext(aiter(stream))
        await stream.close()
    assert server.requests[0].end == "left"
