import asyncio

import pytest

from service.replay import virtual
from service.tools.keypad import Keypad, Wish
from service.tools.spec import ToolFailed

Keys = list[tuple[float, str]]


def typed(keys: Keys, wish: Wish) -> str:
    """What is collected when the keys are pressed after so many seconds each."""

    async def scene() -> str:
        keypad = Keypad()
        collecting = asyncio.create_task(keypad.collect(wish))
        for after_s, key in keys:
            await asyncio.sleep(after_s)
            keypad.press(key)
        return (await collecting).text

    return virtual.run(scene())


def at_pace(keys: str, pace_s: float = 0.5) -> Keys:
    return [(pace_s, key) for key in keys]


def test_a_number_ends_with_the_finishing_key() -> None:
    assert typed(at_pace("0415#"), Wish()) == "0415"


def test_a_number_ends_when_it_is_long_enough() -> None:
    assert typed(at_pace("0415"), Wish(max_digits=4)) == "0415"


def test_a_number_ends_when_no_further_key_comes() -> None:
    assert typed([(9.9, "1"), (3.9, "2")], Wish()) == "12"


def test_without_a_finishing_key_every_key_counts() -> None:
    assert typed(at_pace("*1#"), Wish(max_digits=3, finish_key="")) == "*1#"


def test_too_few_digits_and_none_are_told_apart() -> None:
    with pytest.raises(ToolFailed, match=r"tool\.too_few_digits") as few:
        typed(at_pace("12#"), Wish(min_digits=4))
    assert "12" in few.value.text
    assert "12" not in str(few.value)  # what goes to a log
    with pytest.raises(ToolFailed, match=r"tool\.no_digits"):
        typed([], Wish())


def test_waiting_takes_as_long_as_was_asked_for() -> None:
    async def scene() -> float:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        with pytest.raises(ToolFailed):
            await Keypad().collect(Wish(timeout_s=7))
        return loop.time() - began_s

    assert virtual.run(scene()) == pytest.approx(7, abs=0.01)


def test_keys_are_somebody_elses_while_nobody_waits_for_them() -> None:
    async def scene() -> None:
        keypad = Keypad()
        assert not keypad.press("1")
        collecting = asyncio.create_task(keypad.collect(Wish(max_digits=1)))
        await asyncio.sleep(0)
        assert keypad.press("2")
        assert (await collecting).text == "2"
        assert not keypad.press("3")

    virtual.run(scene())


def test_a_finishing_key_right_after_the_last_digit_is_swallowed_once() -> None:
    async def scene() -> None:
        keypad = Keypad()
        for pause_s, swallowed in ((1.0, True), (3.0, False)):
            collecting = asyncio.create_task(keypad.collect(Wish(max_digits=1)))
            await asyncio.sleep(0)
            keypad.press("2")
            await collecting
            await asyncio.sleep(pause_s)
            assert keypad.press("#") is swallowed
            assert not keypad.press("#")

    virtual.run(scene())


def test_only_one_number_is_waited_for_at_a_time() -> None:
    async def scene() -> None:
        keypad = Keypad()
        first = asyncio.create_task(keypad.collect(Wish(max_digits=1)))
        await asyncio.sleep(0)
        with pytest.raises(ToolFailed, match=r"tool\.busy"):
            await keypad.collect(Wish())
        keypad.press("1")
        assert (await first).text == "1"

    virtual.run(scene())


def test_a_number_that_is_given_up_leaves_the_keys_to_others() -> None:
    async def scene() -> None:
        keypad = Keypad()
        collecting = asyncio.create_task(keypad.collect(Wish()))
        await asyncio.sleep(1)
        collecting.cancel()
        await asyncio.wait({collecting})
        assert not keypad.press("1")

    virtual.run(scene())
