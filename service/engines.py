"""The engines of this version and what they share, opened and closed with the service.

Beside the composition root this is the one place that names an engine.
"""

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Protocol

from service.agents import Agent
from service.agents.book import Lacks
from service.ai.base import Engine
from service.ai.echo import EchoEngine
from service.ai.loopback import LoopbackEngine
from service.ai.offline.engine import OfflineEngine
from service.ai.openai.access import Access
from service.ai.openai_pipeline.engine import PipelineEngine
from service.ai.openai_realtime.engine import RealtimeEngine
from service.ai.spoken import Spoken
from service.core.errors import EngineError
from service.media.voice import Voices
from service.tools import Tools

NAMES = frozenset(
    engine.name
    for engine in (EchoEngine, LoopbackEngine, OfflineEngine, PipelineEngine, RealtimeEngine)
)
"""As agent files name them."""

MUTE = frozenset({LoopbackEngine.name})
"""Those that say nothing, whatever they are told to."""


class _Server(Protocol):
    @property
    def url(self) -> str: ...
    @property
    def secret(self) -> str: ...


def lacks(access: Access) -> Lacks:
    """What agents' engines lack to be used: a key, as a rule."""

    def lack(agent: Agent, engine: str) -> str | None:
        try:
            for server in _servers(agent, engine):
                access.server(server.url, server.secret)
        except EngineError as missing:
            return missing.detail
        return None

    return lack


def _servers(agent: Agent, engine: str) -> tuple[_Server, ...]:
    match engine:
        case RealtimeEngine.name:
            return (agent.realtime,)
        case PipelineEngine.name:
            parts = agent.pipeline
            return (parts.recognition, parts.model, parts.speech)
        case _:
            return ()


class Engines:
    """All engines of a process. `new_id` makes a name from a prefix."""

    def __init__(self, new_id: Callable[[str], str], access: Access, tools: Tools) -> None:
        self._access = access
        self._voices = Voices()
        self._offline = OfflineEngine(new_id)
        engines: tuple[Engine, ...] = (
            self._offline,
            EchoEngine(new_id, self._offline.synthesise),
            LoopbackEngine(new_id),
            PipelineEngine(access, tools, new_id, judge=self._voices),
            RealtimeEngine(access, tools, new_id, judge=self._voices),
            PipelineEngine(access, tools, new_id, judge=self._voices),
        )
        self.by_name = {engine.name: engine for engine in engines}
        self._open = AsyncExitStack()

    async def __aenter__(self) -> "Engines":
        self._open.push_async_callback(self._access.aclose)
        self._open.push_async_callback(self._voices.aclose)
        await self._voices.open()
        await self._open.enter_async_context(self._offline)
        return self

    async def __aexit__(self, *_reason: object) -> None:
        await self._open.aclose()

    async def own_voice(self, text: str, agent: Agent) -> Spoken:
        """The text in the voice on this machine; EngineError when it cannot be made."""
        return await self._offline.speak(text, agent)
