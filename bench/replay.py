"""`python -m bench.replay`: how much faster than speech recorded calls replay, on one core.

Plays every fixture, and a call of three minutes made up of one of them, through the whole service
on virtual time; the service's start is in it. Imports, once for each process, are told apart.
"""

import os
import time
from argparse import ArgumentParser
from base64 import b64decode, b64encode
from collections.abc import Iterator
from itertools import cycle
from operator import itemgetter
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from service.cassettes.cassette import Cassette, Happening, JsonObject, Line
from service.cassettes.files import read

ROOT = Path(__file__).parents[1]
AGENTS = ROOT / "agents"
TALKED = ROOT / "fixtures/twilio/inbound-talked-through.jsonl"
WANTED = 100
LONG_MS = 180_000
FRAME_MS = 20
TURN_EVERY_MS = 6000
"""The caller speaks for a third of it, the agent answers for half of it."""


class Result(Struct, frozen=True):
    """One cassette, played `rounds` times: the best of them."""

    name: str
    length_s: float
    took_s: float
    processor_s: float

    @property
    def times_real(self) -> float:
        """How many times faster than speech one core is that does nothing else."""
        return self.length_s / self.processor_s


def main() -> None:
    """Measure, and print a table."""
    parser = ArgumentParser(prog="python -m bench.replay", description=__doc__)
    parser.add_argument("cassettes", nargs="*", type=Path, help="else all fixtures")
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many")
    given = parser.parse_args()
    _stay_on_one_core()
    began_s = time.perf_counter()
    from service.replay import playing  # noqa: F401, PLC0415  to see what that costs

    print(f"imports: {time.perf_counter() - began_s:.2f} s, once for each process\n")
    cassettes = {_name(path): read(path) for path in given.cassettes or _fixtures()}
    if not given.cassettes:
        cassettes["a call of three minutes"] = three_minutes(read(TALKED))
    print("| cassette | length s | took s | processor s | x real time |\n|---|--:|--:|--:|--:|")
    results: list[Result] = []
    for name, cassette in cassettes.items():
        results.append(result := measure(name, cassette, given.rounds))
        short = "" if result.times_real >= WANTED else f" (less than {WANTED})"
        print(
            f"| {name} | {result.length_s:.1f} | {result.took_s:.3f} | {result.processor_s:.3f} "
            f"| {result.times_real:.0f}{short} |",
            flush=True,
        )
    length_s, processor_s = sum(r.length_s for r in results), sum(r.processor_s for r in results)
    enough = sum(result.times_real >= WANTED for result in results)
    times = length_s / processor_s
    print(f"\n{length_s:.0f} s of calls in {processor_s:.2f} s: {times:.0f} times real time;")
    print(f"{enough} of {len(results)} at {WANTED} times or more")


def measure(name: str, cassette: Cassette, rounds: int) -> Result:
    """Play it so many times."""
    from service.replay import playing  # noqa: PLC0415

    took: list[tuple[float, float]] = []
    for _ in range(rounds):
        began_s, processor_s = time.perf_counter(), time.process_time()
        playing.play_inside(cassette, agents=AGENTS)
        took.append((time.perf_counter() - began_s, time.process_time() - processor_s))
    return Result(name, cassette.length_ms / 1000, *min(took, key=itemgetter(1)))


def three_minutes(recorded: Cassette) -> Cassette:
    """A call that begins and ends as this one does, with a conversation of 180 s in between."""
    frames = [line for line in recorded.lines if _is_frame(line)]
    lines = [line for line in recorded.lines if line.lane not in ("engine", "store")]
    carriers = [line for line in lines if line.from_ == "carrier" or line.lane != "stream"]
    head = [line for line in carriers if line.at_ms <= frames[0].at_ms and not _is_frame(line)]
    tail = [line for line in carriers if line.at_ms >= frames[-1].at_ms and not _is_frame(line)]
    talk = [*_media(frames), *_engine(frames)]
    ends = [replace(line, at_ms=LONG_MS) for line in tail]
    return Cassette(recorded.header, (*head, *sorted(talk, key=lambda line: line.at_ms), *ends))


def _media(frames: list[Line]) -> Iterator[Line]:
    for number, line in enumerate(cycle(frames), start=1):
        at_ms = frames[0].at_ms + (number - 1) * FRAME_MS
        if at_ms >= LONG_MS:
            return
        message = line.message or {}
        media = message["media"] | {"chunk": str(number), "timestamp": str(at_ms)}
        yield replace(
            line,
            at_ms=at_ms,
            message=message | {"sequenceNumber": str(number + 1), "media": media},
        )


def _engine(frames: list[Line]) -> Iterator[Line]:
    """What an engine would have said: a greeting, then an answer every few seconds."""
    sound = b"".join(b64decode(line.message["media"]["payload"]) for line in frames if line.message)
    began_ms = frames[0].at_ms
    yield _told(began_ms, "open", engine="offline", history=[])
    yield _told(began_ms, "start_turn", text="Hello")
    yield from _turn(began_ms, 0, sound)
    for number, at_ms in enumerate(range(TURN_EVERY_MS, LONG_MS, TURN_EVERY_MS), start=1):
        spoken_ms = at_ms + TURN_EVERY_MS // 3
        yield _said(at_ms, "speech_started", start_ms=at_ms)
        yield _said(spoken_ms, "speech_stopped", end_ms=spoken_ms)
        yield _said(spoken_ms, "transcribed", text="what are your opening hours")
        yield from _turn(spoken_ms, number, sound)
    yield _told(LONG_MS, "close")


def _turn(at_ms: int, number: int, sound: bytes) -> Iterator[Line]:
    name = f"turn_{number}"
    yield _said(at_ms, "turn_started", turn_id=name)
    for start_ms in range(0, TURN_EVERY_MS // 2, 3 * FRAME_MS):
        piece = sound[start_ms * 8 : (start_ms + 3 * FRAME_MS) * 8]
        audio = b64encode(piece).decode()
        if start_ms % (5 * 3 * FRAME_MS) == 0:
            yield _said(at_ms, "turn_text", turn_id=name, text=" word", start_ms=start_ms)
        yield _said(
            at_ms,
            "turn_audio",
            turn_id=name,
            audio=audio,
            start_ms=start_ms,
            duration_ms=len(piece) // 8,
        )
    yield _said(at_ms, "turn_ended", turn_id=name)


def _said(at_ms: int, kind: str, **data: object) -> Line:
    return Line(at_ms=at_ms, lane="engine", from_="engine", event=Happening(kind, data))


def _told(at_ms: int, kind: str, **data: object) -> Line:
    return Line(at_ms=at_ms, lane="engine", from_="bridge", event=Happening(kind, data))


def _is_frame(line: Line) -> bool:
    message: JsonObject = line.message or {}
    return line.from_ == "carrier" and message.get("event") == "media"


def _fixtures() -> list[Path]:
    return sorted((ROOT / "fixtures").glob("*/*.jsonl*"))


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.name.partition('.')[0]}"


def _stay_on_one_core() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


if __name__ == "__main__":
    main()
