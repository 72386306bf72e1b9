"""The socket itself: in which order what is sent, and what happens to one that is not read."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import pytest
from structlog.testing import capture_logs
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

from service.ai.openai import orders
from service.ai.openai.access import Server
from service.ai.openai.errors import OpenAIFault
from service.ai.openai.events import ServerEvent, SoundDone
from service.ai.openai.line import OUTBOX_MOST, Line
from service.ai.openai.orders import Order
from service.replay.virtual import run
from tests.ai.openai_realtime.far import Far


class Near:
    """Who talks over the line."""

    def __init__(self, far: Far) -> None:
        self.events: list[ServerEvent] = []
        self.story: list[str] = []
        self.found_ones = asyncio.Event()
        self.line = Line(lambda: far.connect(Server("", ""), {}), self, call_id="call_1")

    def session(self) -> Order:
        return {"type": "session.update", "session": {"type": "realtime"}}

    def seeds(self) -> Iterable[Order | str]:
        return [orders.agent_said("Hello.")]

    def take(self, event: ServerEvent) -> None:
        self.events.append(event)

    def lost(self) -> None:
        self.story.append("lost")
        self.line.send(orders.clear())  # to nobody

    def found(self) -> None:
        self.story.append("found")
        self.found_ones.set()
        self.line.send(orders.mind("Be brief."))


Story = Callable[[Far, Near, "asyncio.Task[None]"], Coroutine[Any, Any, None]]


def play(story: Story) -> tuple[Far, Near]:
    async def main() -> tuple[Far, Near]:
        far = Far()
        near = Near(far)
        task = asyncio.ensure_future(near.line.carry())
        await near.found_ones.wait()
        try:
            await story(far, near, task)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert far.closed == far.sockets
        return far, near

    return run(main())


def test_seeds_come_before_all_else() -> None:
    async def story(far: Far, near: Near, _task: "asyncio.Task[None]") -> None:
        await asyncio.sleep(0.1)
        far.cut()
        await asyncio.sleep(0.1)

    far, near = play(story)
    assert far.kinds() == ["session.update", "assistant", "system"] * 2
    assert near.story == ["found", "lost", "found"]


def test_a_server_that_does_not_read_is_left() -> None:
    async def story(far: Far, near: Near, _task: "asyncio.Task[None]") -> None:
        await asyncio.sleep(0.1)
        far.reads.clear()
        for _number in range(OUTBOX_MOST + 2):
            near.line.send(orders.hear(b"\x55"))
        await asyncio.sleep(0.1)
        far.reads.set()
        await asyncio.sleep(0.1)

    _, near = play(story)
    assert near.story == ["found", "lost", "found"]


def test_a_close_that_says_that_nothing_helps_is_not_tried_against() -> None:
    async def story(far: Far, near: Near, task: "asyncio.Task[None]") -> None:
        far.cut(ConnectionClosedError(Close(4001, "insufficient_quota"), None))
        with pytest.raises(OpenAIFault, match=r"openai\.no_quota"):
            await task

    far, _ = play(story)
    assert far.sockets == 1


def test_events_nobody_understands_are_counted_and_the_first_kind_is_logged() -> None:
    async def story(far: Far, near: Near, _task: "asyncio.Task[None]") -> None:
        far.say("response.sung", words="Somebody's words.")
        far.garble(b"<html>Somebody's words.</html>")
        far.say("response.output_audio.done", response_id="r", item_id="i")
        await asyncio.sleep(0.1)

    with capture_logs() as logs:
        _, near = play(story)
    assert near.line.confused == 2
    assert near.events == [SoundDone("r", "i")]
    assert [(line["kind"], line["call_id"]) for line in logs] == [("response.sung", "call_1")]
