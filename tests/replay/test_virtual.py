import asyncio
import threading
import time
from collections.abc import Callable

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


def test_results_from_threads_come_in_the_order_in_which_the_work_was_handed_out() -> None:
    async def main() -> list[str]:
        order: list[str] = []
        quick_is_done = threading.Event()

        def slow() -> None:
            quick_is_done.wait(10)

        async def work(name: str, job: Callable[[], None]) -> None:
            await asyncio.to_thread(job)
            order.append(name)

        async with asyncio.TaskGroup() as group:
            group.create_task(work("slow", slow))
            group.create_task(work("quick", quick_is_done.set))
        return order

    assert virtual.run(main()) == ["slow", "quick"]


def test_work_that_nobody_waits_for_any_more_holds_up_nobody() -> None:
    async def main() -> float:
        released = threading.Event()
        work = asyncio.create_task(asyncio.to_thread(released.wait, 10))
        await asyncio.sleep(0)
        work.cancel()
        await asyncio.sleep(5)
        released.set()
        return asyncio.get_running_loop().time()

    assert virtual.run(main()) == pytest.approx(5)


def test_a_fault_in_a_thread_comes_to_who_waits() -> None:
    async def main() -> None:
        await asyncio.to_thread(int, "no number")

    with pytest.raises(ValueError, match="no number"):
        virtual.run(main())


def test_no_millisecond_is_cut_off_to_the_one_before() -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        seen = []
        for at_ms in range(1, 3000, 7):
            await asyncio.sleep(at_ms / 1000 - loop.time())
            seen.append(int(loop.time() * 1000))
        return seen

    assert virtual.run(main()) == [*range(1, 3000, 7)]


def test_the_moment_after_comes_when_nothing_is_left_to_do_at_that_time() -> None:
    async def main() -> list[str]:
        order: list[str] = []

        async def in_many_steps() -> None:
            for _ in range(100):
                await asyncio.sleep(0)
            order.append("steps")

        async with asyncio.TaskGroup() as group:
            group.create_task(in_many_steps())
            await asyncio.sleep(1e-6)
            order.append("moment")
        return order

    assert virtual.run(main()) == ["steps", "moment"]
