"""Tools that the server calls itself: told once each, and answered once all of them are over."""

import asyncio

import pytest

from service.ai.openai.events import RemoteToolAsked, RemoteToolOver
from service.ai.openai_realtime.remote import REMOTE_S, RemoteTools
from service.core.events import EngineEvent, ToolCalled
from service.replay import virtual

FIND = RemoteToolAsked("r", "item_1", "find", '{"name":"Ana"}')
BOOK = RemoteToolAsked("r", "item_2", "book", "{}")


class House:
    def __init__(self) -> None:
        self.told: list[EngineEvent] = []
        self.backs = 0
        self.tools = RemoteTools(self.told.append, self._back)

    def _back(self) -> None:
        self.backs += 1

    @property
    def codes(self) -> list[str]:
        return [event.code for event in self.told if isinstance(event, ToolCalled)]


def test_the_answer_is_asked_for_once_when_all_are_over() -> None:
    async def main() -> None:
        house = House()
        house.tools.begin(FIND)
        house.tools.begin(BOOK)
        house.tools.wait(spoke=False)
        house.tools.end(RemoteToolOver("item_2", failed=True))
        assert house.backs == 0
        await asyncio.sleep(0.5)
        house.tools.end(RemoteToolOver("item_1", failed=False))
        house.tools.end(RemoteToolOver("item_1", failed=False))
        assert (house.codes, house.backs) == (["tool.failed", "ok"], 1)
        [_, found] = house.told
        assert found == ToolCalled("find", '{"name":"Ana"}', "ok", 500)

    virtual.run(main())


def test_a_call_that_is_over_before_its_answer_is_complete_is_no_less_over() -> None:
    async def main() -> None:
        house = House()
        for spoke, backs in ((False, 1), (True, 1)):  # its words were about what came of it
            house.tools.begin(FIND)
            house.tools.end(RemoteToolOver("item_1", failed=False))
            house.tools.wait(spoke=spoke)
            assert house.backs == backs
        assert house.codes == ["ok", "ok"]

    virtual.run(main())


def test_a_call_that_is_never_over_is_waited_for_only_so_long() -> None:
    async def main() -> None:
        house = House()
        house.tools.begin(FIND)
        house.tools.wait(spoke=False)
        await asyncio.sleep(REMOTE_S + 0.1)
        assert (house.codes, house.backs) == (["tool.timeout"], 1)
        assert not house.tools.under_way

    virtual.run(main())


@pytest.mark.parametrize("late_s", [0.0, REMOTE_S])
def test_a_caller_who_speaks_does_not_wait_for_it(late_s: float) -> None:
    async def main() -> None:
        house = House()
        house.tools.begin(FIND)
        house.tools.wait(spoke=False)
        house.tools.close()
        await asyncio.sleep(late_s)
        house.tools.end(RemoteToolOver("item_1", failed=False))
        assert (house.codes, house.backs) == (["tool.cancelled"], 0)

    virtual.run(main())
