"""The engine `openai-realtime`: opens conversations, and speaks sentences that are kept ready."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from openai import AsyncOpenAI

from service.agents import Agent
from service.ai.base import Brief, Emit
from service.ai.captions import Captions, first_weight_ms
from service.ai.openai.access import Access
from service.ai.openai.errors import FIRST_AUDIO_S, NEXT_AUDIO_S, OpenAIFault, stage
from service.ai.openai.session import PCM_24K
from service.ai.openai_realtime.talk import RealtimeTalk
from service.ai.spoken import Spoken
from service.core.audio import PCM16_8K
from service.media.convert import Converter
from service.media.voice import Judge
from service.tools import Tools

SPEECH_MODEL = "gpt-4o-mini-tts"
"""It has the voices of the Realtime models."""
SPEECH_MOST_BYTES = 120 * 24_000 * 2
"""Two minutes: the longest sentence kept ready is much shorter."""

_NO_SOUND = ("text/", "application/json")


class RealtimeEngine:
    """Speech to speech. `new_id` makes a name from a prefix, `judge` tells voices from noise."""

    name = "openai-realtime"

    def __init__(
        self, access: Access, tools: Tools, new_id: Callable[[str], str], *, judge: Judge | None
    ) -> None:
        self._access = access
        self._tools = tools
        self._new_id = new_id
        self._judge = judge

    @asynccontextmanager
    async def open(self, brief: Brief, emit: Emit) -> AsyncIterator[RealtimeTalk]:
        """A conversation; EngineError when no session can be had in time."""
        realtime = brief.agent.realtime
        server = self._access.server(realtime.url, realtime.secret)
        talk: RealtimeTalk | None = None

        def changed() -> None:
            if talk is not None:
                talk.offer_tools()

        async with self._tools.open(
            brief.agent, variables=brief.variables, called=emit, changed=changed
        ) as toolbox:
            talk = RealtimeTalk(
                brief,
                emit,
                self._new_id,
                toolbox=toolbox,
                dial=lambda: self._access.connect(server, query={"model": realtime.model}),
                judge=self._judge,
            )
            try:
                await talk.open()
                yield talk
            finally:
                await talk.aclose()

    async def speak(self, text: str, agent: Agent) -> Spoken:
        """`text` in the agent's own voice; EngineError when its server makes no speech."""
        realtime = agent.realtime
        client = self._access.client(self._access.server(realtime.url, realtime.secret))
        converter = Converter(PCM_24K, PCM16_8K)
        heard = await _speech(client, text, realtime.voice)
        pcm = converter.convert(heard) + converter.flush()
        captions = Captions(PCM16_8K, begin_ms=0, weight_ms=first_weight_ms(realtime.speed))
        captions.hear(pcm)
        captions.read(text)
        return Spoken(pcm, tuple(captions.complete()))


async def _speech(client: AsyncOpenAI, text: str, voice: str) -> bytes:
    """PCM16 at 24 kHz."""
    pcm = bytearray()
    asked = client.audio.speech.with_streaming_response.create(
        model=SPEECH_MODEL, voice=voice, input=text, response_format="pcm"
    )
    async with stage("speech", FIRST_AUDIO_S + NEXT_AUDIO_S), asked as response:
        if response.headers.get("content-type", "").startswith(_NO_SOUND):
            raise OpenAIFault("openai.confused", "speech")
        async for piece in response.iter_bytes():
            pcm += piece
            if len(pcm) > SPEECH_MOST_BYTES:
                raise OpenAIFault("openai.confused", "speech")
    if not pcm:
        raise OpenAIFault("openai.confused", "speech")
    return bytes(pcm[: len(pcm) // 2 * 2])
