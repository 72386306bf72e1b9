"""How long words take, against each other."""

import pytest

from service.media.wordlength import weight


@pytest.mark.parametrize(
    ("shorter", "longer"),
    [
        ("a", "umbrella"),
        ("the", "three"),
        ("in", "inn"),
        ("7", "77"),
        ("77", "7777"),
        ("10", "10:30"),
        ("5", "5%"),
        ("12", "$12"),
        ("made", "madeira"),
        ("walked", "wanted"),
        ("is", "ID"),
        ("now", "now."),
        ("日", "日本"),
        ("acme", "acme.com"),
        ("1250", "120050"),
    ],
)
def test_what_takes_longer_to_say_weighs_more(shorter: str, longer: str) -> None:
    assert 0 < weight(shorter) < weight(longer)


@pytest.mark.parametrize("silent", ["", " ", "-", '"', "...", "\u2014"])
def test_what_is_not_said_weighs_nothing(silent: str) -> None:
    assert weight(silent) == 0


def test_numbers_weigh_what_they_are_read_as() -> None:
    assert weight("1,250") == weight("1250")
    assert weight("555-0100") == pytest.approx(weight("5550100"), rel=0.1)
    assert weight("1st") == weight("1")
    assert weight("42") < weight("007") * 1.2


def test_a_long_number_is_bounded() -> None:
    assert weight("9" * 1000) == weight("9" * 30)
