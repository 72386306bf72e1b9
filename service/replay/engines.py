"""Who speaks in a replay: the cassette's engine, or the agent's own without its processes.

On virtual time nobody waits while a sentence is made or understood, so that happens in this very
process and thread, with what is loaded once for all replays.
"""

import random
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from service.agents import AgentBook
from service.ai.base import Engine
from service.ai.echo import EchoEngine
from service.ai.loopback import LoopbackEngine
from service.ai.offline.engine import OfflineEngine
from service.ai.offline.espeak import Espeak
from service.ai.offline.messages import Answer, Failed, Request
from service.ai.offline.pronounce import guess
from service.ai.offline.recogniser import Recogniser
from service.ai.offline.worker import answer
from service.cassettes.cassette import Cassette
from service.clock import Clock, Ids
from service.core.errors import EngineError, TextRefused
from service.replay.recorded_engine import RecordedEngine
from service.replay.stage import EPOCH, SEED


def engines_for(
    cassette: Cassette, agents: Path, recorded: RecordedEngine | None
) -> Mapping[str, Engine] | None:
    """All there are, by name; None: the service's own, with what they start and ask for."""
    if recorded is not None:
        return recorded.under_all_names()
    book = AgentBook(agents)
    book.load()
    agent = book.get(cassette.header.agent)
    own = _own()
    if agent is None or agent.engine not in own:
        return None
    return RecordedEngine(()).under_all_names() | {agent.engine: own[agent.engine]}


def _own() -> dict[str, Engine]:
    ids = Ids(Clock(EPOCH), random.Random(SEED).randbytes)
    offline = OfflineEngine(ids.new, staff=_Here())
    engines: list[Engine] = [
        offline,
        EchoEngine(ids.new, offline.synthesise),
        LoopbackEngine(ids.new),
    ]
    return {engine.name: engine for engine in engines}


class _Here:
    """Speaks and recognises at once, while the loop stands still."""

    async def start(self) -> None:
        """It is."""

    async def ask(self, request: Request) -> Answer:
        """The answer to a request; EngineError when it cannot be had."""
        try:
            found = answer(request, _espeak(), _recogniser())
        except UnicodeError:
            raise TextRefused("offline.not_text", "the text cannot be spoken") from None
        if isinstance(found, Failed):
            raise EngineError(found.code, found.detail)
        return found

    async def aclose(self) -> None:
        """There is nothing to end."""


@cache
def _espeak() -> Espeak:
    return Espeak()


@cache
def _recogniser() -> Recogniser:
    return Recogniser(lambda word: guess(_espeak(), word))
