import asyncio
import json
from typing import Any

import pytest

from service.agents import HttpTool
from service.core.events import DigitsRequested, EndRequested, ToolCalled, TransferRequested
from service.replay import virtual
from service.tools.arguments import read_arguments
from service.tools.built_in import built_in
from service.tools.keypad import Keypad
from service.tools.spec import ToolFailed, ToolResult, Usable
from service.tools.toolbox import Toolbox
from tests.tools.servers import agent

SALES, HELP = "+14155550100", "+14155550111"


def usable(tool: Any, says: str = "", keypad: Keypad | None = None) -> Usable:
    described = agent(tools=[tool]).tools[0]
    assert not isinstance(described, HttpTool)
    return built_in(described, says, keypad or Keypad())


def used(tool: Usable, **arguments: Any) -> ToolResult:
    async def scene() -> ToolResult:
        return await tool.run(read_arguments(json.dumps(arguments), tool.spec.parameters))

    return virtual.run(scene())


def test_the_end_of_a_call_is_an_effect_for_the_engine() -> None:
    result = used(usable("end_call"))
    assert result.effect == EndRequested("agent_ended")
    assert "goodbye" in result.text


def test_a_transfer_goes_to_a_name_that_the_model_chooses() -> None:
    tool = usable({"kind": "transfer_call", "to": {"sales": SALES, "help": HELP}})
    assert used(tool, to="help").effect == TransferRequested(HELP)
    assert SALES not in str(tool.spec)


@pytest.mark.parametrize("arguments", [{}, {"to": "boss"}, {"to": HELP}, {"number": HELP}])
def test_a_transfer_goes_nowhere_else(arguments: dict[str, str]) -> None:
    tool = usable({"kind": "transfer_call", "to": {"sales": SALES, "help": HELP}})
    with pytest.raises(ToolFailed, match=r"tool\.bad_arguments"):
        used(tool, **arguments)


def test_where_there_is_one_way_to_go_nothing_need_be_chosen() -> None:
    tool = usable({"kind": "transfer_call", "to": {"sales": SALES}})
    assert used(tool).effect == TransferRequested(SALES)
    assert used(tool, to="sales").effect == TransferRequested(SALES)


def test_what_to_say_with_a_transfer_is_told_to_the_model() -> None:
    tool = usable({"kind": "transfer_call", "to": {"sales": SALES}}, says="I put you through.")
    assert 'Say now: "I put you through."' in used(tool).text


@pytest.mark.parametrize("digits", ["1", "123#*w0", "ABCD"])
def test_keys_are_pressed(digits: str) -> None:
    assert used(usable("send_dtmf"), digits=digits).effect == DigitsRequested(digits)


@pytest.mark.parametrize("digits", ["", "12x", "1" * 33, "+1415", "1\n", 12, None])
def test_what_is_no_row_of_keys_is_refused(digits: Any) -> None:
    with pytest.raises(ToolFailed, match=r"tool\.bad_arguments"):
        used(usable("send_dtmf"), digits=digits)


def test_digits_are_collected_as_the_model_wants_them() -> None:
    async def scene() -> ToolResult:
        keypad = Keypad()
        tool = usable("collect_digits", keypad=keypad)
        box = Toolbox([tool], keypad, remote_mcp=())
        told: list[ToolCalled] = []
        wish = '{"min_digits": 2, "max_digits": 4, "finish_key": "*", "timeout_s": 5}'
        using = asyncio.create_task(box.call("collect_digits", wish, called=told.append))
        await asyncio.sleep(4)
        for key in "12*":
            assert box.press(key)
        result = await using
        assert told == [ToolCalled("collect_digits", wish, "ok", 4000)]
        return result

    assert virtual.run(scene()) == ToolResult("12", took_ms=4000)


@pytest.mark.parametrize(
    "wish",
    [
        {"max_digits": 0},
        {"max_digits": 33},
        {"finish_key": "5"},
        {"timeout_s": 61},
        {"timeout_s": 0},
        {"between_s": 16},
        {"min_digits": 5, "max_digits": 4},
    ],
)
def test_a_wish_that_cannot_be_granted_is_refused(wish: dict[str, Any]) -> None:
    with pytest.raises(ToolFailed, match=r"tool\.bad_arguments"):
        used(usable("collect_digits"), **wish)
