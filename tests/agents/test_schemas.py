"""A tool's parameters: the JSON Schema of an object, and how it is told when they are not."""

from typing import Any

import pytest

from service.agents.schemas import schema_faults

OBJECT: dict[str, Any] = {"type": "object"}


@pytest.mark.parametrize(
    "schema",
    [
        OBJECT,
        OBJECT | {"properties": {"a": {"type": "string", "pattern": "^[0-9]+$"}, "b": True}},
        OBJECT | {"properties": {"$ref": {"type": "string"}}, "required": ["$ref"]},
        OBJECT | {"properties": {"a": {"anyOf": [{"type": "null"}, {"enum": [1, "x"]}]}}},
    ],
)
def test_a_good_schema_has_no_fault(schema: dict[str, Any]) -> None:
    assert [*schema_faults((), schema)] == []


@pytest.mark.parametrize(
    ("schema", "places"),
    [
        ({}, [("type",)]),
        ({"type": "string"}, [("type",)]),
        ({"type": ["object"]}, [("type",)]),
        (OBJECT | {"properties": {"a": {"type": "strng"}}}, [("properties", "a", "type")]),
        (OBJECT | {"properties": {"a": {"pattern": "("}}}, [("properties", "a", "pattern")]),
        (OBJECT | {"properties": {"a": 5}}, [("properties", "a")]),
        (OBJECT | {"required": "a"}, [("required",)]),
        (OBJECT | {"properties": {"a": {"$ref": "#"}}}, [("properties", "a", "$ref")]),
        (OBJECT | {"allOf": [{"$ref": "https://evil.example"}]}, [("allOf", 0, "$ref")]),
        (OBJECT | {"description": "x" * 20_000}, [()]),
    ],
)
def test_a_bad_one_is_told_with_the_place_in_it(
    schema: dict[str, Any], places: list[tuple[str | int, ...]]
) -> None:
    assert [place for place, _ in schema_faults((), schema)] == places


def test_what_is_told_is_short() -> None:
    [(_, message)] = schema_faults((), OBJECT | {"required": "a" * 5000})
    assert len(message) < 250
