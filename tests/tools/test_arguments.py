from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.tools.arguments import ARGUMENTS_BYTES_MOST, read_arguments
from service.tools.spec import ToolFailed

DATED: dict[str, Any] = {
    "type": "object",
    "properties": {"date": {"type": "string", "format": "date"}, "n": {"type": "integer"}},
    "required": ["date"],
}


def words(text: str, schema: dict[str, Any] = DATED) -> str:
    with pytest.raises(ToolFailed) as failed:
        read_arguments(text, schema)
    assert failed.value.code == "tool.bad_arguments"
    return failed.value.text


def test_arguments_that_fit_are_given() -> None:
    assert read_arguments('{"date": "2026-11-20"}', DATED) == {"date": "2026-11-20"}


def test_no_text_is_no_arguments() -> None:
    assert read_arguments("  ", {"type": "object"}) == {}


@pytest.mark.parametrize("text", ["{", "date=1", '{"a": NaN}', '{"a": "\\ud800"}', "[" * 10_000])
def test_what_is_no_json_is_said_to_be_none(text: str) -> None:
    assert "not JSON" in words(text)


@pytest.mark.parametrize("text", ["[]", "1", '"a"', "null"])
def test_what_is_no_object_is_said_to_be_none(text: str) -> None:
    assert "no JSON object" in words(text)


def test_what_does_not_fit_is_said_in_words_with_its_place() -> None:
    told = words('{"date": "tomorrow", "n": "x"}')
    assert "date: 'tomorrow' is not a 'date'" in told
    assert "n: 'x' is not of type 'integer'" in told
    assert "'date' is a required property" in words("{}")


def test_arguments_that_the_schema_does_not_know_are_refused() -> None:
    assert "admin" in words('{"date": "2026-11-20", "admin": true}')


def test_a_schema_may_say_itself_what_else_it_takes() -> None:
    schema = DATED | {"additionalProperties": {"type": "integer"}}
    assert read_arguments('{"date": "2026-11-20", "x": 1}', schema)["x"] == 1


def test_arguments_known_to_a_part_of_the_schema_are_known() -> None:
    schema = {"type": "object", "anyOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}
    assert read_arguments('{"a": 1, "b": 2}', schema) == {"a": 1, "b": 2}


def test_arguments_are_bounded_and_so_are_the_words_about_them() -> None:
    assert "longer" in words('{"date": "%s"}' % ("x" * ARGUMENTS_BYTES_MOST))
    assert len(words('{"date": "%s"}' % ("x" * 9000))) < 1000


def test_a_reference_in_a_schema_is_not_fetched() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:1/schema"}}}
    with pytest.raises(Exception, match="Unresolvable"):
        read_arguments('{"a": 1}', schema)


def test_unchecked_arguments_need_only_be_an_object() -> None:
    assert read_arguments('{"x": 1}', DATED, checked=False) == {"x": 1}


@given(st.text())
def test_any_text_gives_arguments_or_words(text: str) -> None:
    with suppress(ToolFailed):
        assert isinstance(read_arguments(text, {"type": "object"}), dict)
