"""Remote MCP servers in Realtime sessions."""

import asyncio
from typing import Any

import pytest

from service.replay import virtual
from service.standin import Standin
from tests.standin.client import standin
from tests.standin.realtime import Caller, calling

TOOL = {"type": "mcp", "server_label": "crm", "server_url": "https://mcp.example/mcp"}
FREE = TOOL | {"require_approval": "never"}
CRM = {
    "tools": [
        {"name": "find", "result": "Ana"},
        {"name": "drop", "fails": True},
        {"name": "wait", "takes_ms": 700},
    ]
}


def asking(name: str) -> Standin:
    calls = {"name": name, "arguments": {"id": 5}, "server": "crm"}
    reply = {"hears": "who", "says": "Let me see.", "calls": calls, "then": "It is {result}."}
    return standin(heard=["who"], replies=[reply], mcp={"crm": CRM})


async def test_the_tools_of_a_server_are_listed_once_and_only_those_that_are_allowed() -> None:
    tool = FREE | {"allowed_tools": ["find"]}
    async with calling(standin(mcp={"crm": CRM})) as caller:
        await caller.configure(tools=[tool])
        await caller.until("mcp_list_tools.completed")
        await caller.configure(tools=[tool])
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
        await caller.configure(tools=[FREE])
        failed = await caller.until("mcp_list_tools.failed")
        assert failed["item_id"] == caller.of("conversation.item.added")[0]["item"]["id"]


async def asked(caller: Caller, tool: dict[str, Any]) -> dict[str, Any]:
    """The answer in which the call is begun."""
    await caller.configure(tools=[tool], output_modalities=["text"])
    await caller.say()
    caller.events.clear()
    return await caller.ask()


async def test_a_call_is_carried_out_after_its_answer_and_the_client_asks_for_the_next() -> None:
    async with calling(asking("find")) as caller:
        done = await asked(caller, FREE)
        assert [item["type"] for item in done["output"]] == ["message", "mcp_call"]
        assert done["output"][1]["arguments"] == '{"id": 5}'
        assert done["output"][1]["output"] is None
        kinds = [(await caller.next())["type"] for _ in range(3)]
        assert kinds == [
            "response.mcp_call.in_progress",
            "response.mcp_call.completed",
            "conversation.item.done",
        ]
        assert caller.events[-1]["item"]["output"] == "Ana"
        final = await caller.ask(tool_choice="none")
        assert final["output"][0]["content"][0]["text"] == "It is Ana."


async def test_a_call_fails() -> None:
    async with calling(asking("drop")) as caller:
        await asked(caller, FREE)
        await caller.until("response.mcp_call.failed")
        item = (await caller.until("conversation.item.done"))["item"]
        assert item["error"]["type"] == "tool_execution_error"


def test_a_call_takes_its_time() -> None:
    async def main() -> float:
        async with calling(asking("wait")) as caller:
            await asked(caller, FREE)
            start_s = asyncio.get_running_loop().time()
            await caller.until("response.mcp_call.completed")
            return asyncio.get_running_loop().time() - start_s

    assert virtual.run(main()) == pytest.approx(0.7)


@pytest.mark.parametrize(
    "tool",
    [TOOL, TOOL | {"require_approval": {"never": {"tool_names": ["drop"]}}}],
    ids=["unless said otherwise", "but for others"],
)
async def test_a_call_waits_until_the_client_approves(tool: dict[str, Any]) -> None:
    async with calling(asking("find")) as caller:
        await asked(caller, tool)
        request = (await caller.until("conversation.item.done"))["item"]
        assert (request["type"], request["name"]) == ("mcp_approval_request", "find")
        approval = {
            "type": "mcp_approval_response",
            "id": "yes",
            "approval_request_id": request["id"],
            "approve": True,
        }
        await caller.send("conversation.item.create", item=approval)
        await caller.until("response.mcp_call.completed")
        item = (await caller.until("conversation.item.done"))["item"]
        assert item["approval_request_id"] == request["id"]
        await caller.send("conversation.item.create", item=approval | {"id": "again"})
        assert await caller.refused() == ("invalid_value", "item.approval_request_id")
        assert caller.of("response.mcp_call.in_progress")[1:] == []


async def test_a_call_that_is_not_approved_is_not_carried_out() -> None:
    async with calling(asking("find")) as caller:
        await asked(caller, TOOL)
        request = (await caller.until("conversation.item.done"))["item"]
        denial = {"type": "mcp_approval_response", "id": "no", "approve": False}
        denial["approval_request_id"] = request["id"]
        await caller.send("conversation.item.create", item=denial)
        await caller.until("conversation.item.done")
        await caller.configure()
        assert caller.of("response.mcp_call.in_progress") == []
