"""The engine `openai-pipeline`: opens conversations, and speaks sentences that are kept ready."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial

from service.agents import Agent
from service.agents.openai import Server as Settings
from service.ai.base import Brief, Emit
from service.ai.captions import Captions, first_weight_ms
from service.ai.openai.access import Access, Server
from service.ai.openai.errors import OpenAIFault
from service.ai.openai_pipeline.model import LanguageModel
from service.ai.openai_pipeline.readable import readable
from service.ai.openai_pipeline.recognition import House, Recogniser
from service.ai.openai_pipeline.speech import Voice
from service.ai.openai_pipeline.streamed import StreamedRecogniser
from service.ai.openai_pipeline.talk import PipelineTalk
from service.ai.openai_pipeline.uploaded import UploadedRecogniser
from service.ai.spoken import Spoken
from service.core.audio import PCM16_8K
from service.core.errors import TextRefused
from service.media.convert import Converter
from service.media.voice import Judge
from service.tools import Tools

SESSION_QUERY = {"intent": "transcription"}


class PipelineEngine:
    """Three parts. `new_id` makes a name from a prefix, `judge` tells voices from noise."""

    name = "openai-pipeline"

    def __init__(
        self, access: Access, tools: Tools, new_id: Callable[[str], str], *, judge: Judge | None
    ) -> None:
        self._access = access
        self._tools = tools
        self._new_id = new_id
        self._judge = judge

    @asynccontextmanager
    async def open(self, brief: Brief, emit: Emit) -> AsyncIterator[PipelineTalk]:
        """A conversation; EngineError when its servers cannot be had in time."""
        async with self._tools.open(
            brief.agent, variables=brief.variables, called=emit, changed=_is_told_at_each_answer
        ) as toolbox:
            talk = PipelineTalk(
                brief,
                emit,
                self._new_id,
                recogniser=self._recogniser_for(brief),
                model=self._model_of(brief.agent),
                voice=self._voice_of(brief.agent),
                toolbox=toolbox,
                judge=self._judge,
            )
            try:
                await talk.open()
                yield talk
            finally:
                await talk.aclose()

    async def speak(self, text: str, agent: Agent) -> Spoken:
        """`text` in the agent's own voice; EngineError when its server makes no speech."""
        text = readable(text)
        if not text:
            raise TextRefused("openai.refused", "nothing to say")
        pcm = bytearray()
        async with aclosing(self._voice_of(agent).say(text)) as sounds:
            converter: Converter | None = None
            async for sound in sounds:
                converter = converter or Converter(sound.format, PCM16_8K)
                pcm += converter.convert(sound.data)
            if converter is None:
                raise OpenAIFault("openai.confused", "no sound")
            pcm += converter.flush()
        weight_ms = first_weight_ms(agent.pipeline.speech.speed)
        captions = Captions(PCM16_8K, begin_ms=0, weight_ms=weight_ms)
        captions.hear(bytes(pcm))
        captions.read(text)
        return Spoken(bytes(pcm), tuple(captions.complete()))

    def _recogniser_for(self, brief: Brief) -> Callable[[House], Recogniser]:
        settings = brief.agent.pipeline.recognition
        server = self._server(settings)
        if settings.how == "upload":
            client = self._access.client(server)
            return lambda house: UploadedRecogniser(brief, client, house)
        dial = partial(self._access.connect, server, query=SESSION_QUERY)
        return lambda house: StreamedRecogniser(brief, dial, house)

    def _model_of(self, agent: Agent) -> LanguageModel:
        settings = agent.pipeline.model
        server = self._server(settings)
        return LanguageModel(self._access.client(server), server, settings, new_id=self._new_id)

    def _voice_of(self, agent: Agent) -> Voice:
        settings = agent.pipeline.speech
        return Voice(self._access.client(self._server(settings)), settings)

    def _server(self, settings: Settings) -> Server:
        return self._access.server(settings.url, settings.secret)


def _is_told_at_each_answer() -> None:
    """Tools that join while the call goes on: the model is told its tools whenever it is asked."""
