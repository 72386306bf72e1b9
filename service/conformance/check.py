"""What a check is: a named rule of a carrier, and how one bridge was found to keep it.

A rule is a function whose name says what is expected. It calls the bridge through a Kit and raises
Failed when something else came, or NotApplicable when the bridge gave no occasion to judge.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

from msgspec import Struct

from service.conformance.kit import Kit

Level = Literal["must", "should"]
Verdict = Literal["passed", "failed", "skipped", "error"]
Rule = Callable[[Kit], Awaitable[None]]

_DEADLINE_S = 120.0


class Failed(Exception):
    """The rule is broken: what was expected, and what came."""

    def __init__(self, expected: str, came: str) -> None:
        super().__init__(f"expected {expected}; {came}")
        self.expected = expected
        self.came = came


class NotApplicable(Exception):
    """This bridge gave no occasion to judge; the message says why."""


class Check(Struct, frozen=True):
    """A rule, how binding it is, and the carrier's document it comes from."""

    name: str
    level: Level
    source: str
    rule: Rule


class Result(Struct, frozen=True, kw_only=True):
    """What became of one check."""

    name: str
    level: Level
    source: str
    verdict: Verdict
    expected: str = ""
    came: str = ""
    took_s: float = 0.0

    @property
    def binding(self) -> bool:
        """Whether this result alone makes the bridge unfit."""
        return self.verdict == "error" or (self.verdict == "failed" and self.level == "must")


def must(source: str) -> Callable[[Rule], Check]:
    """A rule without which calls fail or are open to others."""
    return lambda rule: Check(_name(rule), "must", source, rule)


def should(source: str) -> Callable[[Rule], Check]:
    """A rule without which calls are poor."""
    return lambda rule: Check(_name(rule), "should", source, rule)


def _name(rule: Rule) -> str:
    return str(getattr(rule, "__name__", rule))


async def judge(check: Check, kit: Kit) -> Result:
    """Run one check; whatever happens in it becomes a result."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    verdict: Verdict = "passed"
    expected = came = ""
    try:
        async with asyncio.timeout(_DEADLINE_S):
            await check.rule(kit)
    except Failed as failed:
        verdict, expected, came = "failed", failed.expected, failed.came
    except NotApplicable as reason:
        verdict, came = "skipped", str(reason)
    except TimeoutError:
        verdict, came = "error", f"no end within {_DEADLINE_S:.0f} s"
    except Exception as error:
        verdict, came = "error", f"{type(error).__name__}: {error}"
    return Result(
        name=check.name,
        level=check.level,
        source=check.source,
        verdict=verdict,
        expected=expected,
        came=came,
        took_s=round(loop.time() - began_s, 3),
    )
