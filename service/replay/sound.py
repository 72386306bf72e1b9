"""Two stretches of sound, compared as an ear would: where they part, and in what way.

Pure. Positions are aligned by waveform, so a few bytes, a little noise or a few milliseconds' shift
make no difference, while what was put in, left out, repeated or put in another order is found and
named. Where waveforms part, the spectrum decides whether it is the same sound made again.
"""

from typing import Any, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from service.replay.waves import (
    QUIET_DB,
    Flags,
    Samples,
    alike,
    bands_db,
    correlation,
    correlations,
    level_db,
    levels_db,
    runs,
)

BLOCK_MS = 10
CERTAIN = 0.9  # of longer pieces, to take up again elsewhere
SWAPPED = 0.97
SAME_WAVE_DB = 1.5  # spectra apart, as a mean over bands: nothing that could be heard
CLOSE_DB = 2.5  # of one block to another
SAME_SOUND_DB = 4.5  # the same said again; another sentence in the same voice is at 7 and more
RESUME_BLOCKS = 4  # that are alike, until a part that is not has ended
CHUNK_MS = 40
SEARCH_MS = 500
EDGE_MS = 30
SLIP_MS = 15  # so little is neither a gap nor a loss: a clock's drift, a filter's delay
MUCH = 0.5  # more alike by so much: worth to go on elsewhere
TRIES_MOST = 8  # to go on elsewhere, from one place
TRIES_IN_ALL = 64
FRAME_MS = 20
PLACES_MOST = 12
JOINED_MS = 400

What = Literal[
    "gap",
    "pause",
    "doubled",
    "inserted",
    "missing",
    "swapped",
    "silence",
    "noise",
    "other",
    "level",
]


class Place(Struct, frozen=True):
    """Where two stretches part, in the time of the second."""

    what: What
    from_ms: int
    to_ms: int
    level_db: float = 0.0  # how much louder the second is

    @property
    def length_ms(self) -> int:
        """How long it lasts."""
        return self.to_ms - self.from_ms


def compare_sound(
    should: Samples, did: Samples, *, rate_hz: int, loud_db: float, shift_ms: int
) -> list[Place]:
    """Where `did` is not the sound of `should`; their lengths and silent tails are not judged.

    Samples are of -1 to 1. Pauses, and the beginning, may be `shift_ms` longer or shorter.
    """
    if should.shape == did.shape and np.array_equal(should, did):
        return []
    return _Walk(should, did, rate_hz, shift_ms).places(loud_db)


class _Walk:
    """From the beginning to the end of both, with one position in each."""

    def __init__(self, should: Samples, did: Samples, rate_hz: int, shift_ms: int) -> None:
        self._should, self._did = should, did
        self._per_ms = rate_hz // 1000
        self._block = BLOCK_MS * self._per_ms
        self._chunk = CHUNK_MS * self._per_ms
        self._frame = FRAME_MS * self._per_ms
        self._shift_ms = shift_ms
        self._places: list[Place] = []
        self._tries = TRIES_IN_ALL
        self._levels: list[tuple[int, NDArray[Any]]] = []  # from where in `did`, a block each

    def places(self, loud_db: float) -> list[Place]:
        at, lag = 0, 0
        while at >= 0 and len(self._places) < PLACES_MOST:
            at, lag = self._go_on(at, lag)
        return _joined([*self._places, *self._loudness(loud_db)])

    def _go_on(self, at: int, lag: int) -> tuple[int, int]:
        """Along one lag until another one is better: from there; -1 at the end."""
        first = max(at, -lag)
        count = min(len(self._did) - first, len(self._should) - first - lag) // self._block
        if count <= 0:
            return -1, lag
        end = first + count * self._block
        should = self._blocks(self._should[first + lag : end + lag])
        did = self._blocks(self._did[first:end])
        same, active = alike(should, did)
        for start, stop in runs(~same, RESUME_BLOCKS):
            from_, to = first + start * self._block, first + stop * self._block
            apart_db = self._apart_db(from_, to, lag)
            if apart_db <= SAME_WAVE_DB or len(self._places) >= PLACES_MOST:
                continue
            moved = self._elsewhere(from_, to, lag)
            if moved is not None:
                self._note_levels(first, should[:start], did[:start], (same & active)[:start])
                self._shifted(from_, lag, moved)
                return moved
            self._in_place(from_, to, lag, apart_db)
        self._note_levels(first, should, did, same & active)
        return -1, lag

    def _blocks(self, samples: Samples) -> Samples:
        return samples.reshape(-1, self._block)

    # Another lag ---------------------------------------------------------------------------------

    def _elsewhere(self, from_: int, to: int, lag: int) -> tuple[int, int] | None:
        """Where in `did` to go on, and at which lag, if the sound goes on shifted from here."""
        reach = min(to - from_ + self._chunk, SEARCH_MS * self._per_ms)
        tried = 0
        at = from_
        while tried < TRIES_MOST and self._tries > 0 and at + self._chunk <= len(self._did):
            chunk = self._did[at : at + self._chunk]
            if level_db(chunk) < QUIET_DB:
                at += self._block  # silence is everywhere the same
                continue
            tried, self._tries = tried + 1, self._tries - 1
            found = self._find(chunk, at + lag)
            if found is not None and abs(found - at - lag) >= SLIP_MS * self._per_ms:
                held = self._holds(at, found - at)
                if held >= MUCH and held > self._holds(at, lag) + MUCH:
                    return at, found - at
            at += max(self._block, reach // TRIES_MOST // self._block * self._block)
        return None

    def _find(self, chunk: Samples, around: int) -> int | None:
        """Where `should` has this, near there."""
        reach = SEARCH_MS * self._per_ms
        begin = max(0, around - reach)
        window = self._should[begin : max(begin, around + reach) + len(chunk)]
        if len(window) <= len(chunk):
            return None
        scores = correlations(window, chunk)
        best = int(scores.argmax())
        return begin + best if scores[best] >= CERTAIN else None

    def _holds(self, at: int, lag: int) -> float:
        """How much of what comes next is alike at this lag: 1 for all, -1 for nothing."""
        at = max(at, -lag)
        room = min(len(self._did) - at, len(self._should) - at - lag, SEARCH_MS * self._per_ms)
        size = room // self._block * self._block
        if size <= 0:
            return -1.0
        should = self._should[at + lag : at + lag + size]
        did = self._did[at : at + size]
        same, active = alike(self._blocks(should), self._blocks(did))
        spectra = bands_db(should, self._block), bands_db(did, self._block)
        close = np.abs(spectra[0] - spectra[1]).mean(axis=1) <= CLOSE_DB
        same[: len(close)] |= close
        good, bad = int((same & active).sum()), int((~same).sum())
        return (good - bad) / (good + bad) if good + bad > RESUME_BLOCKS else -1.0

    def _shifted(self, from_: int, lag: int, moved: tuple[int, int]) -> None:
        """Sound was put in (the lag shrinks) or left out (it grows)."""
        more = lag - moved[1]
        more_ms = round(abs(more) / self._per_ms)
        if from_ + lag <= 0 or from_ == 0:
            if more_ms > self._shift_ms:
                self._add("pause" if more > 0 else "missing", from_, from_ + abs(more))
            return
        at = self._parting(from_, lag, moved)
        if more > 0:
            put_in = self._did[at : at + more]
            before, after = self._did[max(0, at - more) : at], self._did[at + more : at + 2 * more]
            if level_db(put_in) < QUIET_DB:
                what: What = "pause" if self._is_pause(at) else "gap"
            elif max(correlation(put_in, before), correlation(put_in, after)) > CERTAIN:
                what = "doubled"
            else:
                what = "inserted"
        else:
            left_out = self._should[at + lag : at + moved[1]]
            what = "pause" if level_db(left_out) < QUIET_DB else "missing"
            hole = self._hole(self._did[from_ : moved[0]], self._should[from_ + lag :])
            if hole is not None:
                self._add("silence", from_ + hole[0], from_ + hole[1])
        if what != "pause" or more_ms > self._shift_ms:
            self._add(what, at, at + abs(more))

    def _parting(self, from_: int, lag: int, moved: tuple[int, int]) -> int:
        """The sample in `did` up to which the old lag fits, and from which on the new one does."""
        more = max(0, lag - moved[1])  # put in
        less = max(0, moved[1] - lag)  # left out
        begin = max(0, from_ - self._block, -lag)
        count = min(
            moved[0] + self._block - more - begin,
            len(self._did) - begin - more,
            len(self._should) - begin - lag - less,
        )
        if count <= 0:
            return from_
        did, should = self._did[begin:], self._should[begin + lag :]
        old = np.cumsum((did[:count] - should[:count]) ** 2)
        new = np.cumsum((did[more : more + count] - should[less : less + count]) ** 2)
        return begin + int(np.argmin(np.r_[0.0, old] - np.r_[0.0, new]))

    def _is_pause(self, at: int) -> bool:
        return level_db(self._did[max(0, at - self._block) : at]) < QUIET_DB

    # The same lag --------------------------------------------------------------------------------

    def _apart_db(self, from_: int, to: int, lag: int) -> float:
        should, did = self._should[from_ + lag : to + lag], self._did[from_:to]
        spectra = bands_db(should, self._block), bands_db(did, self._block)
        return float(np.abs(spectra[0] - spectra[1]).mean())

    def _in_place(self, from_: int, to: int, lag: int, apart_db: float) -> None:
        did, should = self._did[from_:to], self._should[from_ + lag : to + lag]
        before = self._did[max(0, from_ - len(did)) : from_]
        hole = self._hole(did, should)
        if self._is_edge(from_, to, lag):
            return
        if hole is not None and hole[0] and self._is_edge(from_ + hole[0], from_ + hole[1], lag):
            to = from_ + hole[0]
            apart_db, did, hole = self._apart_db(from_, to, lag), self._did[from_:to], None
            should, before = self._should[from_ + lag : to + lag], before[-len(did) :]
        if level_db(did) < QUIET_DB:
            self._add("silence", from_, to)
        elif level_db(should) < QUIET_DB:
            self._add("noise", from_, to)
        elif self._is_swapped(from_, to, lag):
            self._add("swapped", from_, to)
        elif correlation(did, before) > CERTAIN:
            self._add("doubled", from_, to)
        elif hole is not None and (apart_db <= SAME_SOUND_DB or len(did) <= self._frame * 10):
            self._add("silence", from_ + hole[0], from_ + hole[1])
        elif apart_db > SAME_SOUND_DB:
            self._add("other", from_, to)

    def _is_edge(self, from_: int, to: int, lag: int) -> bool:
        """A word that ends or begins a little earlier or later, next to silence in both."""
        if to - from_ > EDGE_MS * self._per_ms:
            return False
        sides = [slice(to, to + self._block), slice(max(0, from_ - self._block), from_)]
        return any(
            level_db(self._did[side]) < QUIET_DB
            and level_db(self._should[side.start + lag : side.stop + lag]) < QUIET_DB
            for side in sides
            if side.start + lag >= 0
        )

    def _hole(self, did: Samples, should: Samples) -> tuple[int, int] | None:
        """A silent part of `did` that is none of `should`."""
        size = min(len(did), len(should)) // self._block * self._block
        did, should = did[:size], should[:size]
        quiet = levels_db(self._blocks(did)) < QUIET_DB
        loud = levels_db(self._blocks(should)) >= QUIET_DB + 6
        holes = [run for run in runs(quiet & loud, 1) if run[1] - run[0] >= FRAME_MS // BLOCK_MS]
        return (holes[0][0] * self._block, holes[0][1] * self._block) if holes else None

    def _is_swapped(self, from_: int, to: int, lag: int) -> bool:
        """The frames are those of `should`, in another order: their ways add up to none."""
        frame = self._frame
        window = self._should[from_ + lag : to + lag]
        starts = range(0, to - from_ - frame + 1, frame)
        if not 2 <= len(starts) <= SEARCH_MS // FRAME_MS:
            return False
        ways = []
        for start in starts:
            scores = correlations(window, self._did[from_ + start : from_ + start + frame])
            best = int(scores.argmax())
            if scores[best] < SWAPPED:
                return False
            ways.append(best - start)
        return any(abs(way) >= self._block for way in ways) and abs(sum(ways)) <= self._block

    def _add(self, what: What, from_: int, to: int) -> None:
        self._places.append(Place(what, round(from_ / self._per_ms), round(to / self._per_ms)))

    # Loudness ------------------------------------------------------------------------------------

    def _note_levels(self, first: int, should: Samples, did: Samples, good: Flags) -> None:
        louder = np.where(good, levels_db(did) - levels_db(should), np.nan)
        self._levels.append((first // self._block, louder))

    def _loudness(self, loud_db: float) -> list[Place]:
        found = []
        for first, louder in self._levels:
            off = np.abs(np.nan_to_num(louder)) > loud_db
            for start, stop in runs(off, 20):
                if off[start:stop].sum() * BLOCK_MS >= 100:
                    mean_db = round(float(np.nanmean(louder[start:stop])), 1)
                    from_ms = (first + start) * BLOCK_MS
                    to_ms = (first + stop) * BLOCK_MS
                    found.append(Place("level", from_ms, to_ms, mean_db))
        return found


def _joined(places: list[Place]) -> list[Place]:
    """In the order of time; what goes on in the same way with short breaks is one place."""
    found: list[Place] = []
    for place in sorted(places, key=lambda place: place.from_ms):
        last = found[-1] if found else None
        if (
            last is not None
            and last.what == place.what
            and place.what in ("silence", "noise", "other")
            and place.from_ms - last.to_ms <= JOINED_MS
        ):
            found[-1] = Place(place.what, last.from_ms, place.to_ms)
        else:
            found.append(place)
    return found
