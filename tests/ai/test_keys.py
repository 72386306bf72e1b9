"""Keys that the caller presses, on virtual time."""

import asyncio
from typing import Any, cast

from service.ai.keys import KEYS_MOST, PAUSE_S, Keys
from service.replay.virtual import run
from tests.ai.openai_realtime.scene import Box


def pressed(*groups: str, box: Box | None = None) -> list[str]:
    """What is told when these keys come, with pauses between the groups."""
    told: list[str] = []

    async def main() -> None:
        keys = Keys(cast("Any", box or Box()), told.append)
        for group in groups:
            for digit in group:
                keys.press(digit)
                await asyncio.sleep(PAUSE_S - 0.1)
            await asyncio.sleep(PAUSE_S)
        keys.close()

    run(main())
    return told


def test_keys_that_follow_each_other_are_told_together() -> None:
    assert pressed("42", "7#") == ["(the caller pressed 42)", "(the caller pressed 7#)"]


def test_keys_that_a_tool_waits_for_are_not_told() -> None:
    box = Box()
    box.takes_keys = True
    assert pressed("42", box=box) == []
    assert box.keys == "42"


def test_a_key_held_down_does_not_flood_the_model() -> None:
    [told] = pressed("1" * (KEYS_MOST + 9))
    assert told == f"(the caller pressed {'1' * KEYS_MOST})"
