"""Tool calls in an answer: functions of the client's, and tools of remote MCP servers."""

import asyncio
from typing import Any

from service.standin.functions import as_text
from service.standin.realtime.items import Item
from service.standin.realtime.output import Output
from service.standin.script import Call

_PIECE = 12


async def call(output: Output, wanted: Call) -> None:
    """A function call; the client makes its result an item later."""
    call_id = output.stage.new_id("call")
    item = output.open(
        {
            "id": output.stage.new_id("item"),
            "object": "realtime.item",
            "type": "function_call",
            "status": "in_progress",
            "call_id": call_id,
            "name": wanted.name,
            "arguments": "",
        }
    )
    of = {"item_id": item.id, "call_id": call_id}
    kind = "response.function_call_arguments"
    output.closing([(f"{kind}.done", of | {"name": wanted.name, "arguments": ""})])
    text = as_text(wanted.arguments)
    await _write(output, item, text, f"{kind}.delta", of)
    output.closing([(f"{kind}.done", of | {"name": wanted.name, "arguments": text})])
    output.close()


async def call_remote(output: Output, wanted: Call) -> None:
    """A tool of a remote MCP server is to be called; that is done when the answer is."""
    item = output.open(
        {
            "id": output.stage.new_id("mcp"),
            "type": "mcp_call",
            "name": wanted.name,
            "server_label": wanted.server,
            "arguments": "",
            "output": None,
            "error": None,
            "approval_request_id": None,
        }
    )
    of = {"item_id": item.id}
    text = as_text(wanted.arguments)
    await _write(output, item, text, "response.mcp_call_arguments.delta", of)
    output.tell("response.mcp_call_arguments.done", **of, arguments=text)
    output.close()


async def _write(output: Output, item: Item, text: str, kind: str, of: dict[str, Any]) -> None:
    for begin in range(0, len(text), _PIECE):
        if begin:
            await asyncio.sleep(output.wish.delays.token_ms / 1000)
        await output.step()
        piece = text[begin : begin + _PIECE]
        item.shown["arguments"] += piece
        output.tell(kind, **of, delta=piece)
        output.spend(1)
