"""Tools that the server calls itself, on MCP servers of its own.

A model's answer ends with such a call begun; that it is over is told later, and what the model
makes of it is for us to ask for. https://platform.openai.com/docs/guides/realtime-mcp
"""

import asyncio
from collections.abc import Callable

from service.ai.base import Emit
from service.ai.openai.events import RemoteToolAsked, RemoteToolOver
from service.core.events import ToolCalled

ARGUMENTS_MOST = 2000
REMOTE_S = 15.0
"""How long the server may take to call a tool: the bridge's own filler bridges the silence."""


class RemoteTools:
    """The calls under way. `back` is told once all of them are over."""

    def __init__(self, emit: Emit, back: Callable[[], None]) -> None:
        self._emit = emit
        self._back = back
        self._begun: dict[str, tuple[RemoteToolAsked, float]] = {}  # by item, since when
        self._waits = False  # the answer that began them is complete
        self._late: asyncio.TimerHandle | None = None

    @property
    def under_way(self) -> bool:
        """Whether any call is."""
        return bool(self._begun)

    def begin(self, asked: RemoteToolAsked) -> None:
        """The model calls one."""
        self._begun[asked.item_id] = asked, asyncio.get_running_loop().time()

    def wait(self, *, spoke: bool) -> None:
        """The answer that began them is complete; `spoke`: with words, perhaps on what came of it.

        `back` is told at once where nothing has to be waited for, and not at all after such words.
        """
        if self._begun:
            self._waits = True
            self._late = asyncio.get_running_loop().call_later(REMOTE_S, self._give_up)
        elif not spoke:
            self._back()

    def end(self, over: RemoteToolOver) -> None:
        """The server has called one."""
        if over.item_id in self._begun:
            self._tell(over.item_id, "tool.failed" if over.failed else "ok")
            self._look()

    def close(self) -> None:
        """Nobody waits for them any more."""
        for item_id in [*self._begun]:
            self._tell(item_id, "tool.cancelled")
        self._rest()

    def _give_up(self) -> None:
        for item_id in [*self._begun]:
            self._tell(item_id, "tool.timeout")
        self._look()

    def _tell(self, item_id: str, code: str) -> None:
        asked, since_s = self._begun.pop(item_id)
        took_s = asyncio.get_running_loop().time() - since_s
        arguments = asked.arguments[:ARGUMENTS_MOST]
        self._emit(ToolCalled(asked.name, arguments, code, round(took_s * 1000)))

    def _look(self) -> None:
        if self._waits and not self._begun:
            self._rest()
            self._back()

    def _rest(self) -> None:
        self._waits = False
        if self._late is not None:
            self._late.cancel()
            self._late = None
