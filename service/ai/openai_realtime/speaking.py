"""The agent's half of a conversation: answers, the tools they call, and what follows a failure.

Answers are made by `Replies`, one after the other; this says which there are to be, and what
follows from each.
"""

import asyncio
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import Protocol

from service.agents import Agent
from service.ai.base import Brief, Emit
from service.ai.captions import first_weight_ms
from service.ai.errands import Errands
from service.ai.openai import orders
from service.ai.openai.errors import OpenAIFault, named_error
from service.ai.openai.events import (
    Complained,
    RemoteToolAsked,
    RemoteToolOver,
    ResponseOver,
    ToolAsked,
)
from service.ai.openai.orders import Order
from service.ai.openai.session import format_for
from service.ai.openai_realtime.memory import Memory, seed_id
from service.ai.openai_realtime.remote import RemoteTools
from service.ai.openai_realtime.replies import Replies, ReplyEvent
from service.ai.openai_realtime.reply import Reply
from service.core.commands import Interrupt
from service.core.events import (
    DigitsRequested,
    EndRequested,
    EngineEvent,
    EngineFailed,
    TransferRequested,
    TurnAudio,
    TurnId,
)
from service.core.wording import words_of
from service.tools import TOOLS_IN_A_ROW, Toolbox, ToolResult

TRIES_MOST = 2
"""How often an answer that failed is asked for again: the caller waits."""
ALIKE = 0.7
"""How alike what was said must be to what was to be said word for word."""
HOPELESS = ("openai.bad_key", "openai.no_quota", "openai.unknown_model")


class Surroundings(Protocol):
    """What the agent must know of the rest of the conversation."""

    def caller_speaks(self) -> bool:
        """Whether the caller has the floor."""

    def agent_says(self, text: str) -> None:
        """This is about to be heard."""

    def fail(self, code: str, detail: str) -> None:
        """The conversation cannot go on."""


class Speaking:
    """One call's agent."""

    def __init__(
        self,
        brief: Brief,
        emit: Emit,
        new_id: Callable[[str], str],
        *,
        send: Callable[[Order], None],
        surroundings: Surroundings,
        memory: Memory,
        toolbox: Toolbox,
    ) -> None:
        self._agent: Agent = brief.agent
        self._line = brief.speaks
        self._theirs = format_for(brief.speaks)
        self._emit = emit
        self._new_id = new_id
        self._surroundings = surroundings
        self._memory = memory
        self.send = send
        self._weight_ms = first_weight_ms(brief.agent.realtime.speed)
        self._replies = Replies(self, self._stalled)
        self._errands = Errands(toolbox, emit)
        self._remote = RemoteTools(emit, self._back_from_remote)
        self._tools_in_a_row = 0
        self._tries = 0
        self._later: asyncio.TimerHandle | None = None
        self._effect: EndRequested | TransferRequested | None = None  # once the next turn is said
        self._silent = False  # nobody is there to be answered

    @property
    def quiet(self) -> bool:
        """Nothing is being made."""
        return self._replies.quiet

    # What is wanted ----------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Say exactly this."""
        self._ask(exact=text)

    def yield_floor(self) -> None:
        """The caller speaks: what has not begun is not said."""
        self._remote.close()
        if self._later is not None:
            self._later.cancel()
        self._replies.drop_unheard()

    def prepare(self) -> None:
        """The caller's turn may be over: make the answer, unheard."""
        self._ask(held=True)

    def throw_away(self) -> None:
        """It is not over: what was prepared is void."""
        self._replies.drop_held()

    def answer(self) -> None:
        """It is over."""
        self._tools_in_a_row = self._tries = 0
        if not self._silent and not self._replies.release():
            self._ask()

    def interrupt(self, command: Interrupt) -> None:
        """The caller heard no more than this of a turn: nor does the model remember more."""
        reply = self._replies.interrupt(command.turn_id, command.heard_ms)
        if reply is None:
            return
        self._effect = None
        heard = command.heard_text.strip()
        if heard:
            self._memory.said("agent", command.turn_id, heard)
        else:
            self._memory.forget(command.turn_id)
        if reply.elsewhere:
            self.send(orders.delete(seed_id(command.turn_id)))
            if heard:
                self.send(orders.agent_said(heard))

    def fall_silent(self) -> None:
        """Nobody is there for an answer any more."""
        self._silent = True
        self._remote.close()
        self._replies.close()
        if self._later is not None:
            self._later.cancel()

    async def aclose(self) -> None:
        """Leave no task and no timer behind."""
        self.fall_silent()
        await self._errands.aclose()

    def tell_words(self) -> None:
        """Time has passed: text whose sound may be heard soon is told."""
        self._replies.told(_played_ms)

    # What comes --------------------------------------------------------------------------------

    def take(self, event: ReplyEvent | RemoteToolOver) -> None:
        """Something of an answer, or of a tool that was called in one."""
        if isinstance(event, RemoteToolOver):
            self._remote.end(event)
            return
        if isinstance(event, RemoteToolAsked):
            self._remote.begin(event)
        self._replies.take(event)

    def refused(self, complaint: Complained) -> None:
        """The server would not make an answer."""
        turn = (complaint.event_id or "").removeprefix("create_")
        self._replies.refused(turn, complaint.code, complaint.kind)

    def tell(self, reply: Reply, events: list[EngineEvent]) -> None:
        """The caller may hear this."""
        for event in events:
            if type(event) is TurnAudio and reply.first_audio_s is None:
                reply.first_audio_s = asyncio.get_running_loop().time()
            self._emit(event)

    def settle(self, reply: Reply, over: ResponseOver) -> None:
        """An answer is complete."""
        self._weight_ms = reply.weight_ms
        if reply.cut_ms is not None:
            return
        if reply.text:
            self._memory.said("agent", reply.turn_id, reply.text)
            self._surroundings.agent_says(reply.text)
        if over.status == "failed":
            self._trouble(reply, named_error(over.code, over.kind, "response"))
        elif reply.tools and over.status == "completed":
            self._run_errands(reply)
        elif reply.remote and over.status == "completed":
            self._await_remote(reply)
        elif over.status != "cancelled" and not reply.began:
            self._say_nothing_came_of_it(reply, over.reason)
        else:
            self._check_words(reply)
            self._carry_out()

    def _ask(self, *, exact: str = "", held: bool = False, with_tools: bool = True) -> None:
        if self._silent:
            return
        reply = Reply(
            TurnId(self._new_id("turn")),
            self._theirs,
            self._line,
            weight_ms=self._weight_ms,
            exact=exact,
            held=held,
            with_tools=with_tools,
        )
        self._replies.ask(reply)

    # When it goes wrong --------------------------------------------------------------------------

    def _check_words(self, reply: Reply) -> None:
        if not reply.exact:
            return
        wanted, said = words_of(reply.exact), words_of(reply.text)
        if SequenceMatcher(None, wanted, said, autojunk=False).ratio() < ALIKE:
            self._emit(EngineFailed("openai.other_words", "speech", fatal=False))

    def _say_nothing_came_of_it(self, reply: Reply, reason: str | None) -> None:
        """A filter, or a model without a word: the caller is asked to say it another way."""
        code = "openai.refused" if reason == "content_filter" else "openai.confused"
        if reply.exact:
            self._trouble(reply, OpenAIFault(code, "speech"))
            return
        self._emit(EngineFailed(code, reason or "empty answer", fatal=False))
        self._ask(exact=self._agent.not_understood)

    def _trouble(self, reply: Reply, fault: OpenAIFault) -> None:
        self._tries += 1
        if fault.code in HOPELESS or self._tries > TRIES_MOST:
            self._surroundings.fail(fault.code, fault.detail)
            return
        self._emit(EngineFailed(fault.code, fault.detail, fatal=False))
        loop = asyncio.get_running_loop()
        self._later = loop.call_later(fault.retry_after_ms / 1000, self._ask_again, reply)

    def _ask_again(self, reply: Reply) -> None:
        self._ask(exact=reply.exact, with_tools=reply.with_tools)

    def _stalled(self, stage: str) -> None:
        self._surroundings.fail("openai.stalled", stage)

    # Tools -------------------------------------------------------------------------------------

    def _run_errands(self, reply: Reply) -> None:
        reply.tools_run = True
        self._tools_in_a_row += len(reply.tools)
        for tool in reply.tools:
            self._memory.called(tool.call_id, tool.name, tool.arguments)

        def done(results: Sequence[tuple[ToolAsked, ToolResult]]) -> None:
            self._back_from_errands(reply, results)

        self._errands.run(reply.tools, done)

    def _back_from_errands(
        self, reply: Reply, results: Sequence[tuple[ToolAsked, ToolResult]]
    ) -> None:
        for tool, result in results:
            self._tell_result(reply, tool, result)
        if reply.cut_ms is not None:
            self._effect = None
        if self._effect is not None and reply.began:
            self._carry_out()
        elif not self._replies.waits and not self._surroundings.caller_speaks():
            self._ask(with_tools=self._tools_in_a_row < TOOLS_IN_A_ROW)

    def _await_remote(self, reply: Reply) -> None:
        self._tools_in_a_row += reply.remote
        self._remote.wait(spoke=reply.began)

    def _back_from_remote(self) -> None:
        if not self._replies.waits and not self._surroundings.caller_speaks():
            self._ask(with_tools=self._tools_in_a_row < TOOLS_IN_A_ROW)

    def _tell_result(self, reply: Reply, tool: ToolAsked, result: ToolResult) -> None:
        self._memory.told(tool.call_id, result.text)
        if reply.elsewhere:  # this session has not heard of the call
            self.send(orders.tool_called(tool.call_id, tool.name, tool.arguments))
        self.send(orders.tool_told(tool.call_id, result.text))
        if isinstance(result.effect, DigitsRequested):
            self._emit(result.effect)
        elif result.effect is not None:
            self._effect = result.effect

    def _carry_out(self) -> None:
        """What a tool wanted happens once the words that go with it are made."""
        effect, self._effect = self._effect, None
        if effect is not None:
            self._emit(effect)

    # A new session -----------------------------------------------------------------------------

    def lose(self) -> None:
        """There is no session for now."""
        self._replies.lose()
        if self._remote.under_way:  # the new one knows nothing of them
            self._remote.close()
            self._ask()

    def resume(self) -> None:
        """There is one again."""
        self._replies.resume()


def _played_ms(reply: Reply) -> int:
    """The most of an answer that can have been heard by now."""
    if reply.first_audio_s is None:
        return 0
    return round((asyncio.get_running_loop().time() - reply.first_audio_s) * 1000)
