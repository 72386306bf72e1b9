"""YAML with the line of everything, and nothing in it that only YAML has."""

import os
from pathlib import Path

import pytest

from service.agents import check
from service.agents.lines import Faults, content_of, read_yaml
from tests.agents.files import faults


def read(folder: Path, text: str) -> object:
    path = folder / "x.yaml"
    path.write_text(text, encoding="utf-8")
    found = Faults(path)
    data = read_yaml(content_of(path), found)
    assert found.found() == []
    return data


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name: a\nname: b\n", "2: name: given twice"),
        ("name: a\n  b: [\n", "2: not YAML"),
        ("name: a\n---\nname: b\n", "2: not YAML"),
        ("", "1: the file is empty"),
        (b"name: a\ngreeting: \xff\n", "2: not UTF-8"),
        ("a: &x [1]\nb: *x\n", "1: anchors and aliases"),
        ("a: 1\nb:\n  <<: 5\n  <<: 6", "4: <<: given twice"),
        ("[" * 5000, "1: nested too deeply"),
        ("a:\n  " + "[" * 30 + "]" * 30, "2: nested too deeply"),
        ("# " + "x" * 300_000, "1: larger than 256 KiB"),
        ("name: a\n1: b\n", "2: 1: keys are text"),
        ("name: a\ntrue: b\n", "2: true: keys are text"),
        ("name: a\n? [b]\n: c\n", "2: expected a plain key"),
        ('name: a\ngreeting: "\\ud800"\n', "2: half a sign of Unicode"),
        ('name: a\n"\\ud800": b\n', "2: half a sign of Unicode"),
        ("name: a\nn: " + "9" * 5000, "2: too large a number"),
    ],
)
def test_a_fault_of_yaml_says_where_it_is(tmp_path: Path, text: str | bytes, fault: str) -> None:
    [found] = [one for one in faults(tmp_path, text) if one.startswith(fault)]
    assert found


@pytest.mark.parametrize(
    "value",
    [
        *('!!int ""', '!!float ""', "!!timestamp x", "!!bool x", "!!binary eA==", "!!null x"),
        *("!!set {a}", "!!seq x", "!!map x", "!!str [a]", "!!omap [a: 1]", "!mine x"),
        "!!python/object:os.system a",
    ],
)
def test_tags_are_faults_whatever_they_make(tmp_path: Path, value: str) -> None:
    [found] = faults(tmp_path, f"name: a\ngreeting: {value}\n")
    assert found.startswith("2: not YAML without tags")


def test_lines_are_counted_as_editors_do(tmp_path: Path) -> None:
    assert faults(tmp_path, "name: a\u2028\nengine: ech\n")[0].startswith("2: engine: ")
    assert faults(tmp_path, "name: a\r\nengine: ech\r\n")[0].startswith("2: engine: ")
    assert faults(tmp_path, "name: a\u2028\nengine: [\n")[0].startswith("3: not YAML")


def test_words_and_dates_stay_text(tmp_path: Path) -> None:
    text = "[yes, no, on, off, 2026-11-20, 'true', =, <<]"
    assert read(tmp_path, text) == ["yes", "no", "on", "off", "2026-11-20", "true", "=", "<<"]
    assert read(tmp_path, "[true, 5, 0.5, null, ~]") == [True, 5, 0.5, None, None]


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    os.symlink(tmp_path / "gone", tmp_path / "x.yaml")
    [fault] = check([tmp_path / "x.yaml"]).faults
    assert "cannot be read" in str(fault)
