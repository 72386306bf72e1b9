"""Remote MCP servers of a session: which tools they have, and the calls of them.

A call is only begun in an answer. It is carried out when that answer is done, once the client has
approved of it where that is required; and it is the client that asks for the next answer, as in
OpenAI's own examples. https://platform.openai.com/docs/guides/realtime-mcp
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from service.standin.realtime.common import Common
from service.standin.realtime.items import Item
from service.standin.refusals import Refusal
from service.standin.script import McpServer


class Remote:
    """Of one session."""

    def __init__(self, common: Common) -> None:
        self._common = common
        self._waiting: dict[str, tuple[Item, int]] = {}  # calls by the id of their request

    def list_tools(self, tools: Sequence[Mapping[str, Any]]) -> None:
        """Ask the servers among these what they have."""
        for tool in tools:
            if tool["type"] == "mcp":
                self._common.start(self._list(tool), "stand-in MCP tools")

    def call(self, item: Item, output_index: int) -> None:
        """A call is in an answer that is done."""
        if self._is_free(item.shown):
            self._common.start(self._carry_out(item, output_index), "stand-in MCP call")
            return
        request = {name: item.shown[name] for name in ("name", "server_label", "arguments")}
        request |= {"id": self._common.desk.new_id("mcpr"), "type": "mcp_approval_request"}
        self._waiting[request["id"]] = (item, output_index)
        self._common.add(Item(request))

    def check(self, response: Mapping[str, Any]) -> None:
        """Refusal when nothing waits for this decision."""
        request_id = response["approval_request_id"]
        if request_id not in self._waiting:
            message = f"Approval request '{request_id}' not found."
            raise Refusal(message, code="invalid_value", param="item.approval_request_id")

    def decide(self, response: Mapping[str, Any]) -> None:
        """The client approves of a call, or does not."""
        request_id = response["approval_request_id"]
        item, output_index = self._waiting.pop(request_id)
        item.shown["approval_request_id"] = request_id
        if response["approve"]:
            self._common.start(self._carry_out(item, output_index), "stand-in MCP call")

    async def _list(self, wanted: Mapping[str, Any]) -> None:
        server = self._server(wanted["server_label"])
        shown: dict[str, Any] = {
            "id": self._common.desk.new_id("mcpl"),
            "type": "mcp_list_tools",
            "server_label": wanted["server_label"],
            "tools": [],
        }
        before = self._common.conversation.add(Item(shown))
        of_conversation = {"previous_item_id": before, "item": shown}
        self._common.tell("conversation.item.added", **of_conversation)
        self._common.tell("mcp_list_tools.in_progress", item_id=shown["id"])
        if server.fails:
            return self._common.tell("mcp_list_tools.failed", item_id=shown["id"])
        names = _names(wanted.get("allowed_tools"))
        shown["tools"] = [
            {"name": t.name, "description": t.description, "input_schema": t.input_schema}
            for t in server.tools
            if names is None or t.name in names
        ]
        self._common.tell("conversation.item.done", **of_conversation)
        self._common.tell("mcp_list_tools.completed", item_id=shown["id"])
        return None

    async def _carry_out(self, item: Item, output_index: int) -> None:
        of = {"item_id": item.id, "output_index": output_index}
        self._common.tell("response.mcp_call.in_progress", **of)
        tools = self._server(item.shown["server_label"]).tools
        tool = next((tool for tool in tools if tool.name == item.shown["name"]), None)
        await asyncio.sleep(tool.takes_ms / 1000 if tool else 0)
        if tool is None or tool.fails:
            error = {"type": "tool_execution_error", "message": "The tool failed."}
            item.shown["error"] = error
            self._common.tell("response.mcp_call.failed", **of)
        else:
            item.shown["output"] = tool.result
            self._common.tell("response.mcp_call.completed", **of)
        before = self._common.conversation.before(item)
        self._common.tell("conversation.item.done", previous_item_id=before, item=item.shown)

    def _is_free(self, call: Mapping[str, Any]) -> bool:
        """Whether no approval is required, which it is unless the client said otherwise."""
        for tool in self._common.config.shown["tools"]:
            if tool.get("server_label") == call["server_label"]:
                rule = tool.get("require_approval") or "always"
                if isinstance(rule, str):
                    return bool(rule == "never")
                return call["name"] in (_names(rule.get("never")) or ())
        return False

    def _server(self, label: str) -> McpServer:
        """A server that the script does not know cannot be reached."""
        return self._common.desk.script.mcp.get(label, McpServer(fails=True))


def _names(chosen: Any) -> list[str] | None:
    """The tools that a list or a filter names; None: it names none."""
    return chosen.get("tool_names") if isinstance(chosen, Mapping) else chosen
