"""Sentences kept ready: fillers, apologies and the like, made before anybody needs them.

Each is made in the agent's own voice once a call of it begins; until then, and where its engine
cannot, the voice on this machine serves. What is not ready when it is needed is not said.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping

from service.agents import Agent
from service.ai.base import Engine
from service.ai.spoken import Spoken
from service.core.errors import EngineError

KEPT_MOST_BYTES = 32 * 1024 * 1024
MAKE_S = 15.0
"""How long a voice may take for a sentence."""

OwnVoice = Callable[[str, Agent], Awaitable[Spoken]]
"""The voice on this machine. EngineError when it cannot say something."""


class Sentences:
    """The sentences of all agents of a process; without `own_voice` only engines make any."""

    def __init__(self, own_voice: OwnVoice | None = None) -> None:
        self.own_voice = own_voice
        self._kept: OrderedDict[tuple[str, str], Spoken] = OrderedDict()
        self._kept_bytes = 0
        self._making: set[tuple[str, str]] = set()  # calls that begin at once need it once

    def ready(self, agent: Agent, text: str) -> Spoken | None:
        """The sentence in this agent's voice, else in this machine's, if either was made."""
        for voice in (agent.voice_key, agent.own_voice_key):
            spoken = self._kept.get((voice, text))
            if spoken is not None:
                self._kept.move_to_end((voice, text))
                return spoken
        return None

    async def prepare(self, agents: Iterable[Agent]) -> None:
        """Make what these agents may need in the voice on this machine."""
        for agent in agents:
            for text in agent.kept_sentences():
                await self._make(self.own_voice, agent.own_voice_key, agent.fill(text, {}), agent)

    async def make(self, engine: Engine, agent: Agent, variables: Mapping[str, str]) -> None:
        """Make what a call of this agent may need, in the engine's voice if it has one."""
        for text in (agent.fill(text, variables) for text in agent.kept_sentences()):
            await self._make(engine.speak, agent.voice_key, text, agent)
            if self.ready(agent, text) is None:
                await self._make(self.own_voice, agent.own_voice_key, text, agent)

    async def _make(self, speak: OwnVoice | None, voice: str, text: str, agent: Agent) -> None:
        key = (voice, text)
        if speak is None or key in self._kept or key in self._making:
            return
        self._making.add(key)
        try:
            async with asyncio.timeout(MAKE_S):
                self._keep(key, await speak(text, agent))
        except (EngineError, TimeoutError):
            return  # the other voice may have it
        finally:
            self._making.discard(key)

    def _keep(self, key: tuple[str, str], spoken: Spoken) -> None:
        self._kept[key] = spoken
        self._kept_bytes += len(spoken.pcm)
        while self._kept_bytes > KEPT_MOST_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest.pcm)
