"""Remote MCP servers, as far as a session tells of them: which tools they have.

https://platform.openai.com/docs/guides/realtime-mcp
"""

from collections.abc import Mapping
from typing import Any

from service.standin.realtime.common import Common
from service.standin.realtime.items import Item
from service.standin.script import McpServer


async def list_tools(common: Common, wanted: Mapping[str, Any]) -> None:
    """An item with the tools of a server; a server that the script does not know cannot be had."""
    label = wanted["server_label"]
    server = common.desk.script.mcp.get(label, McpServer(fails=True))
    shown: dict[str, Any] = {
        "id": common.desk.new_id("mcpl"),
        "type": "mcp_list_tools",
        "server_label": label,
        "tools": [],
    }
    item = Item(shown)
    before = common.conversation.add(item)
    common.tell("conversation.item.added", previous_item_id=before, item=shown)
    common.tell("mcp_list_tools.in_progress", item_id=item.id)
    if server.fails:
        common.tell("mcp_list_tools.failed", item_id=item.id)
        return
    allowed = _allowed(wanted)
    shown["tools"] = [
        {"name": t.name, "description": t.description, "input_schema": t.input_schema}
        for t in server.tools
        if allowed is None or t.name in allowed
    ]
    common.tell("conversation.item.done", previous_item_id=before, item=shown)
    common.tell("mcp_list_tools.completed", item_id=item.id)


def _allowed(wanted: Mapping[str, Any]) -> list[str] | None:
    names = wanted.get("allowed_tools")
    if isinstance(names, Mapping):
        names = names.get("tool_names")
    return names
