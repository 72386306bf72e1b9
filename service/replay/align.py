"""Which deed of one run is which of the other: the cheapest way to pair two lists in order.

Pure. Deeds of one label pair; what says the same at about the same time pairs first.
"""

from collections.abc import Sequence

from service.replay.deeds import Deed

Pair = tuple[Deed | None, Deed | None]

_ALONE = 1.0  # to leave a deed without a partner
_OTHER = 0.9  # to pair with one that says something else
_TIME = 0.9  # at most, to pair with one of another time
_FAR_MS = 3000


def aligned(expected: Sequence[Deed], actual: Sequence[Deed]) -> list[Pair]:
    """Pairs in order; None: that deed has no partner."""
    same = 0
    for should, did in zip(expected, actual, strict=False):
        if _cost(should, did) != 0.0:
            break
        same += 1
    head = list(zip(expected[:same], actual[:same], strict=True))
    return [*head, *_paired(expected[same:], actual[same:])]


def _paired(expected: Sequence[Deed], actual: Sequence[Deed]) -> list[Pair]:
    """By dynamic programming from the end: `best[i][j]` is the cost of all from there on."""
    rows, columns = len(expected), len(actual)
    best = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows, -1, -1):
        for j in range(columns, -1, -1):
            if i < rows and j < columns:
                best[i][j] = min(
                    _cost(expected[i], actual[j]) + best[i + 1][j + 1],
                    _ALONE + best[i + 1][j],
                    _ALONE + best[i][j + 1],
                )
            else:
                best[i][j] = _ALONE * (rows - i + columns - j)
    return _walk(expected, actual, best)


def _walk(
    expected: Sequence[Deed], actual: Sequence[Deed], best: Sequence[Sequence[float]]
) -> list[Pair]:
    pairs: list[Pair] = []
    i = j = 0
    while i < len(expected) or j < len(actual):
        both = i < len(expected) and j < len(actual)
        if both and best[i][j] == _cost(expected[i], actual[j]) + best[i + 1][j + 1]:
            pairs.append((expected[i], actual[j]))
            i, j = i + 1, j + 1
        elif i < len(expected) and best[i][j] == _ALONE + best[i + 1][j]:
            pairs.append((expected[i], None))
            i += 1
        else:
            pairs.append((None, actual[j]))
            j += 1
    return pairs


def _cost(should: Deed, did: Deed) -> float:
    if should.label != did.label:
        return 3 * _ALONE
    apart = min(1.0, abs(should.at_ms - did.at_ms) / _FAR_MS) * _TIME
    return apart + (0.0 if should.content == did.content else _OTHER)
