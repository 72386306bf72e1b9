"""Remote MCP servers in Realtime sessions."""

from typing import Any

from service.standin import Voice
from tests.standin.client import standin
from tests.standin.realtime import calling

TOOL = {"type": "mcp", "server_label": "crm", "server_url": "https://mcp.example/mcp"}
CRM = {"tools": [{"name": "find", "result": "Ana"}, {"name": "drop", "fails": True}]}


def asking(name: str, server: str = "crm") -> dict[str, Any]:
    calls = {"name": name, "arguments": {"id": 5}, "server": server}
    return {"hears": "who", "says": "Let me see.", "calls": calls, "then": "It is {result}."}


async def test_the_tools_of_a_server_are_listed_once_and_only_those_that_are_allowed() -> None:
    async with calling(standin(mcp={"crm": CRM})) as caller:
        await caller.configure(tools=[TOOL | {"allowed_tools": ["find"]}])
        await caller.until("mcp_list_tools.completed")
        await caller.configure(tools=[TOOL | {"allowed_tools": ["find"]}])
        await caller.send("session.update", session={"type": "realtime"})
        await caller.until("session.updated")
        kinds = [e["type"] for e in caller.events if "updated" not in e["type"]]
        assert kinds == [
            "conversation.item.added",
            "mcp_list_tools.in_progress",
            "conversation.item.done",
            "mcp_list_tools.completed",
        ]
        [item] = [event["item"] for event in caller.of("conversation.item.done")]
        assert [tool["name"] for tool in item["tools"]] == ["find"]


async def test_a_server_that_cannot_be_reached_has_no_tools() -> None:
    async with calling(standin()) as caller:
        await caller.configure(tools=[TOOL])
        failed = await caller.until("mcp_list_tools.failed")
        assert failed["item_id"] == caller.of("conversation.item.added")[0]["item"]["id"]


async def test_a_remote_tool_is_called_by_the_server_and_the_answer_goes_on(voice: Voice) -> None:
    script: Any = {"heard": ["who"], "replies": [asking("find")], "mcp": {"crm": CRM}}
    async with calling(standin(voice, sound={"speed": 0}, **script)) as caller:
        await caller.configure(tools=[TOOL])
        await caller.say()
        caller.events.clear()
        done = await caller.ask()
        assert [item["type"] for item in done["output"]] == ["message", "mcp_call", "message"]
        assert done["output"][1]["output"] == "Ana"
        assert caller.text == "Let me see.It is Ana."
        kinds = [e["type"] for e in caller.events if "mcp_call" in e["type"]]
        assert kinds[-3:] == [
            "response.mcp_call_arguments.done",
            "response.mcp_call.in_progress",
            "response.mcp_call.completed",
        ]


async def test_a_remote_tool_fails() -> None:
    script: Any = {"heard": ["who"], "replies": [asking("drop")], "mcp": {"crm": CRM}}
    async with calling(standin(**script)) as caller:
        await caller.configure(tools=[TOOL], output_modalities=["text"])
        await caller.say()
        done = await caller.ask()
        assert done["output"][1]["error"]["type"] == "tool_execution_error"
        assert len(caller.of("response.mcp_call.failed")) == 1
