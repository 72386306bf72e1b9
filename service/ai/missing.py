"""Stands in for an engine that an agent names and this service does not have.

The caller hears the sentence kept for engine trouble instead of nothing.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.agents import Agent
from service.ai.base import Brief, Emit, Talk
from service.ai.spoken import Spoken
from service.core.errors import EngineError


class MissingEngine:
    """Opens nothing."""

    def __init__(self, name: str) -> None:
        self.name = name

    @asynccontextmanager
    async def open(self, _brief: Brief, _emit: Emit) -> AsyncIterator[Talk]:
        """EngineError, always."""
        raise self._missing()
        yield

    async def speak(self, _text: str, _agent: Agent) -> Spoken:
        """EngineError, always."""
        raise self._missing()

    def _missing(self) -> EngineError:
        return EngineError("engine.missing", f"this service has no engine called {self.name}")
