"""Taps of a live call that is recorded: around its sockets and around its engine.

A call that is not recorded has none: its frames pass nothing of this. Nothing is decided here.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from service.agents import Agent
from service.ai.base import Brief, Emit, Engine, Talk
from service.ai.spoken import Spoken
from service.bridge.link import NORMAL, Link, SocketLink
from service.cassettes.engine_lane import (
    Telephone,
    engine_command_line,
    engine_event_line,
    engine_event_lines,
    talk_closed_line,
    talk_opened_line,
)
from service.cassettes.lines import close_line, message_line, open_line, refused_line
from service.cassettes.recorder import MakeLines, Recorder, Recording
from service.cassettes.writer import Order
from service.core.calls import Call
from service.core.commands import EngineCommand, Hear, TellAudible
from service.core.errors import BridgeError
from service.core.events import EngineEvent, EngineFailed, TurnAudio

FIRST_KEPT = 16
"""Messages kept of a socket whose call is not known yet: two come before that, as a rule."""

REFUSED = 403


class TapedSocket:
    """A socket from its upgrade on, and the Link of a recorded call."""

    def __init__(self, link: SocketLink, recorder: Recorder | None, path: str) -> None:
        self._link = link
        self._recorder = recorder
        self._recording: Recording | None = None
        self._open = True
        self._early: list[tuple[Order, MakeLines, tuple[Any, ...], int]] = []
        self._put(open_line, path)

    def belongs_to(self, call: Call) -> Link:
        """The call is known now: how to go on with the socket."""
        if self._recorder is None or self._recording is not None:
            return self._link if self._recording is None else self
        self._recording = self._recorder.recording(call)
        early, self._early = self._early, []
        if self._recording is None:
            self._recorder = None
            return self._link
        self._recording.sockets += 1
        for order, make, what, size_bytes in early:
            self._recording.put_at(order, make, *what, size_bytes=size_bytes)
        return self

    def leave(self) -> None:
        """The socket is gone."""
        if self._recording is not None:
            self._recording.sockets -= 1
            self._recording = self._recorder = None

    async def refuse(self) -> None:
        """Turn the peer away."""
        self._put(refused_line, REFUSED)
        await self._link.refuse()

    async def receive(self) -> str | bytes | None:
        """The next message; None when the peer is gone."""
        message = await self._link.receive()
        if message is not None:
            self._put(message_line, "carrier", message, size_bytes=len(message))
        elif self._open:
            self._open = False
            self._put(close_line, "carrier", self._link.close_code)
        return message

    async def send(self, message: str | bytes) -> None:
        """Send one message."""
        if self._open:
            self._put(message_line, "bridge", message, size_bytes=len(message))
        await self._link.send(message)

    async def close(self, code: int = NORMAL) -> None:
        """Close, if it is not closed already."""
        if self._open:
            self._open = False
            self._put(close_line, "bridge", code)
        await self._link.close(code)

    def _put(self, make: MakeLines, *what: Any, size_bytes: int = 0) -> None:
        if self._recording is not None:
            self._recording.put(make, *what, size_bytes=size_bytes)
        elif self._recorder is not None and len(self._early) < FIRST_KEPT:
            self._early.append((self._recorder.stamp(), make, what, size_bytes))


class TapedEngine:
    """An engine, with all that it says and is told on tape."""

    def __init__(self, engine: Engine, recording: Recording) -> None:
        self._engine = engine
        self._recording = recording

    @property
    def name(self) -> str:
        """The engine's own."""
        return self._engine.name

    def open(self, brief: Brief, emit: Emit) -> AbstractAsyncContextManager[Talk]:
        """A conversation of the engine's."""
        return self._open(brief, emit)

    async def speak(self, text: str, agent: Agent) -> Spoken:
        """The engine's own voice."""
        return await self._engine.speak(text, agent)

    @asynccontextmanager
    async def _open(self, brief: Brief, emit: Emit) -> AsyncIterator[Talk]:
        put = self._recording.put
        telephone = Telephone()

        def taped(event: EngineEvent) -> None:
            size_bytes = len(event.frame.data) if isinstance(event, TurnAudio) else 0
            put(engine_event_lines, telephone, event, size_bytes=size_bytes)
            emit(event)

        put(talk_opened_line, self._engine.name, brief.history)
        try:
            async with self._engine.open(brief, taped) as talk:
                yield _TapedTalk(talk, self._recording)
        except BridgeError as fault:
            put(engine_event_line, EngineFailed(fault.code, fault.detail))
            raise
        finally:
            put(talk_closed_line)


class _TapedTalk:
    def __init__(self, talk: Talk, recording: Recording) -> None:
        self._talk = talk
        self._recording = recording

    def do(self, command: EngineCommand, now_ms: int) -> None:
        if not isinstance(command, Hear | TellAudible):
            self._recording.put(engine_command_line, command)
        self._talk.do(command, now_ms)

    async def hear_out(self) -> None:
        await self._talk.hear_out()
