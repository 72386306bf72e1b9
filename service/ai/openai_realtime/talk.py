"""One call's conversation by the Realtime API: the bridge's commands in, its events out.

Here the parts meet: the caller's half, the agent's half, what both remember, and the line.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress

import structlog

from service.ai.base import Brief, Emit
from service.ai.keys import Keys
from service.ai.openai import orders, session
from service.ai.openai.errors import named_error
from service.ai.openai.events import (
    Committed,
    Complained,
    RemoteToolsMissing,
    ServerEvent,
    SessionReady,
    Understanding,
    Understood,
    VoiceBegan,
    VoiceEnded,
)
from service.ai.openai.line import Dial, Line
from service.ai.openai.orders import Order
from service.ai.openai_realtime.hearing import Hearing
from service.ai.openai_realtime.memory import Memory
from service.ai.openai_realtime.speaking import HOPELESS, Speaking
from service.core.audio import AudioFrame
from service.core.commands import (
    EngineCommand,
    Hear,
    Instruct,
    Interrupt,
    StartTurn,
    TellAudible,
    TellDigit,
)
from service.core.errors import EngineError
from service.core.events import EngineFailed
from service.media.voice import Judge
from service.tools import Toolbox

INSTRUCTIONS_MOST = 20

log = structlog.get_logger()


class RealtimeTalk:
    """A conversation, once it is open."""

    def __init__(
        self,
        brief: Brief,
        emit: Emit,
        new_id: Callable[[str], str],
        *,
        toolbox: Toolbox,
        dial: Dial,
        judge: Judge | None,
    ) -> None:
        self._brief = brief
        self._emit = emit
        self._toolbox = toolbox
        self._minded = deque(brief.instructions, maxlen=INSTRUCTIONS_MOST)
        self._memory = memory = Memory(brief.history)
        self._line = Line(dial, self, call_id=brief.call_id)
        self._speaking = Speaking(
            brief,
            emit,
            new_id,
            send=self._line.send,
            surroundings=self,
            memory=memory,
            toolbox=toolbox,
        )
        self._hearing = Hearing(
            brief, emit, self._line.send, answerer=self._speaking, memory=memory, judge=judge
        )
        self._keys = Keys(toolbox, self._hearing.pressed)
        self._failed = False
        self._job: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[None] | None = None

    async def open(self) -> None:
        """Have a session; EngineError when there is none in time."""
        loop = asyncio.get_running_loop()
        self._opened = loop.create_future()
        self._job = loop.create_task(self._line.carry())
        self._job.add_done_callback(self._line_done)
        await self._opened
        if self._brief.unanswered:
            self._speaking.answer()

    def offer_tools(self) -> None:
        """There are more tools than before."""
        self._line.send(session.offer(self._toolbox))

    async def aclose(self) -> None:
        """Leave no task, no timer and no socket behind."""
        self._failed = True
        self._keys.close()
        self._hearing.close()
        await self._speaking.aclose()
        if self._job is not None:
            self._job.cancel()
            with suppress(asyncio.CancelledError, EngineError):
                await self._job

    # What the bridge wants ---------------------------------------------------------------------

    def do(self, command: EngineCommand, now_ms: int) -> None:  # noqa: ARG002
        """Take a command; returns at once."""
        match command:
            case Hear(frame):
                self._hear(frame)
            case TellAudible(audible):
                self._hearing.tell_audible(audible)
            case StartTurn(text):
                self._speaking.say(text)
            case Interrupt():
                self._speaking.interrupt(command)
            case TellDigit(digit):
                self._keys.press(digit)
            case Instruct(text):
                self._minded.append(text)
                self._line.send(orders.mind(text))

    async def hear_out(self) -> None:
        """Tell what was heard to the last; nobody is there for an answer any more."""
        self._speaking.fall_silent()
        await self._hearing.hear_out()

    def _hear(self, frame: AudioFrame) -> None:
        self._hearing.hear(frame)
        self._speaking.tell_words()
        if self._line.is_old and self._nobody_speaks():
            self._line.renew()

    def _nobody_speaks(self) -> bool:
        return self._speaking.quiet and not (self._hearing.speaking or self._hearing.audible)

    # What the server says ----------------------------------------------------------------------

    def take(self, event: ServerEvent) -> None:
        """Something from the line."""
        match event:
            case Committed() | Understanding() | Understood() | VoiceBegan() | VoiceEnded():
                self._hearing.take(event)
            case Complained():
                self._complained(event)
            case RemoteToolsMissing():
                self._emit(EngineFailed("tool.mcp_unreachable", "remote MCP server", fatal=False))
            case SessionReady():
                pass
            case _:
                self._speaking.take(event)

    def _complained(self, event: Complained) -> None:
        """What was about an order of ours is the affair of who gave it; the rest may be serious."""
        fault = named_error(event.code, event.kind, "session")
        wish = orders.wish_of(event.event_id)
        if orders.is_forgiven(event.event_id):
            return
        if wish == "create":
            self._speaking.refused(event)
        elif wish == "commit":
            self._hearing.refused()
        elif fault.code == "openai.session_lost":
            self._line.renew()
        elif fault.code in HOPELESS:
            self.fail(fault.code, fault.detail)
        else:
            self._emit(EngineFailed(fault.code, fault.detail, fatal=False))

    # What the halves must know of each other ---------------------------------------------------

    def caller_speaks(self) -> bool:
        """Whether the caller has the floor."""
        return self._hearing.speaking

    def agent_says(self, text: str) -> None:
        """This is about to be heard."""
        self._hearing.said(text)

    def fail(self, code: str, detail: str) -> None:
        """The conversation cannot go on; said once."""
        if not self._failed:
            self._failed = True
            self._speaking.fall_silent()
            self._emit(EngineFailed(code, detail))

    # The line ----------------------------------------------------------------------------------

    def session(self) -> Order:
        """What the session is to be like."""
        agent = self._brief.agent
        instructions = agent.fill(agent.instructions, self._brief.variables)
        return session.update(
            agent,
            self._toolbox,
            hears=session.format_for(self._brief.hears),
            speaks=session.format_for(self._brief.speaks),
            instructions="\n\n".join([instructions, *self._minded]),
        )

    def seeds(self) -> Iterable[Order | str]:
        """What a new session must know."""
        return [*self._memory.seeds(), *self._hearing.seeds()]

    def lost(self) -> None:
        """There is no session for now."""
        self._hearing.lose()
        self._speaking.lose()

    def found(self) -> None:
        """There is one, for the first time or again."""
        if self._opened is not None and not self._opened.done():
            self._opened.set_result(None)
        self._hearing.resume()
        self._speaking.resume()

    def _line_done(self, job: "asyncio.Task[None]") -> None:
        if job.cancelled() or (fault := job.exception()) is None:
            return
        if self._opened is not None and not self._opened.done():
            self._opened.set_exception(fault)
        elif isinstance(fault, EngineError):
            self.fail(fault.code, fault.detail)
        else:
            log.error("Engine crashed", call_id=self._brief.call_id, exc_info=fault)
            self.fail("engine.crashed", type(fault).__name__)
