"""What a tool is to an engine: what the model is told of it, and what came of using it.

Texts are for the model, in words that it can pass on; codes are for people and dashboards.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from service.core.events import DigitsRequested, EndRequested, TransferRequested

TOOLS_IN_A_ROW = 8
"""Tool calls without the caller having spoken, after which the engine must answer without one."""
TOOLS_AT_ONCE = 4
"""Tools of one call that run at the same time; the others wait."""
TEXT_BYTES_MOST = 8 * 1024
"""Of a result, in UTF-8: more would slow the model down and cost the user money."""

Effect = EndRequested | TransferRequested | DigitsRequested


class ToolSpec(Struct, frozen=True):
    """What the model is told of a tool. `parameters`: the JSON Schema of an object."""

    name: str
    description: str
    parameters: dict[str, Any]


class ToolResult(Struct, frozen=True):
    """What came of a tool call: `text` is for the model, also when something went wrong.

    `code` is "ok" or like "tool.timeout". `effect` is for the engine to emit: digits at once,
    an end or a transfer after the words that the model says with the call or after it.
    """

    text: str
    code: str = "ok"
    effect: Effect | None = None
    took_ms: int = 0


class ToolFailed(Exception):
    """A tool could not do what it was asked for: a stable `code`, and `text` for the model."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(code)  # the text may hold what people said, and errors go to logs
        self.code = code
        self.text = text


class Usable(Struct, frozen=True):
    """A tool that can be called. `run` raises ToolFailed; `says` is for a wait, "" nothing.

    `checked`: its arguments are held against `spec.parameters` before it runs.
    """

    spec: ToolSpec
    run: Callable[[dict[str, Any]], Awaitable[ToolResult]]
    says: str = ""
    checked: bool = True
