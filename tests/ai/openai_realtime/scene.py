"""A caller, a bridge and the engine, with a server in miniature behind it, on virtual time."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

from service.agents import Agent, McpServer
from service.ai.base import Brief
from service.ai.openai.access import Access
from service.ai.openai_realtime.engine import RealtimeEngine
from service.ai.openai_realtime.talk import RealtimeTalk
from service.core.audio import PCMU_8K, AudioFrame, MediaFormat
from service.core.calls import CallId
from service.core.commands import Hear, TellAudible
from service.core.events import EngineEvent, ToolCalled, Transcribed, TurnAudio, TurnText
from service.core.turns import PastTurn
from service.replay.virtual import run
from service.tools import ToolResult, ToolSpec
from tests.ai.openai_realtime.far import Far
from tests.voices import on_the_line, recording, silence

E = TypeVar("E")
QUESTION = silence(200) + recording("vm-nobodyavail")[16 * 100 : 16 * 1500]
COUGH = recording("digits/1")[: 16 * 330]
URL = "http://127.0.0.1:9000/v1"


class Box:
    """Tools that a test decides about: what each says, and how long it takes."""

    def __init__(self, **results: ToolResult) -> None:
        self.results = results
        self.takes_s = 0.0
        self.calls: list[tuple[str, str]] = []
        self.keys = ""
        self.takes_keys = False
        self.specs = tuple(ToolSpec(name, f"does {name}", {"type": "object"}) for name in results)
        self.remote_mcp: tuple[McpServer, ...] = ()

    @asynccontextmanager
    async def open(
        self,
        agent: Agent,
        *,
        variables: Mapping[str, str],
        called: Callable[[ToolCalled], None],
        changed: Callable[[], None],
    ) -> AsyncIterator["Box"]:
        changed()  # before anybody can use them
        self.changed = changed
        yield self

    def waiting(self, name: str) -> str:
        return f"One moment, I {name}."

    def press(self, digit: str) -> bool:
        self.keys += digit * self.takes_keys
        return self.takes_keys

    async def call(
        self, name: str, arguments: str, *, called: Callable[[ToolCalled], None]
    ) -> ToolResult:
        self.calls.append((name, arguments))
        await asyncio.sleep(self.takes_s)
        result = self.results.get(name) or ToolResult("no such tool", code="tool.unknown")
        called(ToolCalled(name, arguments, result.code, round(self.takes_s * 1000)))
        return result


def agent(**fields: Any) -> Agent:
    known = {"name": "a", "engine": "openai-realtime", "greeting": "Hello.", "instructions": "Be."}
    return Agent.model_validate(known | fields)


class Scene:
    """One call."""

    def __init__(self, talk: RealtimeTalk, far: Far, events: list[EngineEvent]) -> None:
        self.talk = talk
        self.far = far
        self.events = events
        self._media_ms = 0

    async def hear(self, pcm: bytes) -> None:
        """The caller's line, at the speed of speech."""
        for frame in on_the_line(pcm, start_ms=self._media_ms):
            self._media_ms += frame.duration_ms
            self.talk.do(Hear(frame), self._media_ms)
            await asyncio.sleep(frame.duration_ms / 1000)

    async def ask(self) -> None:
        """The caller says something, and is silent until their turn is over."""
        await self.hear(QUESTION + silence(1000))

    async def interrupt(self) -> None:
        """The caller speaks while the agent is heard."""
        self.talk.do(TellAudible(True), 0)
        await self.hear(silence(200) + QUESTION)

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def kinds(self) -> list[str]:
        """The events' names, repeated ones once."""
        names = [type(event).__name__ for event in self.events]
        return [name for name, _ in itertools.groupby(names)]

    async def settle(self) -> None:
        """Let what was said arrive."""
        await asyncio.sleep(0.01)

    def texts(self) -> list[str]:
        """What the caller said."""
        return [event.text for event in self.of(Transcribed)]

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.of(TurnText))

    @property
    def sound(self) -> bytes:
        return b"".join(event.frame.data for event in self.of(TurnAudio))

    def frames(self) -> list[AudioFrame]:
        return [event.frame for event in self.of(TurnAudio)]


@asynccontextmanager
async def scene(
    box: Box | None = None,
    *,
    far: Far | None = None,
    line: MediaFormat = PCMU_8K,
    history: Iterable[PastTurn] = (),
    unanswered: bool = False,
    minded: tuple[str, ...] = (),
    **fields: Any,
) -> AsyncIterator[Scene]:
    """A call that has begun."""
    far = far or Far()
    events: list[EngineEvent] = []
    number = itertools.count(1)
    access = Access(key="sk-x", url=URL, secrets={}, connect=far.connect)
    tools = cast("Any", box or Box())
    engine = RealtimeEngine(access, tools, lambda p: f"{p}_{next(number)}", judge=None)
    brief = Brief(
        call_id=CallId("call_1"),
        agent=agent(**fields),
        hears=line,
        speaks=line,
        history=tuple(history),
        instructions=minded,
        unanswered=unanswered,
    )
    try:
        async with engine.open(brief, events.append) as talk:
            yield Scene(talk, far, events)
    finally:
        await access.aclose()
    assert far.closed == far.sockets


Play = Callable[[Scene], Awaitable[None]]


def play(story: Play, **kwargs: object) -> Scene:
    async def main() -> Scene:
        async with scene(**kwargs) as call:  # type: ignore[arg-type]
            await story(call)
            return call

    return run(main())
