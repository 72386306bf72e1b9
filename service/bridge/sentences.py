"""Sentences kept ready: fillers, apologies and the like, made before anybody needs them.

Each is made once in the agent's own voice, or in the one on this machine where the engine has
none; what is not ready when it is needed is not said.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable

from service.agents import Agent
from service.ai.base import Engine
from service.ai.spoken import Spoken
from service.core.errors import EngineError

KEPT_MOST_BYTES = 32 * 1024 * 1024
MAKE_S = 15.0
"""How long a voice may take for a sentence."""

OwnVoice = Callable[[str, Agent], Awaitable[Spoken]]
"""The voice on this machine."""


class Sentences:
    """The sentences of all agents of a process."""

    def __init__(self, own_voice: OwnVoice | None = None) -> None:
        self.own_voice = own_voice
        self._kept: OrderedDict[tuple[str, str], Spoken] = OrderedDict()
        self._kept_bytes = 0

    def ready(self, agent: Agent, text: str) -> Spoken | None:
        """The sentence in this agent's voice, if it was made."""
        spoken = self._kept.get((agent.voice_key, text))
        if spoken is not None:
            self._kept.move_to_end((agent.voice_key, text))
        return spoken

    async def make(self, engines: Iterable[Engine], agent: Agent) -> None:
        """Make what this agent may need, each by the first of these that can."""
        voices = [engine.speak for engine in engines]
        if self.own_voice is not None:
            voices.append(self.own_voice)
        for text in agent.kept_sentences():
            if self.ready(agent, text) is None and (spoken := await _made(voices, text, agent)):
                self._keep((agent.voice_key, text), spoken)

    def _keep(self, key: tuple[str, str], spoken: Spoken) -> None:
        self._kept[key] = spoken
        self._kept_bytes += len(spoken.pcm)
        while self._kept_bytes > KEPT_MOST_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest.pcm)


async def _made(voices: list[OwnVoice], text: str, agent: Agent) -> Spoken | None:
    for speak in voices:
        try:
            async with asyncio.timeout(MAKE_S):
                return await speak(text, agent)
        except (EngineError, TimeoutError):
            continue
    return None
