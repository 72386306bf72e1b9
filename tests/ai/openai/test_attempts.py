"""Trying again, as long as there is time for it."""

import asyncio

import pytest

from service.ai.openai.attempts import in_time
from service.ai.openai.errors import OpenAIFault
from service.replay.virtual import run


class Far:
    """Fails as it is told, then answers."""

    def __init__(self, *faults: Exception, takes_s: float = 0.0) -> None:
        self.faults = [*faults]
        self.tries_s: list[float] = []
        self.takes_s = takes_s

    async def __call__(self) -> str:
        self.tries_s.append(round(asyncio.get_running_loop().time(), 3))
        await asyncio.sleep(self.takes_s)
        if self.faults:
            raise self.faults.pop(0)
        return "yes"


def fault(code: str, retry_after_ms: int = 1000) -> OpenAIFault:
    return OpenAIFault(code, "there", retry_after_ms=retry_after_ms)


def test_what_may_help_is_tried_after_the_hint() -> None:
    far = Far(fault("openai.rate_limited", 1500), fault("openai.server_error"))
    assert run(in_time("there", 5.0, far)) == "yes"
    assert far.tries_s == [0, 1.5, 2.5]


def test_three_times_is_enough() -> None:
    far = Far(*[fault("openai.server_error", 10) for _ in range(9)])
    with pytest.raises(OpenAIFault):
        run(in_time("there", 5.0, far))
    assert len(far.tries_s) == 3


@pytest.mark.parametrize(
    "wrong", [fault("openai.bad_key"), fault("openai.rate_limited", 6000), ValueError("what")]
)
def test_what_cannot_help_in_time_is_not_tried(wrong: Exception) -> None:
    far = Far(wrong)
    with pytest.raises(OpenAIFault):
        run(in_time("there", 5.0, far))
    assert len(far.tries_s) == 1


def test_the_deadline_is_one_for_all_tries() -> None:
    async def main() -> float:
        with pytest.raises(OpenAIFault) as stalled:
            await in_time("there", 5.0, Far(fault("openai.server_error"), takes_s=3.0))
        assert (stalled.value.code, stalled.value.detail) == ("openai.stalled", "there")
        return asyncio.get_running_loop().time()

    assert run(main()) == pytest.approx(5.0)
