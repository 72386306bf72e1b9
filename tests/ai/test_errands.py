"""Tools that run side by side, on virtual time."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from service.ai.errands import Errands
from service.ai.openai.events import ToolAsked
from service.core.events import EngineEvent, EngineFailed, FillerRequested, ToolCalled
from service.replay.virtual import run
from service.tools import ToolResult
from tests.ai.openai_realtime.scene import Box

LOOK = ToolAsked("r", "i", "c1", "look", "{}")
FIND = ToolAsked("r", "i", "c2", "find", "{}")


def errands(
    box: Box, *asked: ToolAsked, leave_s: float = 60
) -> tuple[list[str], list[EngineEvent]]:
    """What came of these, and what was told meanwhile."""
    told: list[str] = []
    events: list[EngineEvent] = []

    def done(results: Sequence[tuple[ToolAsked, ToolResult]]) -> None:
        told.extend(f"{tool.call_id}: {result.text}" for tool, result in results)

    async def main() -> None:
        ours = Errands(cast("Any", box), events.append)
        ours.run(asked, done)
        await asyncio.sleep(leave_s)
        await ours.aclose()
        assert len(asyncio.all_tasks()) == 1

    run(main())
    return told, events


def test_results_come_together_in_the_order_asked() -> None:
    box = Box(look=ToolResult("seen"), find=ToolResult("found"))
    told, events = errands(box, LOOK, FIND)
    assert told == ["c1: seen", "c2: found"]
    assert [type(event) for event in events] == [ToolCalled, ToolCalled]


def test_a_wait_is_bridged_once() -> None:
    box = Box(look=ToolResult("seen"), find=ToolResult("found"))
    box.takes_s = 0.6
    _, events = errands(box, LOOK, FIND)
    assert [e for e in events if not isinstance(e, ToolCalled)] == [
        FillerRequested("One moment, I look.")
    ]


def test_nobody_waits_after_the_call() -> None:
    box = Box(look=ToolResult("seen"))
    box.takes_s = 10
    told, _ = errands(box, LOOK, leave_s=1)
    assert told == []


def test_a_fault_of_ours_is_told() -> None:
    class Broken(Box):
        async def call(self, *_: Any, **__: Any) -> ToolResult:
            raise ZeroDivisionError

    told, events = errands(Broken(), LOOK)
    assert told == []
    assert events == [EngineFailed("engine.crashed", "ZeroDivisionError")]
