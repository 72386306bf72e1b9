"""Which deed is which, when some are missing, too many, or changed."""

from service.replay.align import aligned
from service.replay.deeds import Deed


def deed(at_ms: int, content: str, label: str = "a") -> Deed:
    return Deed("store", label, at_ms, content)


def pairs(expected: list[Deed], actual: list[Deed]) -> list[tuple[str | None, str | None]]:
    return [
        (None if should is None else should.content, None if did is None else did.content)
        for should, did in aligned(expected, actual)
    ]


ONE, TWO, THREE = deed(0, "one"), deed(1000, "two"), deed(2000, "three")


def test_what_is_the_same_pairs_in_order() -> None:
    assert pairs([ONE, TWO], [ONE, TWO]) == [("one", "one"), ("two", "two")]
    assert pairs([], []) == []


def test_what_is_missing_or_too_many_stands_alone_and_the_rest_pairs() -> None:
    assert pairs([ONE, TWO, THREE], [ONE, THREE]) == [
        ("one", "one"),
        ("two", None),
        ("three", "three"),
    ]
    assert pairs([ONE, THREE], [ONE, TWO, THREE])[1] == (None, "two")


def test_what_says_something_else_at_the_same_time_is_the_same_deed_changed() -> None:
    assert pairs([ONE, TWO], [ONE, deed(1010, "other")]) == [("one", "one"), ("two", "other")]


def test_deeds_of_two_labels_are_never_one() -> None:
    assert pairs([ONE], [deed(0, "one", label="b")]) == [("one", None), (None, "one")]


def test_time_tells_which_of_two_like_deeds_is_gone() -> None:
    early, late = deed(0, "same"), deed(5000, "same")
    [first, second] = aligned([early, late], [deed(5010, "same")])
    assert first == (early, None)
    assert second[0] == late
