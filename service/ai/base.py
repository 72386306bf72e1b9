"""What every engine promises the bridge.

An engine hears frames and answers with events. It never hangs up and never blocks the loop; its
trouble is an EngineFailed event. `emit` may be called at any time on the loop's own thread, also
from inside `do`.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct

from service.agents import Agent
from service.ai.spoken import Spoken
from service.core.audio import MediaFormat
from service.core.calls import CallId
from service.core.commands import EngineCommand
from service.core.events import EngineEvent
from service.core.turns import PastTurn

Emit = Callable[[EngineEvent], None]


class Brief(Struct, frozen=True, kw_only=True):
    """What an engine needs to know before the call."""

    call_id: CallId
    agent: Agent
    hears: MediaFormat  # of Hear frames
    speaks: MediaFormat  # the TurnAudio frames must be in this
    variables: dict[str, str] = {}
    history: tuple[PastTurn, ...] = ()
    instructions: tuple[str, ...] = ()  # given while the call went on, before this engine had it
    unanswered: bool = False  # the last words in `history` are the person's: answer them at once


class Talk(Protocol):
    """An open conversation."""

    def do(self, command: EngineCommand, now_ms: int) -> None:
        """Take a command; returns at once."""

    async def hear_out(self) -> None:
        """No more sound comes: returns once what was heard to the last has been told."""


class Engine(Protocol):
    """Opens conversations."""

    @property
    def name(self) -> str:
        """As agent files name it."""

    def open(self, brief: Brief, emit: Emit) -> AbstractAsyncContextManager[Talk]:
        """A conversation, until the context is left. EngineError when it cannot be had."""

    async def speak(self, text: str, agent: Agent) -> Spoken:
        """The text in this agent's own voice, to be kept ready. EngineError when it has none."""
