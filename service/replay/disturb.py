"""Faults of the carrier and of the way to it, worked into what a cassette's carrier says.

Pure: a cassette in, a cassette out, by chance from a seed. Lines of the bridge stay, save answers
to webhooks that come at another time now: nobody is to wait for those. Faults of other kinds
change nothing here.
"""

import base64
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from service.cassettes.cassette import Cassette, Close, JsonObject, Line
from service.core.audio import FRAME_MS, SILENCE_BYTE, Encoding
from service.replay.faults import (
    Cut,
    Double,
    Drop,
    Fault,
    Faults,
    Jitter,
    Linger,
    Reorder,
    SecondSocket,
    SecondStart,
    Webhooks,
)

SHUFFLED_WITHIN_MS = 3000
REPEATED_AFTER_MS = (200, 3000)
CUT = 1006
NORMAL = 1000

_SILENCE = base64.b64encode(SILENCE_BYTE[Encoding.PCMU] * (8 * FRAME_MS)).decode()

_STEERING = ("/voice", "/connect-done", "/dial-done")
"""Webhooks whose answer steers the call: they cannot be late without the call being late."""


def disturb(cassette: Cassette, faults: Faults) -> Cassette:
    """The same call with these faults in it."""
    chance = random.Random(faults.seed)
    lines = [*cassette.lines]
    for fault in faults.faults:
        lines = _disturb(lines, fault, chance)
    return replace(cassette, lines=tuple(lines))


def is_frame(line: Line) -> bool:
    """Whether it is a frame of the caller's sound."""
    return _of_socket(line) and line.message is not None and line.message.get("event") == "media"


def _disturb(lines: list[Line], fault: Fault, chance: random.Random) -> list[Line]:
    match fault:
        case Drop(percent):
            return [line for line in lines if not (is_frame(line) and _hits(percent, chance))]
        case Double(percent):
            return _doubled(lines, lambda: _hits(percent, chance))
        case Reorder(frames):
            return _reordered(lines, frames, chance)
        case Jitter(up_to_ms):
            return _late(lines, up_to_ms, chance)
        case Linger(for_ms):
            return _lingering(lines, for_ms)
        case Webhooks():
            return _webhooks(lines, fault, chance)
        case Cut() | SecondStart() | SecondSocket():
            return _behind_frame(lines, fault)
        case _:
            return lines


def _hits(percent: float, chance: random.Random) -> bool:
    return chance.random() * 100 < percent


def _of_socket(line: Line) -> bool:
    return line.lane == "stream" and line.from_ == "carrier"


def _in_time(lines: Iterable[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: line.at_ms)


# Frames ------------------------------------------------------------------------------------------


def _doubled(lines: Sequence[Line], hits: Callable[[], bool]) -> list[Line]:
    doubled: list[Line] = []
    for line in lines:
        doubled.append(line)
        if is_frame(line) and hits():
            doubled.append(line)
    return doubled


def _reordered(lines: list[Line], frames: int, chance: random.Random) -> list[Line]:
    reordered = [*lines]
    block: list[int] = []
    for at, line in enumerate(lines):
        if is_frame(line):
            block.append(at)
        full = len(block) == frames
        # What is no frame (a key, a stop, the next socket) keeps its place among the frames.
        if block and (full or (_of_socket(line) and not is_frame(line))):
            _shuffle(reordered, block, chance)
            block = []
    _shuffle(reordered, block, chance)
    return reordered


def _shuffle(lines: list[Line], places: Sequence[int], chance: random.Random) -> None:
    messages = [lines[place].message for place in places]
    chance.shuffle(messages)
    for place, message in zip(places, messages, strict=True):
        lines[place] = replace(lines[place], message=message)


def _late(lines: Sequence[Line], up_to_ms: int, chance: random.Random) -> list[Line]:
    late: list[Line] = []
    last_ms = 0
    for line in lines:
        if _of_socket(line):
            last_ms = max(last_ms, line.at_ms + chance.randint(0, up_to_ms))
            late.append(replace(line, at_ms=last_ms))
        else:
            late.append(line)
    return _in_time(late)


def _lingering(lines: list[Line], for_ms: int) -> list[Line]:
    """With silence behind the last frame, and everything after that so much later."""
    places = [at for at, line in enumerate(lines) if is_frame(line)]
    if not places:
        return lines
    at = places[-1] + 1
    last = lines[places[-1]]
    silence = [_silent(last, more) for more in range(1, for_ms // FRAME_MS + 1)]
    later = [replace(line, at_ms=line.at_ms + for_ms) for line in lines[at:]]
    return [*lines[:at], *silence, *later]


def _silent(frame: Line, more: int) -> Line:
    """The frame that comes `more` frames behind this one, and is silent."""
    message: JsonObject = dict(frame.message or {})
    message["media"] = media = dict(message["media"])
    media["payload"] = _SILENCE
    for holder, number, step in (
        (media, "chunk", 1),
        (media, "timestamp", FRAME_MS),
        (message, "sequenceNumber", 1),
        (message, "sequence_number", 1),
    ):
        if number in holder:
            holder[number] = str(int(holder[number]) + more * step)
    return replace(frame, at_ms=frame.at_ms + more * FRAME_MS, message=message)


# Webhooks ----------------------------------------------------------------------------------------


def _webhooks(lines: Sequence[Line], fault: Webhooks, chance: random.Random) -> list[Line]:
    if fault.how == "repeated":
        again = [
            replace(line, at_ms=line.at_ms + chance.randint(*REPEATED_AFTER_MS))
            for line in lines
            if _is_webhook(line)
            for _ in range(2)
        ]
        return _in_time([*lines, *again])
    end_ms = lines[-1].at_ms + fault.late_ms if lines else 0
    moved: list[Line] = []
    answers = _answers(lines)
    for at, line in enumerate(lines):
        if _is_webhook(line) and not _steers(line):
            late_ms = line.at_ms + chance.randint(0, SHUFFLED_WITHIN_MS)
            moved.append(replace(line, at_ms=late_ms if fault.how == "shuffled" else end_ms))
        elif not (at in answers and not _steers(lines[answers[at]])):
            moved.append(line)
    return _in_time(moved)


def _is_webhook(line: Line) -> bool:
    return line.lane == "webhook" and line.request is not None


def _steers(line: Line) -> bool:
    if line.request is None:
        return False
    event = (line.request.json or {}).get("data")
    if isinstance(event, dict) and event.get("event_type") == "call.initiated":
        return True
    return line.request.path.partition("?")[0].endswith(_STEERING)


def _answers(lines: Sequence[Line]) -> dict[int, int]:
    """Where the answers stand, and where the webhooks which they answer."""
    asked = [at for at, line in enumerate(lines) if _is_webhook(line)]
    answered = [
        at for at, line in enumerate(lines) if line.lane == "webhook" and line.response is not None
    ]
    return dict(zip(answered, asked, strict=False))


# The socket --------------------------------------------------------------------------------------


def _behind_frame(lines: list[Line], fault: Cut | SecondStart | SecondSocket) -> list[Line]:
    places = [at for at, line in enumerate(lines) if is_frame(line)]
    if len(places) < fault.frame:
        return lines
    at = places[fault.frame - 1] + 1
    before, after = lines[:at], lines[at:]
    now_ms = before[-1].at_ms
    opening = _opening(before)
    match fault:
        case SecondStart():
            return [*before, replace(opening[-1], at_ms=now_ms), *after]
        case Cut(_, stop):
            return [*before, *_ending(opening[-1], now_ms, stop=stop), *_until_next_socket(after)]
        case SecondSocket():
            last = (before[-1].message or {}).get("media") or {}
            again = [_as_second(line, last) for line in opening]
            here, later = _this_socket(after)
            renamed = [_as_second(line, last) if _of_socket(line) else line for line in here]
            return [*before, *(replace(line, at_ms=now_ms) for line in again), *renamed, *later]


def _opening(before: Sequence[Line]) -> list[Line]:
    """From the dialling of the socket to its start."""
    begins = max(at for at, line in enumerate(before) if line.open is not None)
    opening: list[Line] = []
    for line in before[begins:]:
        if _of_socket(line):
            opening.append(line)
            if line.message is not None and line.message.get("event") == "start":
                return opening
    return opening


def _ending(start: Line, now_ms: int, *, stop: bool) -> list[Line]:
    close = replace(start, at_ms=now_ms, message=None, close=Close(NORMAL if stop else CUT))
    if not stop:
        return [close]
    return [replace(start, at_ms=now_ms, message=_stop(start.message or {})), close]


def _stop(start: JsonObject) -> JsonObject:
    """The stop that fits to a start: what both say of the call."""
    said = start.get("start") or {}
    whose = ("accountSid", "callSid", "user_id", "call_control_id")
    outside: JsonObject = {key: start[key] for key in ("streamSid", "stream_id") if key in start}
    number = "sequence_number" if "stream_id" in start else "sequenceNumber"
    about = {key: said[key] for key in whose if key in said}
    return {"event": "stop", number: "1000000", "stop": about, **outside}


def _this_socket(after: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    ends = next((at for at, line in enumerate(after) if line.open is not None), len(after))
    return [*after[:ends]], [*after[ends:]]


def _until_next_socket(after: Sequence[Line]) -> list[Line]:
    here, later = _this_socket(after)
    return [line for line in here if not _of_socket(line)] + later


def _as_second(line: Line, last: JsonObject) -> Line:
    """As another stream of the same call says it: under its own name, counted on from `last`."""
    if line.message is None:
        return line
    message: JsonObject = {
        key: dict(value) if isinstance(value, dict) else value
        for key, value in line.message.items()
    }
    for holder in (message, message.get("start")):
        for name in ("streamSid", "stream_id"):
            if isinstance(holder, dict) and isinstance(holder.get(name), str):
                holder[name] = _other_name(holder[name])
    media: dict[str, Any] = message.get("media") or {}
    for number in ("chunk", "timestamp"):
        if number in media and number in last:
            media[number] = str(max(0, int(media[number]) - int(last[number])))
    return replace(line, message=message)


def _other_name(name: str) -> str:
    return name[:-1] + ("0" if name[-1:] != "0" else "1")
