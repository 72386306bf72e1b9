"""Whether a fault meets anything in a call: the others need not be played.

Pure. Judged by the cassette alone, and in doubt yes: an engine that is live may say anything, a
bridge of today may ask Redis and be stopped at any time.
"""

from collections.abc import Iterable

from service.cassettes.cassette import Cassette, Line
from service.replay.disturb import disturb, is_frame
from service.replay.faults import (
    EngineTrouble,
    Fault,
    Faults,
    Linger,
    Marks,
    RedisAway,
    RedisFailover,
    RedisSlow,
    Sigterm,
)
from service.replay.recorded_engine import needs_no_engine


def meets(cassette: Cassette, faults: Faults) -> bool:
    """Whether any of them changes anything; one that lingers does so for the others' sake."""
    causes = [fault for fault in faults.faults if not isinstance(fault, Linger)]
    seed = faults.seed
    return not causes or any(_meets(cassette, fault, seed) for fault in causes)


def _meets(cassette: Cassette, fault: Fault, seed: int) -> bool:
    match fault:
        case Marks(how):
            return _says(cassette.lines, "clear" if how == "after-clear" else "mark")
        case EngineTrouble(_, turn):
            return _turns(cassette.lines) >= turn
        case RedisSlow() | RedisAway() | RedisFailover() | Sigterm():
            return True
        case _:
            return disturb(cassette, Faults((fault,), seed)) != cassette


def _says(lines: Iterable[Line], event: str) -> bool:
    """Whether the bridge ever says this on a media socket."""
    return any(
        line.from_ == "bridge" and line.message is not None and line.message.get("event") == event
        for line in lines
    )


def _turns(lines: tuple[Line, ...]) -> float:
    """How many the engine has; of one that is not recorded nobody knows."""
    if not needs_no_engine(lines) and any(map(is_frame, lines)):
        return float("inf")
    return sum(
        line.lane == "engine" and line.event is not None and line.event.type == "turn_started"
        for line in lines
    )
