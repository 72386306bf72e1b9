"""A call drawn on one time axis: both voices, turns, marks, clears, events and differences.

Pure: from lines to rows of numbers and words, which the template of the report turns into SVG. A
row is a piece of the call, as a line of music is; nothing is drawn outside of its row.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import numpy as np
from msgspec import Struct

from service.cassettes.cassette import Cassette, Line
from service.core.audio import MediaFormat
from service.replay.deeds import Stretch, media_format, payload, stream_deeds
from service.replay.diff import Difference
from service.replay.hearing import samples

ROW_MS = 20_000
PX_PER_S = 60
POINT_MS = 20  # of a waveform: a little more than a pixel
EVENT_ROWS = 4
WAVE_PX = 23.0  # up and down from the middle
_BEND = 0.7  # lifts what is quiet
_LETTER_PX = 6.2
_BADGE_PX = 20


class Point(Struct, frozen=True):
    """Something at a time: a mark, an event, a difference; `words` is shown when asked for."""

    x: float
    kind: str
    words: str
    label: str = ""
    level: int = 0  # of the rows of labels


class Span(Struct, frozen=True):
    """Something that lasts: a turn with its text."""

    x: float
    width: float
    words: str
    label: str


class Track(Struct, frozen=True):
    """One voice: an outline, what was said, and what was sent beside the sound."""

    name: str
    wave: str  # the path of an SVG
    turns: tuple[Span, ...]
    signals: tuple[Point, ...]


class Row(Struct, frozen=True):
    """A piece of the call."""

    from_s: float
    width: float
    ticks: tuple[Point, ...]
    tracks: tuple[Track, ...]
    events: tuple[Point, ...]
    differences: tuple[Point, ...]


def timeline(
    cassette: Cassette, actual: Sequence[Line], differences: Sequence[Difference]
) -> list[Row]:
    """The rows of a replayed call: the caller, the agent as it was, and as it is today."""
    lines = cassette.lines
    sound = media_format(lines)
    ours = [line for line in actual if line.from_ == "bridge"]
    until_ms = max([cassette.length_ms, *(line.at_ms for line in actual), 1000])
    voices = [
        _Voice("caller", _heard(lines), sound, until_ms),
        _Voice("agent, recorded", _sent(lines, sound), sound, until_ms),
        _Voice("agent, today", _sent(actual, sound), sound, until_ms),
    ]
    voices[0].add_turns(lines, "turn.user", cassette.header.began_at)
    voices[1].add_turns(lines, "turn.agent", cassette.header.began_at)
    voices[2].add_turns(actual, "turn.agent", cassette.header.began_at)
    voices[0].add_signals(line for line in lines if line.from_ == "carrier")
    voices[1].add_signals(line for line in lines if line.from_ == "bridge")
    voices[2].add_signals(ours)
    events = [_event(line) for line in ours if line.lane != "stream"]
    return [
        _row(start_ms, min(ROW_MS, until_ms - start_ms), voices, events, differences)
        for start_ms in range(0, until_ms, ROW_MS)
    ]


def _row(
    start_ms: int,
    length_ms: int,
    voices: Sequence["_Voice"],
    events: Sequence[tuple[int, str, str]],
    differences: Sequence[Difference],
) -> Row:
    end_ms = start_ms + length_ms + (length_ms < ROW_MS)  # the last moment has no next row

    def here(points: Iterable[tuple[int, str, str]]) -> list[tuple[float, str, str]]:
        return [
            (_x(at - start_ms), kind, said) for at, kind, said in points if start_ms <= at < end_ms
        ]

    seconds = range(start_ms // 1000, (end_ms + 999) // 1000)
    return Row(
        start_ms / 1000,
        _x(length_ms),
        tuple(Point(_x(s * 1000 - start_ms), "second", "", str(s)) for s in seconds),
        tuple(voice.track(start_ms, length_ms) for voice in voices),
        tuple(_stacked(here(events), most=EVENT_ROWS)),
        _badges(
            [
                Point(_x(d.at_ms - start_ms), d.kind, f"{d.lane} {d.kind}: {d.what}", str(number))
                for number, d in enumerate(differences, start=1)
                if start_ms <= d.at_ms < end_ms
            ]
        ),
    )


def _badges(points: Sequence[Point]) -> tuple[Point, ...]:
    """The numbers of differences, on two levels where they are close."""
    found: list[Point] = []
    for point in points:
        close = found and point.x - found[-1].x < _BADGE_PX
        level = 1 - found[-1].level if close else 0
        found.append(Point(point.x, point.kind, point.words, point.label, level))
    return tuple(found)


def _stacked(points: Sequence[tuple[float, str, str]], *, most: int) -> list[Point]:
    """Labels beneath each other where they would meet; what finds no room is a dot.

    Answers to webhooks, of which there are many, make room for the rest.
    """
    taken: list[list[tuple[float, float]]] = [[] for _ in range(most)]
    found = []
    for x, kind, said in sorted(points, key=lambda point: point[1] == "webhook"):
        label = said.partition(":")[0]
        end = x + len(label) * _LETTER_PX + 8
        levels = range(most)
        free = (n for n in levels if all(end <= begin or x >= to for begin, to in taken[n]))
        level = next(free, None)
        if level is None:
            found.append(Point(x, kind, said))
        else:
            taken[level].append((x, end))
            found.append(Point(x, kind, said, label, level))
    return found


def _x(ms: float) -> float:
    return round(ms * PX_PER_S / 1000, 1)


# Voices ------------------------------------------------------------------------------------------


class _Voice:
    """One side's sound over the whole call, and what is written beside it."""

    def __init__(
        self, name: str, stretches: Iterable[Stretch], sound: MediaFormat, until_ms: int
    ) -> None:
        self._name = name
        self._peaks = _peaks(stretches, sound, until_ms)
        self._turns: list[tuple[int, int, str]] = []
        self._signals: list[tuple[int, str, str]] = []

    def add_turns(self, lines: Iterable[Line], type_: str, began_at: datetime | None) -> None:
        """What was said, from the entries of the call's record."""
        for line in lines:
            if line.event is None or line.event.type != type_ or line.lane != "store":
                continue
            data = line.event.data
            begin, end = (_moment(data.get(name)) for name in ("started_at", "ended_at"))
            long_ms = round((end - begin).total_seconds() * 1000) if begin and end else 0
            at_ms = line.at_ms - long_ms
            if type_ == "turn.user" and begin and began_at:
                at_ms = round((begin - began_at).total_seconds() * 1000)
            text = str(data.get("text", ""))
            heard = data.get("heard_text")
            shown = text if heard in (None, text) else f"{heard} / {text}"
            self._turns.append((max(0, at_ms), long_ms, shown))

    def add_signals(self, lines: Iterable[Line]) -> None:
        """What went over the socket beside sound."""
        for line in lines:
            if line.lane != "stream":
                continue
            event = str((line.message or {}).get("event") or line.kinds[0])
            if event not in ("media", "connected"):
                self._signals.append((line.at_ms, event, f"{line.at_ms / 1000:.3f} s {event}"))

    def track(self, start_ms: int, length_ms: int) -> Track:
        """A piece of it."""
        end_ms = start_ms + length_ms
        here = [turn for turn in self._turns if turn[0] < end_ms and turn[0] + turn[1] > start_ms]
        nexts = [*(at for at, _, _ in here[1:]), start_ms + ROW_MS]
        turns = [
            Span(
                _x(max(0, at - start_ms)),
                _x(min(end_ms, at + long_ms) - max(at, start_ms)),
                f"{at / 1000:.2f} s: {text}",
                _cut(text, next_ms - max(at, start_ms)),
            )
            for (at, long_ms, text), next_ms in zip(here, nexts, strict=False)
        ]
        signals = [
            Point(_x(at - start_ms), kind, said)
            for at, kind, said in self._signals
            if start_ms <= at <= end_ms
        ]
        peaks = self._peaks[start_ms // POINT_MS : end_ms // POINT_MS]
        return Track(self._name, _path(peaks), tuple(turns), tuple(signals))


def _cut(text: str, room_ms: int) -> str:
    letters = max(3, int(_x(room_ms) / _LETTER_PX))
    return text if len(text) <= letters else text[: letters - 1].rstrip() + "…"


def _moment(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None


def _sent(lines: Sequence[Line], sound: MediaFormat) -> list[Stretch]:
    """As it was heard: what a clear dropped is not there."""
    heard: list[Stretch] = []
    for deed in stream_deeds(lines, sound, every_mark=False):
        if isinstance(deed.content, Stretch):
            heard.append(deed.content)
        elif deed.label == "clear" and heard and heard[-1].ends_ms > deed.at_ms:
            last = heard[-1]
            played = max(0, deed.at_ms - last.at_ms)
            size = len(last.data) * played // max(1, last.length_ms) // 2 * 2
            heard[-1] = Stretch(last.at_ms, last.data[:size], played)
    return heard


def _heard(lines: Iterable[Line]) -> list[Stretch]:
    """Frame by frame, where each arrived."""
    frames = []
    for line in lines:
        message = line.message
        if line.from_ == "carrier" and message is not None and message.get("event") == "media":
            frames.append(Stretch(line.at_ms, payload(line), 0))
    return frames


def _peaks(stretches: Iterable[Stretch], sound: MediaFormat, until_ms: int) -> list[float]:
    """The loudest sample of each point."""
    peaks = np.zeros(until_ms // POINT_MS + 2)
    size = sound.sample_rate_hz * POINT_MS // 1000
    for stretch in stretches:
        decoded = samples(stretch.data, sound)
        if decoded is None or not len(decoded):
            continue
        loud = np.abs(np.pad(decoded, (0, -len(decoded) % size))).reshape(-1, size).max(axis=1)
        at = stretch.at_ms // POINT_MS
        room = peaks[at : at + len(loud)]
        np.maximum(room, loud[: len(room)], out=room)
    found: list[float] = (np.minimum(1.0, peaks) ** _BEND).tolist()
    return found


def _path(peaks: Sequence[float]) -> str:
    """Upright bars, mirrored at the middle, where there is something."""
    step = POINT_MS * PX_PER_S / 1000
    bars = []
    for at, peak in enumerate(peaks):
        high = round(peak * WAVE_PX, 1)
        if high >= 0.3:
            bars.append(f"M{at * step:.5g} {-high:g}V{high:g}")
    return "".join(bars)


def _event(line: Line) -> tuple[int, str, str]:
    """An entry, a command, an answer or what the engine is told, in a few words."""
    if line.event is not None:
        return line.at_ms, line.lane, f"{line.event.type}: {line.at_ms / 1000:.3f} s"
    if line.request is not None:
        path = line.request.path.partition("?")[0].rpartition("/")[2]
        return (
            line.at_ms,
            line.lane,
            f"{line.request.method} …/{path[:12]}: {line.at_ms / 1000:.3f} s",
        )
    status = line.response.status if line.response is not None else ""
    who = "user" if line.lane == "api" else "webhook"
    return line.at_ms, line.lane, f"{status}: answer to a {who}, {line.at_ms / 1000:.3f} s"
