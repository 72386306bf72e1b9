"""A deadline that moves, on virtual time."""

import asyncio

from service.ai.openai.watch import Watch
from service.replay.virtual import run


def test_it_rings_once_when_nothing_comes() -> None:
    async def main() -> list[tuple[str, int]]:
        loop = asyncio.get_running_loop()
        rung: list[tuple[str, int]] = []
        watch = Watch(lambda stage: rung.append((stage, round(loop.time() * 1000))))
        watch.expect("first", 5)
        await asyncio.sleep(3)
        watch.expect("second", 4)  # later than the first
        await asyncio.sleep(1)
        watch.expect("third", 1)  # sooner than the second
        await asyncio.sleep(10)
        return rung

    assert run(main()) == [("third", 5000)]


def test_it_rests_when_nothing_is_expected() -> None:
    async def main() -> list[str]:
        rung: list[str] = []
        watch = Watch(rung.append)
        watch.expect("first", 1)
        watch.rest()
        await asyncio.sleep(2)
        watch.expect("second", 1)
        watch.close()
        await asyncio.sleep(2)
        return rung

    assert run(main()) == []
