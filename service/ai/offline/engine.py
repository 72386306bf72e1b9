"""A spoken conversation with no key and no network: the agent file's script, heard and said.

Recognition and speech run in worker processes; on the loop there is only the detector and the
script. Whoever is interrupted is decided by the bridge: here speech that begins only drops an
answer that is still being made.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from service.agents import Agent, Voice
from service.ai.base import Brief, Emit
from service.ai.offline.messages import Answer, Recognise, Recognised, Request, Said, Say
from service.ai.offline.talk import OfflineTalk
from service.ai.offline.workers import Workers
from service.ai.spoken import Spoken
from service.core.errors import EngineError, TextRefused

WORKERS = 2
TEXT_MOST_CHARACTERS = 4000
_CACHED_MOST_BYTES = 16 * 1024 * 1024


class Staff(Protocol):
    """Whoever speaks and recognises; usually the processes of `workers.py`."""

    async def start(self) -> None:
        """Ready at once from here on; EngineError when that cannot be."""

    async def ask(self, request: Request) -> Answer:
        """The answer to a request; EngineError when it cannot be had."""

    async def aclose(self) -> None:
        """Take no more requests."""


class OfflineEngine:
    """Opens conversations. Used as a context, which starts and ends its worker processes."""

    name = "offline"

    def __init__(self, new_id: Callable[[str], str], *, staff: Staff | None = None) -> None:
        self._new_id = new_id
        self._workers = staff or Workers(WORKERS)
        self._cache: OrderedDict[Say, Spoken] = OrderedDict()
        self._cached_bytes = 0

    async def __aenter__(self) -> "OfflineEngine":
        await self.start()
        return self

    async def __aexit__(self, *_reason: object) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Ready to speak at once; EngineError when it cannot be."""
        await self._workers.start()

    async def aclose(self) -> None:
        """End the worker processes."""
        await self._workers.aclose()

    @asynccontextmanager
    async def open(self, brief: Brief, emit: Emit) -> AsyncIterator[OfflineTalk]:
        """A conversation of one call."""
        talk = OfflineTalk(
            brief, emit, self._new_id, speak=self.synthesise, recognise=self.recognise
        )
        try:
            yield talk
        finally:
            await talk.aclose()

    async def speak(self, text: str, agent: Agent) -> Spoken:
        """The text in this agent's own voice; as `synthesise`."""
        return await self.synthesise(text, agent.voice)

    async def synthesise(self, text: str, voice: Voice | None = None) -> Spoken:
        """The sound of `text`; EngineError when it cannot be made, TextRefused when others can."""
        if len(text) > TEXT_MOST_CHARACTERS:
            raise TextRefused("offline.text_too_long", f"{len(text)} characters")
        voice = voice or Voice()
        request = Say(text, voice.name, voice.words_per_minute, voice.pitch)
        spoken = self._cache.get(request)
        if spoken is None:
            answer = await self._workers.ask(request)
            if not isinstance(answer, Said):
                raise EngineError("offline.worker_confused", "no sound in its answer")
            spoken = answer.spoken
            self._remember(request, spoken)
        else:
            self._cache.move_to_end(request)
        return spoken

    async def recognise(self, request: Recognise) -> str:
        """The phrase that was said, empty when it was none; EngineError when nobody can tell."""
        answer = await self._workers.ask(request)
        if not isinstance(answer, Recognised):
            raise EngineError("offline.worker_confused", "no phrase in its answer")
        return answer.phrase

    def _remember(self, request: Say, spoken: Spoken) -> None:
        before = self._cache.pop(request, None)
        self._cached_bytes += len(spoken.pcm) - (len(before.pcm) if before else 0)
        self._cache[request] = spoken
        while self._cached_bytes > _CACHED_MOST_BYTES:
            _, oldest = self._cache.popitem(last=False)
            self._cached_bytes -= len(oldest.pcm)
