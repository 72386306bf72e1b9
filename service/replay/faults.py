"""Faults as values: what goes wrong during a replay, read from text and written as text.

Pure, and nothing is done here. `disturb.py` works them into what a cassette's carrier says,
`trouble.py` into the engine and the store; `trial.py` plays the call. Listed in fixtures/README.md.
"""

import re
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from service.core.errors import ConfigError

LONGEST_MS = 3_600_000
MOST_FRAMES = 1_000_000
MOST_PERCENT = 100
WIDEST_REORDER = 50


class FaultsError(ConfigError):
    """A text that names no fault, or one that cannot be; the detail says which part of it."""


class Drop(Struct, frozen=True):
    """This share of the caller's frames never arrives."""

    percent: float

    def __str__(self) -> str:
        return f"drop={self.percent:g}%"


class Double(Struct, frozen=True):
    """This share of the caller's frames arrives twice."""

    percent: float

    def __str__(self) -> str:
        return f"double={self.percent:g}%"


class Reorder(Struct, frozen=True):
    """In every `frames` frames of the caller the order is left to chance."""

    frames: int

    def __str__(self) -> str:
        return f"reorder={self.frames}"


class Jitter(Struct, frozen=True):
    """Each message of the carrier's socket is late by chance; none overtakes another."""

    up_to_ms: int

    def __str__(self) -> str:
        return f"jitter={time_text(self.up_to_ms)}"


class Marks(Struct, frozen=True):
    """Marks come back too late, or never; "after-clear": those that a clear returns, late."""

    how: Literal["late", "lost", "after-clear"]
    late_ms: int = 0

    def __str__(self) -> str:
        return f"marks={self.how}" + (f":{time_text(self.late_ms)}" if self.how == "late" else "")


class Webhooks(Struct, frozen=True):
    """Callbacks come in any order, three times, or this long after the end of everything else."""

    how: Literal["shuffled", "repeated", "late"]
    late_ms: int = 0

    def __str__(self) -> str:
        late = f":{time_text(self.late_ms)}" if self.how == "late" else ""
        return f"webhooks={self.how}{late}"


class Cut(Struct, frozen=True):
    """The socket goes behind the caller's `frame`th frame, with the stream's stop or without."""

    frame: int
    stop: bool = False

    def __str__(self) -> str:
        return f"cut@{self.frame}" + (":stop" if self.stop else "")


class SecondStart(Struct, frozen=True):
    """The stream's start comes once more on the same socket, behind this frame."""

    frame: int

    def __str__(self) -> str:
        return f"second-start@{self.frame}"


class SecondSocket(Struct, frozen=True):
    """Behind this frame the carrier dials again and goes on there."""

    frame: int

    def __str__(self) -> str:
        return f"second-socket@{self.frame}"


class EngineTrouble(Struct, frozen=True):
    """At its `turn`th turn the engine says nothing any more, fails, or says the turn twice."""

    how: Literal["stall", "die", "twice"]
    turn: int

    def __str__(self) -> str:
        return f"engine={self.how}@{self.turn}"


class RedisSlow(Struct, frozen=True):
    """Redis takes this long for everything."""

    late_ms: int

    def __str__(self) -> str:
        return f"redis=slow:{time_text(self.late_ms)}"


class RedisAway(Struct, frozen=True):
    """Nobody reaches Redis from `from_ms` to `to_ms`."""

    from_ms: int
    to_ms: int

    def __str__(self) -> str:
        return f"redis=away:{time_text(self.from_ms)}..{time_text(self.to_ms)}"


class RedisFailover(Struct, frozen=True):
    """From `at_ms` on Redis is gone, then writes nothing for a while, then is well."""

    at_ms: int

    def __str__(self) -> str:
        return f"redis=failover@{time_text(self.at_ms)}"


class Linger(Struct, frozen=True):
    """The person on the line stays this much longer, and says nothing."""

    for_ms: int

    def __str__(self) -> str:
        return f"linger={time_text(self.for_ms)}"


class Sigterm(Struct, frozen=True):
    """The process is told to stop at `at_ms`."""

    at_ms: int

    def __str__(self) -> str:
        return f"sigterm@{time_text(self.at_ms)}"


Fault = (
    Drop
    | Double
    | Reorder
    | Jitter
    | Marks
    | Webhooks
    | Cut
    | SecondStart
    | SecondSocket
    | EngineTrouble
    | RedisSlow
    | RedisAway
    | RedisFailover
    | Linger
    | Sigterm
)


class Faults(Struct, frozen=True):
    """All that goes wrong during one replay; the same seed makes the same chance of it."""

    faults: tuple[Fault, ...] = ()
    seed: int = 1

    def __str__(self) -> str:
        seed = [] if self.seed == 1 else [f"seed={self.seed}"]
        return ",".join([*map(str, self.faults), *seed])


def parse(text: str) -> Faults:
    """Faults from `drop=5%,cut@120:stop`, parted by commas. FaultsError."""
    faults: list[Fault] = []
    seed = 1
    for part in filter(None, (part.strip() for part in text.split(","))):
        if match := re.fullmatch(r"seed=(\d{1,9})", part):
            seed = int(match[1])
        else:
            faults.append(_fault(part))
    return Faults(tuple(faults), seed)


def time_text(ms: int) -> str:
    """A length of time as faults are written: whole seconds as such."""
    return f"{ms // 1000}s" if ms and ms % 1000 == 0 else f"{ms}ms"


def _fault(part: str) -> Fault:
    shown = repr(part[:40])
    name = re.match(r"[a-z-]*", part)
    rules = [rule for rule in _RULES if name is not None and name[0] == rule.name]
    if not rules:
        known = ", ".join(dict.fromkeys(rule.name for rule in _RULES))
        raise FaultsError("faults.unknown", f"{shown}: expected one of {known}, seed")
    for rule in rules:
        if match := rule.pattern.fullmatch(part):
            try:
                return rule.make(*match.groups())
            except ValueError as error:
                raise FaultsError("faults.out_of_range", f"{shown}: {error}") from None
    examples = " or ".join(rule.example for rule in rules)
    raise FaultsError("faults.malformed", f"{shown}: expected something like {examples}")


class _Rule(Struct, frozen=True):
    """How one fault is written; `make` gets the pattern's groups, ValueError: out of range."""

    name: str
    example: str
    pattern: re.Pattern[str]
    make: Callable[..., Fault]


def _rule(example: str, pattern: str, make: Callable[..., Fault]) -> _Rule:
    pattern = pattern.replace("TIME", r"(\d{1,7}(?:\.\d{1,3})?m?s)").replace("COUNT", r"(\d{1,9})")
    pattern = pattern.replace("SHARE", r"(\d{1,3}(?:\.\d{1,3})?)%")
    return _Rule(re.split("[=@]", example)[0], example, re.compile(pattern), make)


def _percent(text: str) -> float:
    if float(text) > MOST_PERCENT:
        raise ValueError(f"expected at most {MOST_PERCENT} percent")
    return float(text)


def _count(text: str, least: int = 1, most: int = MOST_FRAMES) -> int:
    if not least <= int(text) <= most:
        raise ValueError(f"expected {least} to {most}")
    return int(text)


def _ms(text: str) -> int:
    number, per = (text[:-2], 1) if text.endswith("ms") else (text[:-1], 1000)
    ms = round(float(number) * per)
    if ms > LONGEST_MS:
        raise ValueError(f"expected at most {LONGEST_MS} ms")
    return ms


def _away(from_: str, to: str) -> RedisAway:
    if _ms(from_) >= _ms(to):
        raise ValueError("expected the end after the beginning")
    return RedisAway(_ms(from_), _ms(to))


_RULES = (
    _rule("drop=5%", "drop=SHARE", lambda share: Drop(_percent(share))),
    _rule("double=2%", "double=SHARE", lambda share: Double(_percent(share))),
    _rule("reorder=3", "reorder=COUNT", lambda n: Reorder(_count(n, 2, WIDEST_REORDER))),
    _rule("jitter=60ms", "jitter=TIME", lambda time: Jitter(_ms(time))),
    _rule("marks=late:400ms", "marks=late:TIME", lambda time: Marks("late", _ms(time))),
    _rule("marks=lost", "marks=(lost|after-clear)", Marks),
    _rule("webhooks=late:5s", "webhooks=late:TIME", lambda time: Webhooks("late", _ms(time))),
    _rule("webhooks=shuffled", "webhooks=(shuffled|repeated)", Webhooks),
    _rule("cut@120", "cut@COUNT(:stop)?", lambda n, stop: Cut(_count(n), stop is not None)),
    _rule("second-start@50", "second-start@COUNT", lambda n: SecondStart(_count(n))),
    _rule("second-socket@50", "second-socket@COUNT", lambda n: SecondSocket(_count(n))),
    _rule(
        "engine=die@1",
        "engine=(stall|die|twice)@COUNT",
        lambda how, n: EngineTrouble(how, _count(n)),
    ),
    _rule("redis=slow:300ms", "redis=slow:TIME", lambda time: RedisSlow(_ms(time))),
    _rule("redis=away:2s..4s", r"redis=away:TIME\.\.TIME", _away),
    _rule("redis=failover@3s", "redis=failover@TIME", lambda time: RedisFailover(_ms(time))),
    _rule("linger=20s", "linger=TIME", lambda time: Linger(_ms(time))),
    _rule("sigterm@4s", "sigterm@TIME", lambda time: Sigterm(_ms(time))),
)
