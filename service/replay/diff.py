"""What the bridge did against what the cassette says it must do: aligned, in words.

Pure. Times and figures may differ within each lane's stated tolerance; ids, tokens and hosts are
new on every run and compare as equal. Sound is compared as it is heard, unless bytes are asked for.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from service.cassettes.cassette import Lane, Line
from service.core.audio import MediaFormat
from service.replay.align import aligned
from service.replay.deeds import Deed, Stretch, deeds, media_format, silence, stream_deeds
from service.replay.hearing import differing_bytes, listen
from service.replay.rules import rule_of


class Tolerances(Struct, frozen=True, kw_only=True):
    """How far apart two runs may be and still be the same; `_ms` is for times and figures."""

    webhook_ms: int = 120
    rest_ms: int = 120
    api_ms: int = 120
    stream_ms: int = 120  # where sound begins, and how long it is
    clear_ms: int = 60
    engine_ms: int = 120  # what the engine is told
    store_ms: int = 120
    heard_words: int = 1
    level_db: float = 3.0
    swap_ms: int = 0  # things that happen this close together may come in another order
    exact: bool = False  # sound and marks byte by byte


STRICT = Tolerances()
EXACT = Tolerances(
    webhook_ms=0,
    rest_ms=0,
    api_ms=0,
    stream_ms=0,
    clear_ms=0,
    engine_ms=0,
    store_ms=0,
    heard_words=0,
    level_db=0,
    exact=True,
)
OVER_A_NETWORK = Tolerances(
    webhook_ms=500,
    rest_ms=500,
    api_ms=500,
    stream_ms=500,
    clear_ms=300,
    engine_ms=500,
    store_ms=500,
    heard_words=3,
    swap_ms=250,
)
"""Recognition and speech take their time there, and so does the way."""

LANES: tuple[Lane, ...] = ("engine", "stream", "webhook", "rest", "api", "store")
NORMAL = 1000
RACE_MS = 1000

Kind = Literal["missing", "extra", "wrong", "late", "early"]


class Difference(Struct, frozen=True):
    """One thing that was not as it should have been; None: it was not there."""

    lane: str
    kind: Kind
    at_ms: int
    what: str
    expected: str | None
    actual: str | None

    @property
    def rule(self) -> str | None:
        """The rule that it most likely breaks, and where that is."""
        found = rule_of(self.lane, self.what)
        return None if found is None else str(found)

    def __str__(self) -> str:
        head = f"{self.at_ms / 1000:8.3f} s  {self.lane:8}{self.kind}: {self.what}"
        told = (("expected", self.expected), ("actual", self.actual), ("look at", self.rule))
        shown = [f"{'':12}{name:9}{text}" for name, text in told if text is not None]
        return "\n".join([head, *shown])


def compare(
    expected: Iterable[Line],
    actual: Iterable[Line],
    tolerances: Tolerances = STRICT,
    *,
    lanes: Sequence[Lane] = LANES,
) -> list[Difference]:
    """All differences, in the order of time; none when the bridge did as the cassette says."""
    expected = [*expected]
    actual = _without_races(expected, [*actual])
    expected = _without_races(expected, expected)
    sound = media_format(expected)
    found: list[Difference] = []
    for lane in lanes:
        if lane == "stream":
            found += _compare_streams(expected, actual, sound, tolerances)
        elif lane != "engine" or any(line.lane == "engine" for line in expected):
            found += _compare_lane(_answers(expected, lane), deeds(actual, lane), tolerances)
    return sorted(found, key=lambda difference: difference.at_ms)


def _answers(lines: Sequence[Line], lane: Lane) -> list[Deed]:
    """The deeds of a lane; answers say what they answer, in the order of asking."""
    found = deeds(lines, lane)
    if lane not in ("webhook", "api"):
        return found
    asked = [line.request for line in lines if line.lane == lane and line.request is not None]
    named = [f"answer to {request.method} {request.path.partition('?')[0]}" for request in asked]
    return [
        Deed(deed.lane, deed.label, deed.at_ms, deed.content, name)
        for deed, name in zip(found, [*named, *["answer"] * len(found)], strict=False)
    ]


def _without_races(expected: Sequence[Line], actual: Sequence[Line]) -> list[Line]:
    """When both sides end a call at once, who closes the socket first means nothing."""
    closed_ms = [line.at_ms for line in expected if line.from_ == "carrier" and _ends_stream(line)]

    def raced(line: Line) -> bool:
        if line.close is None or line.close.code != NORMAL:
            return False
        return any(abs(line.at_ms - at_ms) <= RACE_MS for at_ms in closed_ms)

    return [line for line in actual if not raced(line)]


def _ends_stream(line: Line) -> bool:
    return line.close is not None or (line.message or {}).get("event") == "stop"


# Sound -------------------------------------------------------------------------------------------


def _compare_streams(
    expected: Sequence[Line], actual: Sequence[Line], sound: MediaFormat, tolerances: Tolerances
) -> list[Difference]:
    should = stream_deeds(expected, sound, every_mark=tolerances.exact)
    did = stream_deeds(actual, sound, every_mark=tolerances.exact)
    if not tolerances.exact:
        should, did = _joined(should, did, sound), _joined(did, should, sound)
    return _compare_lane(should, did, tolerances, sound)


def _joined(here: Sequence[Deed], there: Sequence[Deed], sound: MediaFormat) -> list[Deed]:
    """Two stretches with a gap between them are one, where the other side goes on."""
    found: list[Deed] = []
    for deed in here:
        last = found[-1].content if found else None
        new = deed.content
        if (
            isinstance(last, Stretch)
            and isinstance(new, Stretch)
            and any(_spans(other.content, last, new) for other in there)
        ):
            hole = silence(sound, new.at_ms - last.ends_ms)
            length_ms = new.ends_ms - last.at_ms
            found[-1] = _sounds(Stretch(last.at_ms, last.data + hole + new.data, length_ms))
        else:
            found.append(deed)
    return found


def _spans(other: Any, last: Stretch, new: Stretch) -> bool:
    if not isinstance(other, Stretch):
        return False
    return other.at_ms < last.ends_ms and other.ends_ms > new.at_ms


def _sounds(stretch: Stretch) -> Deed:
    return Deed("stream", "sound", stretch.at_ms, stretch)


def _unlike_sound(
    should: Stretch, did: Stretch, sound: MediaFormat, tolerances: Tolerances
) -> Iterator[Difference]:
    if tolerances.exact:
        heard = differing_bytes(should, did, sound)
    else:
        level_db, shift_ms = tolerances.level_db, tolerances.stream_ms
        heard = listen(should, did, sound, level_db=level_db, shift_ms=shift_ms)
    for one in heard:
        yield Difference("stream", "wrong", one.at_ms, one.what, one.expected, one.actual)


# Deeds -------------------------------------------------------------------------------------------


def _compare_lane(
    expected: Sequence[Deed],
    actual: Sequence[Deed],
    tolerances: Tolerances,
    sound: MediaFormat | None = None,
) -> list[Difference]:
    found: list[Difference] = []
    missing: list[Deed] = []
    extra: list[Deed] = []
    for should, did in aligned(expected, actual):
        if should is not None and did is not None:
            found += _compare_deed(should, did, tolerances, sound)
        elif should is not None:
            missing.append(should)
        elif did is not None:
            extra.append(did)
    for should in missing:
        swapped = next((did for did in extra if _is_swapped(should, did, tolerances)), None)
        if swapped is None:
            found.append(_alone("missing", should))
        else:
            extra.remove(swapped)
            found += _compare_deed(should, swapped, tolerances, sound)
    return [*found, *(_alone("extra", deed) for deed in extra)]


def _is_swapped(should: Deed, did: Deed, tolerances: Tolerances) -> bool:
    return should.label == did.label and abs(should.at_ms - did.at_ms) < tolerances.swap_ms


def _alone(kind: Literal["missing", "extra"], deed: Deed) -> Difference:
    said = _text(deed.content)
    expected, actual = (said, None) if kind == "missing" else (None, said)
    return Difference(deed.lane, kind, deed.at_ms, deed.called, expected, actual)


def _compare_deed(
    should: Deed, did: Deed, tolerances: Tolerances, sound: MediaFormat | None
) -> list[Difference]:
    if isinstance(should.content, Stretch) and isinstance(did.content, Stretch) and sound:
        found = [*_unlike_sound(should.content, did.content, sound, tolerances)]
    else:
        found = [
            Difference(
                should.lane,
                "wrong",
                did.at_ms,
                f"{should.called}{_at(path, wanted, got)}",
                _text(wanted),
                _text(got),
            )
            for path, wanted, got in _unlike(should, did, tolerances)
        ]
    by_ms = did.at_ms - should.at_ms
    if should.label != "marks" and abs(by_ms) > _allowed_ms(should, tolerances):
        kind: Kind = "late" if by_ms > 0 else "early"
        what = f"{should.called}, by {abs(by_ms)} ms"
        times = (f"{deed.at_ms / 1000:.3f} s" for deed in (should, did))
        found.append(Difference(should.lane, kind, did.at_ms, what, *times))
    return found


def _at(path: str, wanted: Any, got: Any) -> str:
    return f": status {got}, must be {wanted}" if path == ".status" else path


def _allowed_ms(deed: Deed, tolerances: Tolerances) -> int:
    if deed.label == "clear":
        return tolerances.clear_ms
    allowed: int = getattr(tolerances, f"{deed.lane}_ms")
    return allowed


Unlike = tuple[str, Any, Any]  # where, what was expected, what came


def _unlike(should: Deed, did: Deed, tolerances: Tolerances) -> list[Unlike]:
    """Where two deeds differ."""
    allowed_ms = _allowed_ms(should, tolerances)

    def alike(name: str, wanted: Any, got: Any) -> bool:
        if name == "heard_text":
            return _heard(wanted, got, tolerances.heard_words)
        if not name.endswith("_ms") or not isinstance(wanted, int) or not isinstance(got, int):
            return False
        return abs(wanted - got) <= allowed_ms

    got = did.content
    if should.lane == "store":  # a later version may write more than one that recorded the call
        got = _known(should.content, got)
    return _unlike_values(should.content, got, alike)


def _known(wanted: Any, got: Any) -> Any:
    """Of an entry what the cassette knows of."""
    if not isinstance(wanted, dict) or not isinstance(got, dict):
        return got
    return {key: _known(wanted[key], value) for key, value in got.items() if key in wanted}


def _unlike_values(
    wanted: Any, got: Any, alike: Callable[[str, Any, Any], bool], path: str = ""
) -> list[Unlike]:
    if wanted == got or alike(path.rpartition(".")[2], wanted, got):
        return []
    if isinstance(wanted, dict) and isinstance(got, dict):
        return [
            unlike
            for key in {**wanted, **got}
            for unlike in _unlike_values(wanted.get(key), got.get(key), alike, f"{path}.{key}")
        ]
    if isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        return [
            unlike
            for at, pair in enumerate(zip(wanted, got, strict=True))
            for unlike in _unlike_values(*pair, alike, f"{path}[{at}]")
        ]
    return [(path, wanted, got)]


def _heard(wanted: Any, got: Any, allowed: int) -> bool:
    """One begins with the other, and is at most so many words longer."""
    if not isinstance(wanted, str) or not isinstance(got, str):
        return False
    words = sorted((wanted.split(), got.split()), key=len)
    more = len(words[1]) - len(words[0])
    return words[1][: len(words[0])] == words[0] and more <= allowed


def _text(content: Any) -> str:
    if isinstance(content, Stretch):
        return f"{content.length_ms / 1000:.3f} s of sound"
    return content if isinstance(content, str) else msgspec.json.encode(content).decode()
