import asyncio
import time

import pytest

from service.replay import virtual


def test_an_hour_of_waiting_takes_no_time() -> None:
    async def main() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    before = time.perf_counter()
    assert virtual.run(main()) == pytest.approx(3600)
    assert time.perf_counter() - before < 5


def test_things_happen_in_the_order_they_are_due() -> None:
    async def main() -> list[str]:
        order: list[str] = []

        async def after(seconds: float, name: str) -> None:
            await asyncio.sleep(seconds)
            order.append(name)

        await asyncio.gather(after(3, "c"), after(1, "a"), after(2, "b"))
        return order

    assert virtual.run(main()) == ["a", "b", "c"]


def test_the_clock_stands_still_while_a_thread_works() -> None:
    async def main() -> tuple[float, bool]:
        done = asyncio.Event()

        async def work() -> None:
            await asyncio.to_thread(sum, range(2_000_000))
            done.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(work())
            await asyncio.sleep(1)
        return asyncio.get_running_loop().time(), done.is_set()

    seconds, done = virtual.run(main())
    assert done
    assert seconds == pytest.approx(1)


def test_a_timeout_strikes_at_its_virtual_moment() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await asyncio.Event().wait()
        return asyncio.get_running_loop().time()

    assert virtual.run(main()) == pytest.approx(30)


def test_waiting_for_nothing_is_an_error_and_no_hang() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(virtual.Stalled):
        virtual.run(main())
