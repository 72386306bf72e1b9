"""One call's tools: what the model may use, one door to use it by, and what is told of each use.

Whatever is wrong with a tool or with what the model wants of it becomes a result in words.
"""

import asyncio
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from service.agents import McpServer
from service.core.events import ToolCalled
from service.tools.arguments import read_arguments
from service.tools.keypad import Keypad
from service.tools.spec import TOOLS_AT_ONCE, ToolFailed, ToolResult, ToolSpec, Usable

NAME_MOST = 64
ARGUMENTS_TOLD = 2000
"""Characters of a call's arguments that its record keeps."""
TOOLS_MOST = 128
"""What OpenAI's APIs take; the agent file's own come first."""

Called = Callable[[ToolCalled], None]


class Toolbox:
    """One call's tools, open while the call lasts.

    `remote_mcp`: the servers that OpenAI's side is to use, their secrets filled in.
    """

    def __init__(
        self, tools: Iterable[Usable], keypad: Keypad, *, remote_mcp: tuple[McpServer, ...]
    ) -> None:
        self.remote_mcp = remote_mcp
        self._keypad = keypad
        self._tools = {tool.spec.name: tool for tool in tools}
        self._room = asyncio.Semaphore(TOOLS_AT_ONCE)

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools there are by now: those of MCP servers join while the call goes on."""
        return tuple(tool.spec for tool in self._tools.values())

    def waiting(self, name: str) -> str:
        """The sentence to say when this tool takes its time; "" for none."""
        tool = self._tools.get(name)
        return tool.says if tool is not None else ""

    def press(self, digit: str) -> bool:
        """True: the key belongs to what collect_digits takes, so nobody else need hear of it."""
        return self._keypad.press(digit)

    def add(self, tools: Iterable[Usable], prefix: str) -> None:
        """Further tools, from the server `prefix`; it goes before a name that is taken."""
        for tool in tools:
            name = tool.spec.name
            if name in self._tools:
                name = f"{prefix}_{name}"[:NAME_MOST]
            if name not in self._tools and len(self._tools) < TOOLS_MOST:
                self._tools[name] = replace(tool, spec=replace(tool.spec, name=name))

    async def call(self, name: str, arguments: str, *, called: Called) -> ToolResult:
        """Use a tool; `arguments` as the model wrote them. Never raises for trouble of the tool.

        `called` is told once, when it is done or given up: a request may have gone out by then.
        """
        began_s = asyncio.get_running_loop().time()
        code = "tool.cancelled"
        try:
            result = await self._use(name, arguments)
            code = result.code
        finally:
            took_ms = round((asyncio.get_running_loop().time() - began_s) * 1000)
            called(ToolCalled(name[:NAME_MOST], arguments[:ARGUMENTS_TOLD], code, took_ms))
        return replace(result, took_ms=took_ms)

    async def _use(self, name: str, arguments: str) -> ToolResult:
        tool = self._tools.get(name)
        if tool is None:
            return ToolResult("There is no such tool.", "tool.unknown")
        try:
            given = read_arguments(arguments, tool.spec.parameters, checked=tool.checked)
            async with self._room:
                return await tool.run(given)
        except ToolFailed as failed:
            return ToolResult(failed.text, failed.code)
