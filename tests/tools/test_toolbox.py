import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from service.core.events import ToolCalled
from service.replay import virtual
from service.tools.keypad import Keypad
from service.tools.spec import TOOLS_AT_ONCE, ToolFailed, ToolResult, ToolSpec, Usable
from service.tools.toolbox import TOOLS_MOST, Toolbox

OBJECT: dict[str, Any] = {"type": "object", "properties": {"n": {"type": "integer"}}}
Run = Callable[[dict[str, Any]], Awaitable[ToolResult]]


async def fine(_arguments: dict[str, Any]) -> ToolResult:
    await asyncio.sleep(1)
    return ToolResult("fine")


async def broken(_arguments: dict[str, Any]) -> ToolResult:
    raise ToolFailed("tool.timeout", "There was no answer.")


def tool(name: str, run: Run = fine, *, says: str = "", checked: bool = True) -> Usable:
    return Usable(ToolSpec(name, name, OBJECT), run, says, checked)


def box(*tools: Usable) -> Toolbox:
    return Toolbox(tools, Keypad(), remote_mcp=())


def called(name: str, arguments: str, *tools: Usable) -> tuple[ToolResult, list[ToolCalled]]:
    told: list[ToolCalled] = []

    async def scene() -> ToolResult:
        return await box(*tools).call(name, arguments, called=told.append)

    return virtual.run(scene()), told


def test_a_use_is_told_once_with_how_long_it_took() -> None:
    result, told = called("find", '{"n": 1}', tool("find"))
    assert result == ToolResult("fine", took_ms=1000)
    assert told == [ToolCalled("find", '{"n": 1}', "ok", 1000)]


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("nothing", "{}", "tool.unknown"),
        ("find", "{", "tool.bad_arguments"),
        ("find", '{"n": "x"}', "tool.bad_arguments"),
        ("broken", "{}", "tool.timeout"),
    ],
)
def test_trouble_is_a_result_in_words(name: str, arguments: str, code: str) -> None:
    result, told = called(name, arguments, tool("find"), tool("broken", broken))
    assert result.code == code
    assert result.text
    assert [one.code for one in told] == [code]


def test_what_is_told_of_arguments_is_cut() -> None:
    _, told = called("x" * 500, "{" * 5000)
    assert (len(told[0].name), len(told[0].arguments)) == (64, 2000)


def test_a_use_that_is_given_up_is_told_too() -> None:
    told: list[ToolCalled] = []

    async def scene() -> None:
        using = asyncio.create_task(box(tool("find")).call("find", "", called=told.append))
        await asyncio.sleep(0.5)
        using.cancel()
        with pytest.raises(asyncio.CancelledError):
            await using

    virtual.run(scene())
    assert told == [ToolCalled("find", "", "tool.cancelled", 500)]


def test_no_more_tools_than_a_few_run_at_once() -> None:
    running: list[int] = []
    now = 0

    async def count(_arguments: dict[str, Any]) -> ToolResult:
        nonlocal now
        now += 1
        running.append(now)
        await asyncio.sleep(1)
        now -= 1
        return ToolResult("done")

    async def scene() -> float:
        tools = box(tool("count", count))
        many = 2 * TOOLS_AT_ONCE
        uses = [tools.call("count", "", called=lambda _: None) for _ in range(many)]
        assert [result.text for result in await asyncio.gather(*uses)] == ["done"] * many
        return asyncio.get_running_loop().time()

    assert virtual.run(scene()) == pytest.approx(2, abs=0.01)
    assert max(running) == TOOLS_AT_ONCE


def test_a_tool_that_joins_under_a_name_that_is_taken_bears_its_servers() -> None:
    async def scene() -> None:
        tools = box(tool("find"))
        tools.add([tool("find", broken, says="Hm."), tool("book")], "crm")
        assert [spec.name for spec in tools.specs] == ["find", "crm_find", "book"]
        assert (await tools.call("find", "", called=lambda _: None)).text == "fine"
        assert (await tools.call("crm_find", "", called=lambda _: None)).code == "tool.timeout"
        assert (tools.waiting("crm_find"), tools.waiting("find")) == ("Hm.", "")
        assert tools.waiting("nothing") == ""

    virtual.run(scene())


def test_there_are_no_more_tools_than_a_model_takes_and_none_changes_its_meaning() -> None:
    async def scene() -> None:
        tools = box(tool("t0", broken))
        tools.add([tool(f"t{i}") for i in range(200)], "crm")
        tools.add([tool("t0")], "crm")
        assert len(tools.specs) == TOOLS_MOST
        assert (await tools.call("t0", "", called=lambda _: None)).code == "tool.timeout"

    virtual.run(scene())


def test_unchecked_arguments_are_for_the_tool_to_judge() -> None:
    result, _ = called("find", '{"n": "x"}', tool("find", checked=False))
    assert result.text == "fine"
