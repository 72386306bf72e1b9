"""The report of a replay: one file that stands alone, and shows what there is to see."""

import re
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace

from service.cassettes.cassette import Cassette, Happening, Line
from service.cassettes.files import read
from service.replay.diff import compare
from service.replay.report import render
from tests.replay.fixtures import BUSY, INTERRUPTS, TALKED

HOSTILE = '<script>alert(1)</script>"&'


def without_clear(lines: tuple[Line, ...]) -> list[Line]:
    return [line for line in lines if (line.message or {}).get("event") != "clear"]


def pictures(page: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


def classes(picture: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [part for part in picture.iter() if name in part.get("class", "").split()]


def test_a_call_shows_three_waves_its_turns_marks_clear_and_events() -> None:
    cassette = read(INTERRUPTS)
    [picture] = pictures(render("x", cassette, cassette.lines, []))
    waves = [len(wave.get("d", "")) for wave in classes(picture, "wave")]
    assert len(waves) == 3
    assert min(waves) > 500
    assert waves[1] == waves[2]
    said = ["".join(part.itertext()) for part in picture.iter("text")]
    assert said.count("We are at twelve Main Street, next to the library.") == 2
    assert "where are you" in said
    assert len(classes(picture, "mark")) > 10
    assert said.count("clear") == 2
    assert "call.ended" in said


def test_a_difference_is_in_the_table_with_its_rule_and_on_the_axis() -> None:
    cassette = read(INTERRUPTS)
    did = without_clear(cassette.lines)
    page = render("x", cassette, did, compare(cassette.lines, did))
    assert "differs in 1 place<" in page
    assert "missing: clear" in page
    assert "look at barge-in (service/core/dialog.py)" in page
    [picture] = pictures(page)
    [link] = picture.iter("a")
    assert link.get("href") == "#d1"
    assert 'id="d1"' in page
    [dashed] = classes(picture, "difference")
    assert (dashed.get("d") or "").startswith("M49.2 ")  # 820 ms


def test_what_a_clear_dropped_is_not_drawn() -> None:
    cassette = read(INTERRUPTS)
    [picture] = pictures(render("x", cassette, without_clear(cassette.lines), []))
    [_, then, today] = [wave.get("d", "") for wave in classes(picture, "wave")]
    assert len(today) > len(then)


def test_a_call_without_a_single_sound_has_a_report_too() -> None:
    cassette = read(BUSY)
    page = render("x", cassette, [], compare(cassette.lines, []))
    assert "missing: call.ended" in page
    assert len(pictures(page)) == 1


@pytest.mark.parametrize("what", ["title", "text", "name"])
def test_nothing_in_a_cassette_becomes_markup(what: str) -> None:
    cassette = read(TALKED)
    if what == "title":
        cassette = replace(cassette, header=replace(cassette.header, title=HOSTILE))
    said = Happening("turn.user", {"text": HOSTILE})
    lines = [*cassette.lines, Line(at_ms=9000, lane="store", from_="bridge", event=said)]
    did = lines if what == "text" else cassette.lines
    cassette = Cassette(cassette.header, tuple(lines))
    name = HOSTILE if what == "name" else "x"
    page = render(name, cassette, did, compare(cassette.lines, did))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_nothing_is_loaded_from_anywhere() -> None:
    cassette = read(TALKED)
    page = render("x", cassette, cassette.lines, [])
    assert set(re.findall(r'(?:src|href|action)="([^"]*)"', page)) == set()
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_a_call_of_three_minutes_stays_small_and_has_a_row_for_each_part() -> None:
    once = read(TALKED)
    lines = [
        replace(line, at_ms=line.at_ms + again * once.length_ms)
        for again in range(14)
        for line in once.lines
    ]
    page = render("x", Cassette(once.header, tuple(lines)), lines, [])
    assert len(page) < 1_000_000
    assert len(pictures(page)) == 10
