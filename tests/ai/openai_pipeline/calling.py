"""A caller with a phone, the pipeline, and stand-in servers behind it, on virtual time."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import httpx

from service.agents import Agent
from service.ai.base import Brief
from service.ai.openai.access import Access, Server
from service.ai.openai_pipeline.engine import PipelineEngine
from service.ai.openai_pipeline.talk import PipelineTalk
from service.core.audio import PCMU_8K, MediaFormat
from service.core.calls import CallId
from service.core.commands import StartTurn
from service.core.events import EngineFailed, Transcribed, TurnAudio, TurnId, TurnText
from service.core.turns import PastTurn
from service.replay.virtual import run
from service.standin import KEY, Standin, connect, transport
from service.tools import Tools
from tests.ai.openai_realtime.phone import Phone
from tests.ai.openai_realtime.scene import COUGH, QUESTION
from tests.standin.client import URL
from tests.voices import silence

__all__ = ["COUGH", "QUESTION", "Call", "calling", "play"]


def agent(**fields: Any) -> Agent:
    known = {"name": "a", "engine": "openai-pipeline", "greeting": "Hello.", "instructions": "Be."}
    return Agent.model_validate(known | fields)


class Call:
    """One call. `server` is the one that the language model is asked at."""

    def __init__(self, phone: Phone, server: Standin, talk: PipelineTalk) -> None:
        self.phone = phone
        self.server = server
        self.talk = talk

    async def ask(self) -> None:
        """The caller says something, and listens for a while."""
        await self.phone.hear(QUESTION + silence(1500))

    async def say(self, text: str) -> None:
        """The agent is to say this, and it is heard."""
        self.phone.do(StartTurn(text))
        await self.listen(3000)

    async def listen(self, ms: int) -> None:
        await self.phone.hear(silence(ms))

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.phone.events if isinstance(event, kind)]

    def kinds(self) -> list[str]:
        """The events' names, repeated ones once, words left out: they come as they can."""
        names = [type(event).__name__ for event in self.phone.events]
        return [name for name, _ in itertools.groupby(n for n in names if n != "TurnText")]

    @property
    def codes(self) -> list[tuple[str, bool]]:
        return [(event.code, event.fatal) for event in self.of(EngineFailed)]

    @property
    def understood(self) -> list[str]:
        return [event.text for event in self.of(Transcribed)]

    @property
    def said(self) -> list[str]:
        """What the agent said, turn by turn."""
        turns: dict[TurnId, str] = {}
        for event in self.of(TurnText):
            turns[event.turn_id] = turns.get(event.turn_id, "") + event.text
        return [*turns.values()]

    @property
    def sound(self) -> list[TurnAudio]:
        return self.of(TurnAudio)

    def asked(self, at: str = "chat", server: Standin | None = None) -> list[dict[str, Any]]:
        """The bodies of what a server was asked, of one kind."""
        server = server or self.server
        return [request.body for request in server.requests if request.at == at]

    def messages(self, number: int = -1) -> list[tuple[str, Any]]:
        """Role and content of what the model was told, the system's left out."""
        body = self.asked()[number]
        return [(m["role"], m.get("content")) for m in body["messages"] if m["role"] != "system"]


@asynccontextmanager
async def calling(
    server: Standin,
    *,
    line: MediaFormat = PCMU_8K,
    key: str = KEY,
    others: Mapping[str, Standin] | None = None,
    box: Any = None,
    history: Iterable[PastTurn] = (),
    unanswered: bool = False,
    minded: tuple[str, ...] = (),
    **fields: Any,
) -> AsyncIterator[Call]:
    """A call that has begun. `others`: further servers, by the host in their URL."""
    number = itertools.count(1)
    servers = {"standin": server, **(others or {})}
    async with AsyncExitStack() as stack:
        mounts = {f"all://{host}": transport(each.app) for host, each in servers.items()}
        http = await stack.enter_async_context(httpx.AsyncClient(mounts=mounts))

        def dial(to: Server, query: Mapping[str, str]) -> Any:
            return connect(servers[httpx.URL(to.url).host].app)(to, query)

        access = Access(key=key, url=URL, secrets={"OWN": "sk-own"}, http=http, connect=dial)
        tools = box or Tools(secrets={})
        engine = PipelineEngine(
            access, cast("Any", tools), lambda p: f"{p}_{next(number)}", judge=None
        )
        brief = Brief(
            call_id=CallId("call_1"),
            agent=agent(**fields),
            hears=line,
            speaks=line,
            history=tuple(history),
            unanswered=unanswered,
            instructions=minded,
        )
        phone = Phone(line)
        async with engine.open(brief, phone.take) as talk:
            phone.use(talk)
            yield Call(phone, server, talk)


Story = Callable[[Call], Awaitable[None]]


def play(server: Standin, story: Story, *, refused: int = 0, **kwargs: Any) -> Call:
    """Have a call to its end; nothing may be left behind, and no request be wrong."""

    async def main() -> Call:
        async with calling(server, **kwargs) as call:
            await story(call)
        assert len(asyncio.all_tasks()) == 1, asyncio.all_tasks()
        return call

    call = run(main())
    assert len(server.refused) == refused, server.refused
    return call
