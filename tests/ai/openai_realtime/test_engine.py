"""Over a real socket and real HTTP requests: what the openai package makes of it all."""

import asyncio
import json
from typing import Any

import httpx
import pytest
import respx
from websockets.asyncio.server import ServerConnection, serve

from service.ai.base import Brief
from service.ai.openai.access import Access
from service.ai.openai_realtime.engine import RealtimeEngine
from service.core.audio import PCMU_8K
from service.core.calls import CallId
from service.core.commands import StartTurn
from service.core.errors import EngineError
from service.core.events import EngineEvent, TurnAudio, TurnEnded
from tests.ai.openai_realtime.scene import URL, Box, agent


def engine(url: str, http: httpx.AsyncClient | None = None) -> RealtimeEngine:
    access = Access(key="sk-x", url=url, secrets={}, http=http)
    tools: Any = Box()
    return RealtimeEngine(access, tools, lambda prefix: f"{prefix}_1", judge=None)


async def say_hello(socket: ServerConnection) -> None:
    """A server that answers whatever it is asked."""
    async for message in socket:
        order = json.loads(message)
        if order["type"] == "session.update":
            await socket.send('{"type": "session.updated", "session": {"type": "realtime"}}')
        elif order["type"] == "response.create":
            turn = order["response"]["metadata"]
            of = {"response_id": "r1", "item_id": "i1", "output_index": 0, "content_index": 0}
            for event in (
                {"type": "response.created", "response": {"id": "r1", "metadata": turn}},
                {"type": "response.output_audio_transcript.delta", "delta": "Hello.", **of},
                {"type": "response.output_audio.delta", "delta": "VVVV" * 1000, **of},
                {"type": "response.done", "response": {"id": "r1", "status": "completed"}},
            ):
                await socket.send(json.dumps(event))


async def test_a_greeting_over_a_real_socket() -> None:
    events: list[EngineEvent] = []
    ended = asyncio.Event()

    def take(event: EngineEvent) -> None:
        events.append(event)
        if isinstance(event, TurnEnded):
            ended.set()

    async with serve(say_hello, "127.0.0.1", 0) as server:
        [listening] = server.sockets
        ours = engine(f"http://127.0.0.1:{listening.getsockname()[1]}/v1")
        brief = Brief(call_id=CallId("c"), agent=agent(), hears=PCMU_8K, speaks=PCMU_8K)
        async with ours.open(brief, take) as talk:
            talk.do(StartTurn("Hello."), 0)
            async with asyncio.timeout(5):
                await ended.wait()
    assert sum(len(e.frame.data) for e in events if isinstance(e, TurnAudio)) == 3040


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (httpx.Response(404, json={"error": {"code": "model_not_found"}}), "openai.unknown_model"),
        (httpx.Response(200, html="<html>"), "openai.confused"),
        (
            httpx.Response(200, content=b"", headers={"content-type": "audio/pcm"}),
            "openai.confused",
        ),
        (httpx.ConnectError("no"), "openai.unreachable"),
    ],
)
async def test_a_server_without_speech_is_an_engine_error(
    answer: httpx.Response | Exception, code: str
) -> None:
    with respx.mock:
        respx.post(f"{URL}/audio/speech").mock(side_effect=[answer])
        async with httpx.AsyncClient() as http:
            with pytest.raises(EngineError) as caught:
                await engine(URL, http).speak("One moment, please.", agent())
    assert caught.value.code == code


@respx.mock
async def test_a_sentence_is_spoken_in_the_agents_voice() -> None:
    pcm = bytes(48_001)  # a second at 24 kHz, and half a sample
    headers = {"content-type": "audio/pcm"}
    route = respx.post(f"{URL}/audio/speech").respond(content=pcm, headers=headers)
    async with httpx.AsyncClient() as http:
        spoken = await engine(URL, http).speak("One moment, please.", agent())
    assert spoken.duration_ms == 1000
    assert "".join(word.text for word in spoken.words) == "One moment, please."
    body = json.loads(route.calls.last.request.content)
    assert body == {
        "model": "gpt-4o-mini-tts",
        "voice": "marin",
        "input": "One moment, please.",
        "response_format": "pcm",
    }
