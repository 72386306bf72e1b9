"""What the bridge did against what the cassette says it must do: aligned, in words.

Pure. Times and lengths may differ within stated tolerances; ids, tokens and hosts are new on every
run and compare as equal. Sound is compared as stretches, not byte by byte.
"""

import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from service.cassettes.cassette import Lane, Line
from service.replay.deeds import Deed, deeds


class Tolerances(Struct, frozen=True, kw_only=True):
    """How far apart two runs may be and still be the same."""

    media_ms: int = 120  # where a stretch of sound begins, and how long it is
    clear_ms: int = 60
    figure_ms: int = 120  # latencies, durations, what was heard
    heard_words: int = 1
    swap_ms: int = 0  # things that happen this close together may come in another order


STRICT = Tolerances()
OVER_A_NETWORK = Tolerances(media_ms=500, clear_ms=300, figure_ms=500, heard_words=3, swap_ms=250)
"""Recognition and speech take their time there, and so does the way."""


NORMAL = 1000
RACE_MS = 1000


class Difference(Struct, frozen=True):
    """One thing that was not as it should have been; None: it was not there."""

    lane: str
    kind: Literal["missing", "extra", "wrong", "late", "early"]
    at_ms: int
    what: str
    expected: str | None
    actual: str | None

    def __str__(self) -> str:
        head = f"{self.at_ms / 1000:8.3f} s  {self.lane:8}{self.kind}: {self.what}"
        shown = [
            f"{'':12}{name:9}{text}"
            for name, text in (("expected", self.expected), ("actual", self.actual))
            if text is not None
        ]
        return "\n".join([head, *shown])


def compare(
    expected: Iterable[Line], actual: Iterable[Line], tolerances: Tolerances = STRICT
) -> list[Difference]:
    """All differences, in the order of time; none when the bridge did as the cassette says."""
    expected = [*expected]
    actual = _without_races(expected, [*actual])
    lanes: tuple[Lane, ...] = ("webhook", "rest", "stream", "store")
    found = [
        difference
        for lane in lanes
        for difference in _compare_lane(deeds(expected, lane), deeds(actual, lane), tolerances)
    ]
    return sorted(found, key=lambda difference: difference.at_ms)


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


def _compare_lane(
    expected: Sequence[Deed], actual: Sequence[Deed], tolerances: Tolerances
) -> list[Difference]:
    found: list[Difference] = []
    missing: list[Deed] = []
    extra: list[Deed] = []
    wanted, done = [d.label for d in expected], [d.label for d in actual]
    matcher = difflib.SequenceMatcher(None, wanted, done, autojunk=False)
    for how, at, end, at_done, end_done in matcher.get_opcodes():
        if how == "equal":
            for should, did in zip(expected[at:end], actual[at_done:end_done], strict=True):
                found += _compare_deed(should, did, tolerances)
        else:
            missing += expected[at:end]
            extra += actual[at_done:end_done]
    for should in missing:
        swapped = next((did for did in extra if _is_swapped(should, did, tolerances)), None)
        if swapped is None:
            found.append(_alone("missing", should))
        else:
            extra.remove(swapped)
            found += _compare_deed(should, swapped, tolerances)
    return [*found, *(_alone("extra", deed) for deed in extra)]


def _is_swapped(should: Deed, did: Deed, tolerances: Tolerances) -> bool:
    return should.label == did.label and abs(should.at_ms - did.at_ms) < tolerances.swap_ms


def _alone(kind: Literal["missing", "extra"], deed: Deed) -> Difference:
    said = _text(deed.content)
    expected, actual = (said, None) if kind == "missing" else (None, said)
    return Difference(deed.lane, kind, deed.at_ms, deed.label, expected, actual)


def _compare_deed(should: Deed, did: Deed, tolerances: Tolerances) -> list[Difference]:
    found = [
        Difference(
            should.lane,
            "wrong",
            did.at_ms,
            f"{should.label}{path}",
            _text(wanted),
            _text(got),
        )
        for path, wanted, got in _unlike(should.content, did.content, tolerances)
    ]
    allowed_ms = {"sound": tolerances.media_ms, "clear": tolerances.clear_ms}.get(should.label)
    by_ms = did.at_ms - should.at_ms
    if allowed_ms is not None and abs(by_ms) > allowed_ms:
        kind: Literal["late", "early"] = "late" if by_ms > 0 else "early"
        what = f"{should.label}, by {abs(by_ms)} ms"
        times = (f"{deed.at_ms / 1000:.3f} s" for deed in (should, did))
        found.append(Difference(should.lane, kind, did.at_ms, what, *times))
    return found


Unlike = tuple[str, Any, Any]  # where, what was expected, what came


def _unlike(wanted: Any, got: Any, tolerances: Tolerances, path: str = "") -> list[Unlike]:
    """Where two values differ."""
    name = path.rpartition(".")[2]
    if isinstance(wanted, dict) and isinstance(got, dict):
        return [
            unlike
            for key in {**wanted, **got}
            for unlike in _unlike(wanted.get(key), got.get(key), tolerances, f"{path}.{key}")
        ]
    if isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        return [
            unlike
            for at, pair in enumerate(zip(wanted, got, strict=True))
            for unlike in _unlike(*pair, tolerances, f"{path}[{at}]")
        ]
    alike = _ALIKE.get(name) or (_within if name.endswith("_ms") else None)
    if wanted == got or (alike is not None and alike(wanted, got, tolerances)):
        return []
    return [(path, wanted, got)]


def _within(wanted: Any, got: Any, tolerances: Tolerances) -> bool:
    if not isinstance(wanted, int) or not isinstance(got, int):
        return False
    return abs(wanted - got) <= tolerances.figure_ms


def _length(wanted: Any, got: Any, tolerances: Tolerances) -> bool:
    return abs(int(wanted) - int(got)) <= tolerances.media_ms


def _heard(wanted: Any, got: Any, tolerances: Tolerances) -> bool:
    """One begins with the other, and is at most a word longer."""
    if not isinstance(wanted, str) or not isinstance(got, str):
        return False
    words = sorted((wanted.split(), got.split()), key=len)
    more = len(words[1]) - len(words[0])
    return words[1][: len(words[0])] == words[0] and more <= tolerances.heard_words


_ALIKE: dict[str, Callable[[Any, Any, Tolerances], bool]] = {
    "sound_ms": _length,
    "heard_text": _heard,
}


def _text(content: Any) -> str:
    return content if isinstance(content, str) else msgspec.json.encode(content).decode()
